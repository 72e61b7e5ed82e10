"""Parts of an extraction, by several processes at once into one work folder (`mofore extract --part`)."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import mofore as package
from mofore.cache import hold
from mofore.data.errors import WorkspaceError
from mofore.data.motion import write_motion_set
from mofore.data.part import Part
from mofore.pipeline.workspace import Workspace
from mofore.tests.cache.test_hold import left_by
from mofore.tests.trials.work import Trial, differing

from .test_rerun import actions, plan_of, reasons

Command = Callable[..., Result]
BACKBONE = "random:test_efficientnet"
FP32 = {"extract.precision": "fp32", "extract.image_size": 32, "extract.decoders": 1}
# Processes that have nothing in common but what they imported, which takes longer than their work.
AT_ONCE = """
import os, sys
import mofore.stages.extract.stage
from mofore.pipeline.cli import cli

children = []
print("ready", flush=True)
for number in (1, 2):
    children.append(os.fork())
    if not children[-1]:
        os.dup2(os.open(f"{sys.argv[1]}/part{number}.txt", os.O_CREAT | os.O_WRONLY), 2)
        cli(["extract", "--part", f"{number}/3", "-w", sys.argv[1]])
print(*[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""
# The first shard is published, and nobody told of it: that is as bad a moment to be killed as there is.
STUCK = """
import sys, time
from pathlib import Path
from mofore.cache.store import FeatureStore
from mofore.pipeline.cli import cli

publish = FeatureStore.publish

def stuck(*given):
    publish(*given)
    Path(sys.argv[1]).touch()
    time.sleep(600)

FeatureStore.publish = stuck
cli(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many clips as everywhere, but shorter: what is tested here is who does them."""
    folder = tmp_path_factory.mktemp("short")
    for _ in write_motion_set(folder, groups=2, clips=1, frames=12):
        pass
    return folder


@pytest.fixture(scope="module")
def whole(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What one process makes of the drawn clips."""
    run = package.init(drawn, tmp_path_factory.mktemp("whole"), backbone=BACKBONE, set=FP32)
    run.extract()
    return Trial(run.path).features()


@pytest.fixture
def work(videos: Path, tmp_path: Path) -> Path:
    """A work folder in which nothing is extracted yet."""
    return package.init(videos, tmp_path / "work", backbone=BACKBONE, set=FP32).path


@contextmanager
def stuck_at_its_first_shard(work: Path, part: str) -> Iterator[None]:
    """A process that extracts a part stays where it is, and is killed in the end."""
    flag = work / "published"
    options = ["extract", "--part", part, "-w", str(work), "--set", "extract.shard_seconds=0"]
    process = subprocess.Popen([sys.executable, "-c", STUCK, str(flag), *options], stderr=subprocess.PIPE)
    try:
        while not flag.exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_parts_at_the_same_time_make_what_one_process_makes(
    mofore: Command, videos: Path, work: Path, whole: dict[str, np.ndarray]
) -> None:
    (videos / "Bounce/broken.avi").write_text("no video")
    others = subprocess.Popen([sys.executable, "-c", AT_ONCE, str(work)], stdout=subprocess.PIPE, text=True)
    assert others.stdout is not None
    assert others.stdout.readline() == "ready\n"
    third = mofore("extract", "--part", "3/3", "-w", work)
    codes = [*others.communicate()[0].split(), str(third.exit_code)]
    told = {1: (work / "part1.txt").read_text(), 2: (work / "part2.txt").read_text(), 3: third.stderr}
    fails = next(number for number in told if Part(number, 3).has("Bounce/broken.avi"))
    assert codes == ["3" if number == fails else "0" for number in told], told
    assert "broken.avi: not a readable video" in told[fails]
    stored = [name for path in work.glob("features/*/*.h5") for name in Trial.ids(path)]
    assert sorted(stored) == sorted(whole), "every video once"
    assert reasons(mofore, work, "extract") == "what 3 parts extracted is to be merged"
    assert "broken.avi" in mofore("status", "-w", work).stdout, "the failure is known"

    done = mofore("extract", "-w", work)
    assert (done.exit_code, "20 videos of 3 parts in 1 shard" in done.stderr) == (3, True)
    assert not differing(Trial(work).features(), whole)
    assert len(list(work.glob("features/*/*.h5"))) == 1
    assert not (work / ".mofore.parts").exists()
    assert actions(mofore, work)["extract"] == "skip"
    assert "up to date" in mofore("extract", "-w", work).stderr


def test_a_part_that_is_killed_is_run_again_and_nobody_else_does_it_meanwhile(
    mofore: Command, work: Path, whole: dict[str, np.ndarray]
) -> None:
    with stuck_at_its_first_shard(work, "1/2"):
        again = mofore("extract", "-w", work, "--part", "1/2")
        assert (again.exit_code, "part 1/2 is at work in" in again.stderr) == (2, True)
        other = mofore("extract", "-w", work, "--part", "1/3")
        assert (other.exit_code, "2 parts share the videos otherwise than 3" in other.stderr) == (2, True)
        plain = mofore("extract", "-w", work)
        assert (plain.exit_code, "another run is at work" in plain.stderr) == (2, True)
        assert "parts of an extraction" in plain.stderr
        assert mofore("extract", "-w", work, "--part", "2/2").exit_code == 0
    safe = {name for path in work.glob("features/*/*.h5") for name in Trial.ids(path) if Part(1, 2).has(name)}
    own = set(filter(Part(1, 2).has, whole))
    assert 0 < len(safe) < len(own)
    again = mofore("extract", "-w", work, "--part", "1/2")
    assert f"{len(own) - len(safe)} videos: part 1/2, which has {len(own)} videos" in again.stderr
    assert "nothing is left of its" in mofore("extract", "-w", work, "--part", "1/2").stderr
    assert not differing(Trial(work).features(), whole)


def test_a_run_does_what_no_part_did(mofore: Command, work: Path, whole: dict[str, np.ndarray]) -> None:
    run = package.open(work)
    own = list(filter(Part(2, 2).has, whole))
    assert run.extract(part=(2, 2)).ran == ["extract"]
    assert run.extract(part=(2, 2)).ran == []
    assert plan_of(mofore, work)["extract"]["todo"] == len(whole) - len(own)
    assert f"{len(whole) - len(own)} videos: what 1 part extracted" in mofore("extract", "-w", work).stderr
    assert not differing(Trial(work).features(), whole)


def test_a_stage_alone_reads_what_parts_left(mofore: Command, work: Path) -> None:
    run = package.open(work, set={"fit.preset": "plain", "fit.steps": 2, "fit.clip_length": 4, "fit.gap_max": 4})
    run.extract(part=(1, 1))
    assert run.fit(only=True).ran == ["fit"]
    assert actions(mofore, work)["extract"] == "skip"


def test_a_part_keeps_out_while_a_run_is_at_work(work: Path) -> None:
    from mofore.cache.lock import exclusive

    run = package.open(work)
    with exclusive(Workspace(work).lock), pytest.raises(WorkspaceError, match="another run is at work"):
        run.extract(part=(1, 2))


@pytest.fixture
def elsewhere(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The lock of part 1/2, which a machine that the locks do not reach has left its mark in."""
    monkeypatch.setattr(hold, "BEAT_S", 0.2)
    path = Workspace(work).part_lock(Part(1, 2))
    path.parent.mkdir()
    path.write_text(left_by("lab2", 0))
    return path


@pytest.fixture
def beating(elsewhere: Path) -> Iterator[None]:
    """That machine is alive: it changes its mark."""
    over = threading.Event()

    def beat() -> None:
        with elsewhere.open("r+") as file:
            for number in count(1):
                if over.wait(0.02):
                    return
                file.seek(0)
                file.write(left_by("lab2", number))
                file.flush()

    beating = threading.Thread(target=beat)
    beating.start()
    yield
    over.set()
    beating.join()


@pytest.mark.usefixtures("beating")
def test_a_part_that_locks_do_not_tell_of_keeps_a_run_out(work: Path, elsewhere: Path) -> None:
    run = package.open(work)
    told = r"a part of an extraction is at work in .* \(process 7 on lab2\), which the locks of its disk did not tell"
    with pytest.raises(WorkspaceError, match=told):
        run.extract()
    assert elsewhere.read_text().startswith("process 7 on lab2"), "whose mark stays"


@pytest.mark.usefixtures("beating")
def test_parts_that_locks_do_not_tell_of_keep_out_who_would_write_their_videos(work: Path) -> None:
    run = package.open(work)
    with pytest.raises(WorkspaceError, match=r"one of 2 parts is at work in .* \(process 7 on lab2\)"):
        run.extract(part=(1, 3))
    with pytest.raises(WorkspaceError, match=r"part 1/2 is at work in .* already \(process 7 on lab2\)"):
        run.extract(part=(1, 2))
    run.extract(part=(2, 2))


def test_the_mark_of_a_part_that_was_killed_elsewhere_is_watched_once(
    work: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, slept = Workspace(work), list[float]()
    monkeypatch.setattr(hold.time, "monotonic", lambda: sum(slept))
    monkeypatch.setattr(hold.time, "sleep", slept.append)
    with workspace.alone():
        assert sum(slept) >= hold.BEATS_WATCHED * hold.BEAT_S
    assert elsewhere.read_text() == ""
    slept.clear()
    with workspace.alone():
        assert not slept


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--part", "5/4"), "part 5/4: they are counted from 1, so that of 4 there are 1/4 to 4/4"),
        (("--part", "0/4"), "part 0/4: they are counted from 1"),
        (("--part", "1/0"), "part 1/0: they are counted from 1, so that of 1 there are 1/1 to 1/1"),
        (("--part", "x"), "part 'x': which of how many"),
        (("--part", "-1/2"), "part '-1/2'"),
        (("--part", "1/2", "--force"), "part 1/2 cannot be forced"),
    ],
)
def test_wrong_parts_are_named(mofore: Command, work: Path, options: tuple[str, ...], told: str) -> None:
    done = mofore("extract", "-w", work, *options)
    assert (done.exit_code, told in done.stderr) == (2, True), done.stderr
    assert not (work / ".mofore.parts").exists()


def test_features_that_were_imported_have_no_parts(mofore: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", a=np.ones((30, 4), np.float32), b=np.ones((30, 4), np.float32))
    assert mofore("import", tmp_path / "mine.npz", "-w", tmp_path / "work").exit_code == 0
    done = mofore("extract", "-w", tmp_path / "work", "--part", "1/2")
    assert (done.exit_code, "were imported" in done.stderr) == (2, True), done.stderr


def test_a_machine_of_another_kind_is_told_to_name_the_device(work: Path) -> None:
    workspace = Workspace(work)
    workspace.parts.mkdir()
    (workspace.parts / "device").write_text("cuda")
    with pytest.raises(WorkspaceError, match=r"extract on cpu, but the first part began on cuda.*device=cuda"):
        package.open(work).extract(part=(1, 2))
    assert package.open(work, set={"extract.device": "cpu"}).extract(part=(1, 8)).ran == ["extract"]


def test_every_video_is_of_one_part_and_stays_there() -> None:
    ids = [f"Class{number % 7}/v_{number}.avi" for number in range(1000)]
    sizes = [sum(map(Part(number, 8).has, ids)) for number in range(1, 9)]
    assert sum(sizes) == 1000
    assert min(sizes) > 90, "about equal"
    told = [next(n for n in (1, 2, 3) if Part.parse(f"{n}/3").has(each)) for each in ids[:6]]
    assert told == [3, 1, 1, 1, 1, 1], "another rule would give videos of a begun work folder to others"
