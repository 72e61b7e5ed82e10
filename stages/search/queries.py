"""Queries: what is searched for, read from what the user typed."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from ...data.backbone import parse_backbone
from ...data.errors import UsageError
from ...data.images import is_image
from ...data.index_settings import LEVELS
from ...data.sampling import Span
from ...data.wording import counted

if TYPE_CHECKING:
    from ...data.arrays import Float16, Float32, Float64

TEXT = "text:"
TEMPLATE = "a video of {}."
SECONDS = re.compile(r"(?P<file>.+)#t=(?P<start>[0-9.]*)(?:,(?P<end>[0-9.]+))?")  # W3C Media Fragments
RERANK, BY = ("aligned", "dtw"), ("both", "changes", "looks")
STEPS = range(2, 65)
MOST_SEGMENTS = 5  # that are named
FEW = 20_000  # names among which near ones are looked for: more take too long


@dataclass(frozen=True, slots=True)
class IndexedVideo:
    """A video of the index, or a span of it."""

    id: str  # its id
    video: int  # its position in ``Items.videos``
    span: Span | None = None  # None for the whole video

    def __str__(self) -> str:
        return self.id if self.span is None else f"{self.id}, {self.span}"


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A file of a video, or a folder of frame images, in the index or not; or a span of it."""

    path: Path
    span: Span | None = None

    def __str__(self) -> str:
        return str(self.path) if self.span is None else f"{self.path}, {self.span}"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture: as good as a video of one frame."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A text as the text tower reads it, the template filled in."""

    text: str

    def __str__(self) -> str:
        return f'"{self.text}"'


@dataclass(frozen=True, slots=True, eq=False)
class GivenFrames:
    """A video of which the caller has the features: features_TD, and times_s_T in seconds."""

    features_TD: Float16
    times_s_T: Float64

    def __str__(self) -> str:
        return f"features {self.features_TD.shape}"


@dataclass(frozen=True, slots=True, eq=False)
class GivenVector:
    """An embedding that the caller has: a unit vector (E,), not centred."""

    vector_E: Float32

    def __str__(self) -> str:
        return f"a vector of width {len(self.vector_E)}"


Query = IndexedVideo | VideoFile | ImageFile | Phrase | GivenFrames | GivenVector


@dataclass(frozen=True, slots=True)
class Asked:
    """How to search."""

    count: int = 10  # neighbours wanted
    space: str | None = None  # mofore, frames, predict or fit:KEY; None for what suits the query
    level: str = "video"  # video or clip
    start: float | None = None  # of the span of each query, seconds; None for its beginning
    end: float | None = None  # of the span; None for its end
    classes: tuple[str, ...] = ()  # that may be found; empty for all
    role: str | None = None  # side of the split: train, test, unassigned, or the user's own name of one; None for all
    exclude_same_group: bool = False  # leave out groups of the query's name, of whatever class
    rerank: str | None = None  # aligned, dtw, or None
    steps: int = 8  # of the sequences that re-ranking compares
    # looks (the steps as they are), changes (less the video's own mean), or both: changes beside the similarity
    by: str = "both"
    template: str = TEMPLATE  # what texts are put into

    def __post_init__(self) -> None:
        choices = {"level": (self.level, LEVELS), "rerank": (self.rerank, (None, *RERANK)), "by": (self.by, BY)}
        for name, (value, allowed) in choices.items():
            if value not in allowed:
                raise UsageError(f"{name} = {value!r}: one of {', '.join(map(str, allowed))} is needed")
        if self.count < 1 or self.steps not in STEPS:
            raise UsageError(
                f"{self.count} neighbours in {self.steps} steps: at least 1, and from {STEPS[0]} to {STEPS[-1]} steps, "
                "are needed"
            )

    @property
    def span(self) -> Span | None:
        """Of each query; None for all of it."""
        if self.start is None and self.end is None:
            return None
        return Span(self.start or 0.0, *([] if self.end is None else [self.end]))


class Names:
    """The names by which videos of an index are called: id, file name, file name without suffix.

    Segments (``dir/a.mp4#t=1,2.5``) are called by any of these with their seconds behind, however these are written.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = list(ids)
        self.by_id = {video_id: video for video, video_id in enumerate(self.ids)}
        self.by_name: dict[str, list[str]] = defaultdict(list)
        self._segments: dict[str, list[str]] = defaultdict(list)
        for video_id in self.by_id:
            file, seconds = _taken_apart(video_id)
            last = file.rsplit("/", 1)[-1]
            for name in {last, last.rsplit(".", 1)[0], *([file] if seconds else [])}:
                self.by_name[name + seconds].append(video_id)
                if seconds:
                    self._segments[name].append(video_id)

    def find(self, name: str) -> int | None:
        """Position of the video that is called so.

        Raises:
            UsageError: if several videos in different folders have that name.
        """
        if name in self.by_id:
            return self.by_id[name]
        ids = list(dict.fromkeys(self.by_name.get("".join(_taken_apart(name)), [])))
        if len(ids) > 1:
            raise UsageError(
                f"{name!r} is the name of {len(ids)} videos ({', '.join(ids[:5])}): give one with its folder"
            )
        return self.by_id[ids[0]] if ids else None

    def segments(self, name: str) -> list[str]:
        """Ids of the segments of the file that is called so, in their order."""
        return list(dict.fromkeys(self._segments.get(_taken_apart(name)[0], [])))

    def near(self, name: str) -> list[str]:
        """Names that are like one that is not there."""
        return get_close_matches(name, self.by_name, 3, 0.7) if len(self.by_name) <= FEW else []


def read_query(text: str, names: Names, *, span: Span | None = None, template: str = TEMPLATE) -> Query:
    """What a text stands for: ``text:...``, a video of the index, an image, a video file; the first that it can be.

    Args:
        text: as it was typed.
        names: of the index.
        span: of the video; None for all of it.
        template: what a phrase is put into, at its ``{}``.

    Raises:
        UsageError: if it is none of them, or has no seconds to take a span of.
    """
    if is_phrase(text):
        return _without_span(Phrase(_filled(template, text.removeprefix(TEXT).strip())), span)
    video = names.find(text)
    if video is not None:
        return IndexedVideo(names.ids[video], video, span)
    path = Path(text).expanduser()
    if is_image_file(text):
        return _without_span(ImageFile(path), span)
    if text and _exists(path):
        return VideoFile(path, span)
    if segments := names.segments(text):
        more = ", ..." if len(segments) > MOST_SEGMENTS else ""
        raise UsageError(
            f"{text!r} is not in the index as such, but its {counted(len(segments), 'segment is', 'segments are')}: "
            f"give one of {', '.join(segments[:MOST_SEGMENTS])}{more}"
        )
    near = names.near(text)
    hint = f"did you mean {' or '.join(near)}?" if near else "a text begins with text:"
    raise UsageError(
        f"{text!r} is neither a video of the index (its id or file name) nor a file or a folder of images; {hint}"
    )


def refuse_phrase(backbone: str, space: str) -> None:
    """Find out, before anything is loaded, that a text cannot be searched for.

    Raises:
        UsageError: if the backbone has no text tower, or the space is not that of its pictures.
    """
    if parse_backbone(backbone).library != "open_clip":
        raise UsageError(
            f"a text cannot be searched for: {backbone} knows pictures alone. Backbones that have learnt both are "
            "open_clip:NAME/TAG, for example open_clip:ViT-B-32/laion2b_s34b_b79k (extract.backbone)"
        )
    if space != "frames":
        raise UsageError(f"a text can be compared with pictures alone, not in the space {space!r}: leave out --space")


def is_phrase(text: str) -> bool:
    """Whether it is to be read by a text tower."""
    return text.startswith(TEXT)


def is_image_file(text: str) -> bool:
    """Whether it is the path of a picture that is there."""
    path = Path(text).expanduser()
    return _exists(path) and path.is_file() and is_image(path)


def _without_span(query: Query, span: Span | None) -> Query:
    if span is not None:
        raise UsageError(f"{query} has no seconds: --from and --to are for videos")
    return query


def _filled(template: str, text: str) -> str:
    if template.count("{}") != 1:
        raise UsageError(f"--template {template!r}: one {{}}, where the text goes, is needed")
    if not text:
        raise UsageError(f"{TEXT!r} without a text: write, for example, 'text: a person playing the guitar'")
    return template.replace("{}", text)


def _exists(path: Path) -> bool:
    """Whether anything is there; a name that is too long or holds a zero byte is nothing's."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _taken_apart(video_id: str) -> tuple[str, str]:
    """What precedes the seconds of a segment, and these as ids have them; ("...", "") where there are none."""
    found = SECONDS.fullmatch(video_id)
    if found is None:
        return video_id, ""
    try:
        return found["file"], Span(float(found["start"] or 0), float(found["end"] or math.inf)).fragment
    except (ValueError, UsageError):
        return video_id, ""
