"""``mofore search --sheet``: the pictures of an answer."""

from __future__ import annotations

from pathlib import Path

from ...data.errors import UsageError
from ...data.sampling import Span
from ...stages.search.contact_sheet import Pictured, Strip, format_of, pictures_of, write_sheet
from ...stages.search.queries import GivenFrames, GivenVector, ImageFile, IndexedVideo, Phrase, Query
from ...stages.search.searcher import Answer, Neighbour
from ..snapshot import Snapshot
from ..writable import refuse_unwritable


def refuse_sheet(snapshot: Snapshot, path: Path) -> None:
    """Find out before searching that no sheet can be made.

    Raises:
        UsageError: if there are no videos to take pictures of, or the suffix is of no known format.
    """
    format_of(path)
    refuse_unwritable(path, "--sheet")
    if snapshot.catalog.imported:
        raise UsageError("--sheet: these features were imported; there are no videos to take pictures of")


def write_answer(snapshot: Snapshot, answer: Answer, path: Path) -> None:
    """Draw the contact sheet of an answer."""
    queries = [_query_strip(snapshot, query, answer.label) for query in answer.queries]
    write_sheet(path, _heading(answer), queries, [_strip(snapshot, found) for found in answer.neighbours])


def _heading(answer: Answer) -> str:
    what = "moments" if answer.level == "clip" else "videos"
    known = [found.right for found in answer.neighbours if found.right is not None]
    right = f": {sum(known)} of {len(known)} have the query's class" if known else ""
    order = ", re-ranked by how they unfold" if any(found.distance is not None for found in answer.neighbours) else ""
    return f"Nearest {what} in the space {answer.space}{order}{right}"


def _query_strip(snapshot: Snapshot, query: Query, label: str | None) -> Strip:
    match query:
        case Phrase() | GivenFrames() | GivenVector():
            return Strip("query", "", reason=str(query), asked=True)
        case IndexedVideo(id=video_id, span=span):
            strip = _pictured(snapshot, *_place(snapshot, video_id, span))
        case ImageFile(path=path):
            strip = _pictured(snapshot, path, None)
        case _:
            strip = _pictured(snapshot, query.path, query.span)
    pictures, reason = strip
    return Strip(f"query   {label or ''}", str(query), None, pictures, reason, asked=True)


def _strip(snapshot: Snapshot, found: Neighbour) -> Strip:
    pictures, reason = _pictured(snapshot, *_place(snapshot, found.video_id, found.span))
    name = found.video_id if found.span is None else f"{found.video_id}, {found.span}"
    title = f"{found.rank}   similarity {found.similarity:.3f}   {found.label or ''}"
    return Strip(title, name, found.right, pictures, reason)


def _pictured(snapshot: Snapshot, path: Path | None, span: Span | None) -> Pictured:
    if path is None:
        return (), "the video is not in the data folder any more"
    return pictures_of(path, span, image_fps=snapshot.config.extract.image_fps)


def _place(snapshot: Snapshot, video_id: str, span: Span | None) -> tuple[Path | None, Span | None]:
    """Where a video of the index is, and which part of that file is meant: spans count from the video's own start."""
    found = snapshot.videos([video_id])
    if not found:
        return None, span
    (video,) = found
    if video.span is None:
        return snapshot.catalog.path(video), span
    begin_s, end_s = video.span.start_s, video.span.end_s
    if span is not None:
        begin_s, end_s = begin_s + span.start_s, min(end_s, begin_s + span.end_s)
    return snapshot.catalog.path(video), Span(begin_s, end_s)
