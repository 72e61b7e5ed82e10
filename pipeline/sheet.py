"""``mofore search --sheet``: the pictures of an answer."""

from __future__ import annotations

from pathlib import Path

from ..data.errors import UsageError
from ..data.sampling import Span
from ..stages.contact_sheet import Pictured, Strip, format_of, pictures_of, write_sheet
from ..stages.queries import ImageFile, IndexedVideo, Phrase, Query
from ..stages.search import Answer, Neighbour
from .world import World


def refuse_sheet(world: World, path: Path) -> None:
    """Find out before searching that no sheet can be made.

    Raises:
        UsageError: if there are no videos to take pictures of, or the suffix is of no known format.
    """
    format_of(path)
    if world.catalog.digests is not None:
        raise UsageError("--sheet: these features were imported; there are no videos to take pictures of")


def write_answer(world: World, answer: Answer, path: Path) -> None:
    """Draw the contact sheet of an answer."""
    queries = [_query_strip(world, query, answer.label) for query in answer.queries]
    write_sheet(path, _heading(answer), queries, [_strip(world, found) for found in answer.neighbours])


def _heading(answer: Answer) -> str:
    what = "moments" if answer.level == "clip" else "videos"
    known = [found.right for found in answer.neighbours if found.right is not None]
    right = f": {sum(known)} of {len(known)} have the query's class" if known else ""
    order = ", re-ranked by how they unfold" if any(found.distance is not None for found in answer.neighbours) else ""
    return f"Nearest {what} in the space {answer.space}{order}{right}"


def _query_strip(world: World, query: Query, label: str | None) -> Strip:
    match query:
        case Phrase():
            return Strip("query", "", reason=str(query), asked=True)
        case IndexedVideo(id=video_id, span=span):
            strip = _pictured(world, *_place(world, video_id, span))
        case ImageFile(path=path):
            strip = _pictured(world, path, None)
        case _:
            strip = _pictured(world, query.path, query.span)
    pictures, reason = strip
    return Strip(f"query   {label or ''}", str(query), None, pictures, reason, asked=True)


def _strip(world: World, found: Neighbour) -> Strip:
    pictures, reason = _pictured(world, *_place(world, found.video_id, found.span))
    name = found.video_id if found.span is None else f"{found.video_id}, {found.span}"
    title = f"{found.rank}   similarity {found.similarity:.3f}   {found.label or ''}"
    return Strip(title, name, found.right, pictures, reason)


def _pictured(world: World, path: Path | None, span: Span | None) -> Pictured:
    if path is None:
        return (), "the video is not in the data folder any more"
    return pictures_of(path, span, image_fps=world.config.extract.image_fps)


def _place(world: World, video_id: str, span: Span | None) -> tuple[Path | None, Span | None]:
    """Where a video of the index is, and which part of that file is meant: spans count from the video's own start."""
    found = world.videos([video_id])
    if not found:
        return None, span
    (video,) = found
    if video.span is None:
        return world.catalog.path(video), span
    begin_s, end_s = video.span.start_s, video.span.end_s
    if span is not None:
        begin_s, end_s = begin_s + span.start_s, min(end_s, begin_s + span.end_s)
    return world.catalog.path(video), Span(begin_s, end_s)
