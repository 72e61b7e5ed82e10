"""Why a stage has to run: a closed set of reasons that say themselves in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..data.settings import present_name
from ..data.wording import counted

MOST_KEYS = 6  # that are shown


@dataclass(frozen=True, slots=True)
class FirstRun:
    """Nothing of it was ever done."""

    def __str__(self) -> str:
        return "first run"


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """Settings differ from those of the last finished run; (key, before, now) of each."""

    stage: str
    keys: tuple[tuple[str, Any, Any], ...]

    def __str__(self) -> str:
        changes = [f"{self._named(key)} {before!r} -> {now!r}" for key, before, now in self.keys]
        more = f", and {len(changes) - MOST_KEYS} more" if len(changes) > MOST_KEYS else ""
        return f"config changed: {', '.join(changes[:MOST_KEYS])}{more}"

    def _named(self, key: str) -> str:
        """A setting by its present name."""
        return key if "." in key else present_name(self.stage, key)


@dataclass(frozen=True, slots=True)
class WeightsChanged:
    """The same backbone with the weights of another file."""

    weights: str

    def __str__(self) -> str:
        return f"weights changed: {self.weights or 'those of the hub'}"


@dataclass(frozen=True, slots=True)
class InputsChanged:
    """Videos were added, changed or removed since the last finished run."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [
            f"{counted(len(ids), 'video')} {what} ({_some(ids)})"
            for what, ids in (("added", self.added), ("changed", self.changed), ("removed", self.removed))
            if ids
        ]
        return ", ".join(parts) or "class, group or side of the split changed"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An earlier run was interrupted; what it had done is kept."""

    done: int
    total: int
    unit: str

    def __str__(self) -> str:
        return f"interrupted: {self.done:,} of {self.total:,} {self.unit} are done"


@dataclass(frozen=True, slots=True)
class OutputMissing:
    """Outputs were deleted or are no longer what was recorded."""

    paths: tuple[str, ...]

    def __str__(self) -> str:
        return f"output missing or changed: {_some(self.paths)}"


@dataclass(frozen=True, slots=True)
class VersionRaised:
    """The meaning of the stage's output changed in a newer mofore."""

    before: int
    now: int

    def __str__(self) -> str:
        return f"version raised: {self.before} -> {self.now}"


@dataclass(frozen=True, slots=True)
class UpstreamRuns:
    """A stage above runs first and is going to change what this one reads."""

    stage: str

    def __str__(self) -> str:
        return f"upstream: {self.stage} runs first"


@dataclass(frozen=True, slots=True)
class UpstreamChanged:
    """A stage above gave another result than the one this was made from."""

    stage: str

    def __str__(self) -> str:
        return f"upstream: the result of {self.stage} is another"


@dataclass(frozen=True, slots=True)
class DescriptionChanged:
    """What names, folders, lists or tables say of the videos is not what it was."""

    def __str__(self) -> str:
        return "classes, recordings, sides or other columns of videos changed"


@dataclass(frozen=True, slots=True)
class ResultElsewhere:
    """The result is there, but ``metrics.json`` is not its copy."""

    path: str

    def __str__(self) -> str:
        return f"metrics.json is missing or of another configuration: it is put back from {self.path}"


@dataclass(frozen=True, slots=True)
class ImportLost:
    """Imported features are gone or damaged, and only the user has them."""

    count: int
    command: str

    def __str__(self) -> str:
        videos = counted(self.count, "imported video")
        return f"the features of {videos} are gone or damaged; bring them again: {self.command}"


@dataclass(frozen=True, slots=True)
class VideosUnseen:
    """Videos are to be read, but nothing is where they were."""

    where: str

    def __str__(self) -> str:
        return f"{self.where} is not there, so that nothing can be read"


@dataclass(frozen=True, slots=True)
class TimesBackwards:
    """Stored times do not rise, as an earlier version left them: they are sorted, nothing is decoded."""

    count: int

    def __str__(self) -> str:
        return (
            f"the stored times of {counted(self.count, 'video')} run backwards (an earlier version took "
            "them as containers have them): they are sorted in place, without decoding"
        )


@dataclass(frozen=True, slots=True)
class RetryFailed:
    """Videos that could not be read are to be tried again."""

    count: int

    def __str__(self) -> str:
        return f"retry of {counted(self.count, 'failed video')} was asked for"


@dataclass(frozen=True, slots=True)
class Forced:
    """It was asked for by --force."""

    def __str__(self) -> str:
        return "forced"


Reason = (
    FirstRun
    | ConfigChanged
    | WeightsChanged
    | InputsChanged
    | Unfinished
    | OutputMissing
    | VersionRaised
    | UpstreamRuns
    | UpstreamChanged
    | DescriptionChanged
    | ResultElsewhere
    | ImportLost
    | VideosUnseen
    | TimesBackwards
    | RetryFailed
    | Forced
)


def _some(names: tuple[str, ...], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return f"{shown}, ..." if len(names) > most else shown
