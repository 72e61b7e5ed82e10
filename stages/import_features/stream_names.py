"""Which files of a folder are of one video: ``NAME_rgb`` and ``NAME_flow`` beside ``NAME_fps``, ``NAME_timestamps_ms``.

The names are those of the tool video_features: one file for each stream of features, one 0-d array with the rate of
the video, one (T,) with the time of each feature, in milliseconds. Only names and shapes are looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...data.errors import FeaturesError
from .options import listed, shown

RATE, TIMES = "_fps", "_timestamps_ms"
PAIR = ("rgb", "flow")
KNOWN = (*PAIR, "clip", "i3d", "r21d", "resnet", "s3d", "timm", "vggish")  # noted where all names end so


@dataclass(frozen=True, slots=True)
class StreamNames:
    """The files of each video, named by their stems."""

    streams: tuple[str, ...]  # in the order they are joined; the empty one is of names without ending
    files: Mapping[str, tuple[str, ...]]  # of each video, one for each stream
    times: Mapping[str, str]  # of a video, that of its times in milliseconds, where there is one
    rates: Mapping[str, str]  # of a video, that of its rate, where there is one
    unused: tuple[str, ...]  # files that are none of these, nor streams that were not asked for


def find_streams(shapes: Mapping[str, tuple[int, ...]], wanted: tuple[str, ...] = ()) -> StreamNames | None:
    """The videos of a folder whose names end in streams; None if every file is a video of its own.

    Files are streams if they were asked for, if there are files of rates or times beside them, or if most names come
    in pairs ``_rgb`` and ``_flow``.

    Args:
        shapes: of the array of each stem.
        wanted: streams; empty for all there are.

    Raises:
        FeaturesError: naming a video that lacks a stream, or a stream that no file has.
    """
    rates = {_name(stem, RATE): stem for stem, shape in shapes.items() if _name(stem, RATE) and shape in ((), (1,))}
    times = {_name(stem, TIMES): stem for stem, shape in shapes.items() if _name(stem, TIMES) and len(shape) == 1}
    beside = {*rates.values(), *times.values()}
    others = [stem for stem in shapes if stem not in beside]
    streams = wanted or _present(others, rates.keys() | times.keys())
    if not streams:
        return None
    found = _by_video(others, streams)
    if not found:
        endings = listed(sorted({stem.rpartition("_")[2] for stem in others if "_" in stem}))
        raise FeaturesError(f"--streams {','.join(streams)}: no name ends so; names end in {endings or 'no stream'}")
    files = {video: _complete(video, found, streams) for video in found}
    mine = {file for stems in files.values() for file in stems}
    unused = (stem for stem in shapes if stem not in mine and not _of(stem, files, all_streams=bool(wanted)))
    times, rates = ({video: stem for video, stem in one.items() if video in files} for one in (times, rates))
    return StreamNames(streams, files, times, rates, tuple(unused))


def common_ending(stems: Collection[str]) -> str | None:
    """The known stream that all names end in, if there is one."""
    return next((key for key in KNOWN if stems and all(_name(stem, f"_{key}") for stem in stems)), None)


def paired(stems: Collection[str]) -> int:
    """Number of names that come both with ``_rgb`` and with ``_flow``."""
    rgb, flow = ({_name(stem, f"_{key}") for stem in stems} - {""} for key in PAIR)
    return len(rgb & flow)


def _present(stems: Sequence[str], companions: Collection[str]) -> tuple[str, ...]:
    """The streams there are, in the order they are joined."""
    if not companions:
        return PAIR if 4 * paired(stems) > len(stems) else ()
    keys: Counter[str] = Counter()
    for stem in stems:
        keys.update([key for name, key in _splits(stem) if name in companions][:1])
    streams = {key for key in keys if not any(key.endswith(f"_{other}") for other in keys if other)}
    return PAIR if streams == set(PAIR) else tuple(sorted(streams))


def _by_video(stems: Sequence[str], streams: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Of each video, the file of each stream."""
    found: dict[str, dict[str, str]] = {}
    for stem in stems:
        keys = [key for key in streams if key and _name(stem, f"_{key}")]
        if keys or "" in streams:
            key = max(keys, key=len, default="")
            found.setdefault(_name(stem, f"_{key}" if key else ""), {})[key] = stem
    return found


def _complete(video: str, found: Mapping[str, Mapping[str, str]], streams: tuple[str, ...]) -> tuple[str, ...]:
    """The files of a video, one for each stream."""
    lacking = [stream for stream in streams if stream not in found[video]]
    if lacking:
        others = sum(1 for files in found.values() if len(files) < len(streams)) - 1
        more = f" (and {others:,} more videos lack one)" if others else ""
        raise FeaturesError(
            f"'{shown(video)}' has no _{lacking[0]}.npy{more}, but _{next(iter(found[video]))}.npy: make it, "
            "move the video away, or choose a stream that all have with --streams"
        )
    return tuple(found[video][stream] for stream in streams)


def _of(stem: str, videos: Collection[str], *, all_streams: bool) -> bool:
    """Whether a file that is no stream belongs to a video: its rate, its times, or a stream that was not asked for."""
    return any(name in videos and (all_streams or f"_{key}" in (RATE, TIMES)) for name, key in _splits(stem))


def _name(stem: str, ending: str) -> str:
    """The video's name, without the ending; empty if the stem has another one, or no name before it."""
    name = stem.removesuffix(ending) if stem.endswith(ending) else ""
    return "" if name.endswith("/") else name


def _splits(stem: str) -> Iterator[tuple[str, str]]:
    """Every way to split a stem into a name and a stream, the longest name first."""
    yield stem, ""
    at = len(stem)
    while (at := stem.rfind("_", 0, at)) > 0:
        yield stem[:at], stem[at + 1 :]
