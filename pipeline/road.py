"""The stages in the order in which they run, and the plan of all of them."""

from __future__ import annotations

from collections.abc import Collection

from .snapshot import Snapshot
from .stage import Asked, Plan, Stage
from .stages.evaluate import EVALUATE
from .stages.extract import EXTRACT
from .stages.finetune import FINETUNE
from .stages.fit import FIT
from .stages.index import INDEX
from .stages.report import REPORT

ROAD: tuple[Stage, ...] = (EXTRACT, FIT, EVALUATE, INDEX)
# run when they are asked for by name (the report by `mofore run` too), and never called for by others
OPTIONAL: tuple[Stage, ...] = (FINETUNE, REPORT)


def names() -> tuple[str, ...]:
    """Of the stages of a run, in order."""
    return tuple(stage.name for stage in ROAD)


def stage_called(name: str) -> Stage:
    """A stage by its name."""
    return next(stage for stage in (*ROAD, *OPTIONAL) if stage.name == name)


def upto(name: str) -> tuple[str, ...]:
    """A stage and all that come before it; of an optional one, what it needs."""
    stage = stage_called(name)
    if stage in OPTIONAL:
        return (*upto(stage.needs[-1]), name)
    return names()[: names().index(name) + 1]


def make_plan(
    snapshot: Snapshot, *, force: Collection[str] = (), retry_failed: bool = False, optional: bool = False
) -> Plan:
    """Plan all stages.

    Args:
        snapshot: of the work folder.
        force: names of stages that run whatever is there.
        retry_failed: try videos again that could not be read.
        optional: plan the optional ones too.
    """
    plan: Plan = {}
    for stage in (*ROAD, *(OPTIONAL if optional else ())):
        plan[stage.name] = stage.plan(stage, snapshot, plan, Asked(stage.name in force, retry_failed))
    return plan
