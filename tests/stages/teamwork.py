"""What the processes of a team do in tests; a module of its own, since they import it."""

import os
import shutil
import signal
from pathlib import Path

import torch

from mofore.cache.checkpoint import numbered
from mofore.data.errors import StageError
from mofore.stages.distributed.process_group import ProcessGroup
from mofore.stages.distributed.tasks import Tasks
from mofore.stages.fit.stage import FitJob, assist


def fit_all(jobs: list[FitJob], process_group: ProcessGroup) -> None:
    """One fit after another."""
    for job in jobs:
        assist(job, process_group)


def fit_twice(jobs: list[FitJob], process_group: ProcessGroup) -> None:
    """The last job goes on in the middle of the first one, as if that had been killed there."""
    fit_all(jobs[:-1], process_group)
    if process_group.writes:
        begin_in_the_middle(jobs[0].folder, jobs[-1].folder)
    fit_all(jobs[-1:], process_group)


def begin_in_the_middle(whole: Path, other: Path) -> None:
    shutil.copytree(whole, other)
    checkpoints = numbered(other)
    for path in checkpoints[: len(checkpoints) // 2]:
        path.unlink()


def exchange(process_group: ProcessGroup) -> None:
    process_group.add_up(torch.ones(3))


def both_exchange(_job: object, process_group: ProcessGroup) -> None:
    exchange(process_group)


def the_second_fails(_job: object, process_group: ProcessGroup) -> None:
    if process_group.rank == 1:
        raise StageError("the disk of the second is full")
    exchange(process_group)


def the_second_is_killed(_job: object, process_group: ProcessGroup) -> None:
    if process_group.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    exchange(process_group)


def the_second_dies_at_a_task(_job: object, process_group: ProcessGroup) -> None:
    tasks = Tasks(process_group)
    if process_group.rank:
        for _ in tasks.given():
            os.kill(os.getpid(), signal.SIGKILL)
    tasks.all_do("one", lambda: None, lambda: None)


def the_second_waits(_job: object, process_group: ProcessGroup) -> None:
    if process_group.rank == 1:
        exchange(process_group)
