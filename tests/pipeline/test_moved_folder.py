"""A folder that is renamed while a run is at work: nothing appears at its old path, and it goes on at its new one."""

import shutil
from pathlib import Path

import pytest

import mofore
from mofore.data.errors import StageError
from mofore.pipeline.opened_folder import Quiet

STAGES = ("extract", "fit", "evaluate", "index")
MADE = ("fit/*/model.safetensors", "fit/*/log.jsonl", "index/*/*/*.faiss")


class Renaming(Quiet):
    """Renames a folder when a stage has advanced so many times, or begins."""

    def __init__(self, folder: Path, stage: str, times: int, *, replaced: bool = False) -> None:
        super().__init__()
        self.moved = folder.with_name(f"{folder.name}-moved")
        self._folder, self._stage, self._left, self._replaced = folder, stage, times, replaced
        self._now = ""

    def start(self, stage: str, total: int, unit: str) -> None:
        self._now = stage

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
        self._left -= self._now == self._stage
        if self._left == 0:
            self._folder.rename(self.moved)
            if self._replaced:
                self._folder.mkdir()


def empty(finished: Path, root: Path, upto: str) -> Path:
    """A copy of a finished work folder without what a stage and those after it made."""
    shutil.copytree(finished, root)
    for stage in STAGES[STAGES.index(upto) :]:
        shutil.rmtree(root / ("features" if stage == "extract" else stage), ignore_errors=True)
    for name in ("up-to-date.json", "metrics.json"):
        (root / name).unlink(missing_ok=True)
    return root


def bits(root: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(root)): path.read_bytes() for pattern in MADE for path in root.glob(pattern)}
    assert len(found) >= len(MADE)
    return found


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize(("stage", "times"), [("extract", 2), ("fit", 3)])
def test_a_renamed_work_folder_goes_on_under_its_new_name(
    finished: Path, tmp_path: Path, stage: str, times: int, replaced: bool
) -> None:
    root = empty(finished, tmp_path / "a", stage)
    watcher = Renaming(root, stage, times, replaced=replaced)
    with pytest.raises(StageError, match=rf"'{root}' was renamed.*'{watcher.moved}' now: go on there with -w"):
        mofore.open(root, progress=watcher).run()
    assert not root.exists() or not any(root.iterdir())
    mofore.open(watcher.moved).run()
    assert bits(watcher.moved) == bits(finished)


def test_renamed_videos_are_not_recorded_as_broken(finished: Path, tmp_path: Path) -> None:
    root = empty(finished, tmp_path / "a", "extract")
    watcher = Renaming(root / "videos", "extract", 1)
    run = mofore.open(root, set={"extract.decoders": 1}, progress=watcher)
    with pytest.raises(StageError, match=r"out of reach(.|\n)*No such file"):
        run.extract()
    watcher.moved.rename(root / "videos")
    run = mofore.open(root)
    assert not run.status().failures
    run.run()
    assert bits(root) == bits(finished)
