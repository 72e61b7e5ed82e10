"""Why a stage has to run: a closed set of reasons that say themselves in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..data.earlier_settings import present_name
from ..data.wording import counted

MOST_KEYS = 6  # that are shown


@dataclass(frozen=True)
class Reason:
    """Why a stage runs; its sentence, filled in with its fields, says so."""

    says: ClassVar[str]

    def __str__(self) -> str:
        return self.says.format(**vars(self))


class FirstRun(Reason):
    """Nothing of it was ever done."""

    says = "first run"


@dataclass(frozen=True)
class ConfigChanged(Reason):
    """Settings differ from those of the last finished run; (key, before, now) of each."""

    stage: str
    keys: tuple[tuple[str, Any, Any], ...]

    def __str__(self) -> str:
        named = [(key if "." in key else present_name(self.stage, key), before, now) for key, before, now in self.keys]
        changes = [f"{name} {_value(before)} -> {_value(now)}" for name, before, now in named]
        more = f", and {len(changes) - MOST_KEYS} more" if len(changes) > MOST_KEYS else ""
        return f"config changed: {', '.join(changes[:MOST_KEYS])}{more}"


@dataclass(frozen=True)
class WeightsChanged(Reason):
    """The same backbone with the weights of another file."""

    weights: str

    def __str__(self) -> str:
        return f"weights changed: {self.weights or 'those of the hub'}"


@dataclass(frozen=True)
class InputsChanged(Reason):
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


@dataclass(frozen=True)
class Unfinished(Reason):
    """An earlier run was interrupted; what it had done is kept."""

    done: int
    total: int
    unit: str
    says = "interrupted: {done:,} of {total:,} {unit} are done"


@dataclass(frozen=True)
class OutputMissing(Reason):
    """Outputs were deleted or are no longer what was recorded."""

    paths: tuple[str, ...]

    def __str__(self) -> str:
        return f"output missing or changed: {_some(self.paths)}"


@dataclass(frozen=True)
class VersionRaised(Reason):
    """The meaning of the stage's output changed in a newer mofore."""

    before: int
    now: int
    says = "version raised: {before} -> {now}"


@dataclass(frozen=True)
class UpstreamRuns(Reason):
    """A stage above runs first and is going to change what this one reads."""

    stage: str
    says = "upstream: {stage} runs first"


@dataclass(frozen=True)
class UpstreamChanged(Reason):
    """A stage above gave another result than the one this was made from."""

    stage: str
    says = "upstream: the result of {stage} is another"


class DescriptionChanged(Reason):
    """What names, folders, lists or tables say of the videos is not what it was."""

    says = "classes, recordings, sides or other columns of videos changed"


@dataclass(frozen=True)
class ResultElsewhere(Reason):
    """The result is there, but ``metrics.json`` is not its copy."""

    path: str
    says = "metrics.json is missing or of another configuration: it is put back from {path}"


@dataclass(frozen=True)
class PageElsewhere(Reason):
    """The report is there, but ``report/index.html`` leads to another one."""

    path: str
    says = "report/index.html is missing or leads to another report: it is to lead to {path}"


@dataclass(frozen=True)
class ImportLost(Reason):
    """Imported features are gone or damaged, and only the user has them."""

    count: int
    command: str

    def __str__(self) -> str:
        videos = counted(self.count, "imported video")
        return f"the features of {videos} are gone or damaged; bring them again: {self.command}"


@dataclass(frozen=True)
class VideosUnseen(Reason):
    """Videos are to be read, but nothing is where they were."""

    where: str
    says = "{where} is not there, so that nothing can be read"


@dataclass(frozen=True)
class PartAlone(Reason):
    """One of several machines does what is of its part."""

    part: str
    own: int

    def __str__(self) -> str:
        return f"part {self.part}, which has {counted(self.own, 'video')}"


@dataclass(frozen=True)
class PartsLeft(Reason):
    """Parts of an extraction, which several machines did, are to become one."""

    count: int

    def __str__(self) -> str:
        return f"what {counted(self.count, 'part')} extracted is to be merged"


@dataclass(frozen=True)
class TimesBackwards(Reason):
    """Stored times do not rise, as an earlier version left them: they are sorted, nothing is decoded."""

    count: int

    def __str__(self) -> str:
        return (
            f"the stored times of {counted(self.count, 'video')} run backwards (an earlier version took "
            "them as containers have them): they are sorted in place, without decoding"
        )


@dataclass(frozen=True)
class RetryFailed(Reason):
    """Videos that could not be read are to be tried again."""

    count: int

    def __str__(self) -> str:
        return f"retry of {counted(self.count, 'failed video')} was asked for"


class Forced(Reason):
    """It was asked for by --force."""

    says = "forced"


def _value(value: Any) -> str:
    """A setting's value; one that was, or is, at its default may not be recorded at all."""
    return "default" if value is None else repr(value)


def _some(names: tuple[str, ...], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return f"{shown}, ..." if len(names) > most else shown
