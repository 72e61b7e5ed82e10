"""A work folder whose videos are not there: a disk that is not mounted, a folder that was moved away."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from mofore.cache.known_videos import NAME
from mofore.cache.ledger import Ledger
from mofore.data.errors import CatalogError
from mofore.pipeline.config import load_config
from mofore.pipeline.snapshot import Snapshot, observe
from mofore.pipeline.workspace import Workspace

from ..conftest import TINY

Command = Callable[..., Result]
ORBIT = "v_Orbit_g01_c01"
UP_TO_DATE = {"extract": "skip", "fit": "skip", "evaluate": "skip", "index": "skip"}


def actions(mofore: Command, work: Path) -> dict[str, str]:
    result = mofore("status", "--json", "-w", work)
    assert result.exit_code == 0, result.stderr
    return {name: stage["action"] for name, stage in json.loads(result.stdout)["stages"].items() if name != "report"}


def look(work: Path) -> Snapshot:
    workspace = Workspace.open(work)
    return observe(workspace, load_config(workspace.config), Ledger.open(workspace.ledger))


def described(work: Path) -> list[Any]:
    """Of each video what the stages read."""
    seen = look(work)
    return [
        (video.id, video.label, video.more_labels, video.group, video.metadata, seen.split.side(video.id))
        for video in seen.catalog.videos
    ]


def hide(work: Path, *, emptied: bool = False) -> None:
    (work / "videos").rename(work.parent / "elsewhere")
    if emptied:  # a mount point without its disk
        (work / "videos").mkdir()


@pytest.fixture(params=["remembered", "by an earlier version"])
def memory(request: pytest.FixtureRequest, work: Path) -> str:
    """With and without the memory of which videos there were."""
    if request.param != "remembered":
        (work / NAME).unlink()
    return str(request.param)


@pytest.mark.parametrize("emptied", [False, True])
def test_everything_stays_up_to_date_without_the_videos(
    mofore: Command, work: Path, memory: str, *, emptied: bool
) -> None:
    before = described(work)
    hide(work, emptied=emptied)
    assert described(work) == before
    assert actions(mofore, work) == UP_TO_DATE
    said = f"videos not looked at: data.root = '{work}/videos' is not there"
    assert said in mofore("status", "-w", work).stdout
    done = mofore("run", "-w", work)
    assert done.exit_code == 0
    assert f"extract  up to date (20 videos, 480 frames; {said})" in done.stderr


def test_search_by_id_metrics_and_comparison_need_no_videos(mofore: Command, work: Path) -> None:
    asked = ("search", ORBIT, "--json", "-w", work)
    before = mofore(*asked).stdout
    hide(work)
    assert mofore(*asked).stdout == before
    spanned = mofore("search", ORBIT, "--from", "0.2", "--to", "0.6", "-w", work)
    assert spanned.exit_code == 0, "its features are stored"
    other = shutil.copytree(work, work.parent / "other")
    assert mofore("compare", work, other).exit_code == 0
    assert mofore("verify", "-w", work).exit_code == 0
    assert mofore("search", ORBIT, "--sheet", work / "sheet.png", "-w", work).exit_code == 0


def test_a_file_is_searched_for_although_the_videos_are_not_there(mofore: Command, work: Path) -> None:
    hide(work)
    found = mofore("search", work.parent / f"elsewhere/Orbit/{ORBIT}.avi", "--json", "-w", work)
    assert json.loads(found.stdout)["neighbours"][0]["video_id"] == f"Orbit/{ORBIT}.avi"


def test_fit_evaluate_and_index_run_without_the_videos(mofore: Command, work: Path, memory: str) -> None:
    hide(work)
    done = mofore("run", "-w", work, "--set", "fit.seed=3")
    assert done.exit_code == 0, done.stderr
    for stage in ("fit", "evaluate", "index"):
        assert f"{stage:<8} done" in done.stderr
    (work.parent / "elsewhere").rename(work / "videos")
    assert set(UP_TO_DATE) == set(actions(mofore, work))
    assert "up to date" in mofore("run", "-w", work, "--set", "fit.seed=3").stderr


def test_extraction_refuses_and_names_the_setting(mofore: Command, work: Path) -> None:
    hide(work)
    assert mofore("extract", "-w", work).exit_code == 0, "all that was known is stored"
    for command in (("extract", "--force"), ("extract", "--set", "extract.stride=2"), ("finetune",)):
        refused = mofore(*command, "-w", work)
        assert refused.exit_code == 2
        assert "data.root" in refused.stderr
        assert "videos' " in refused.stderr
    assert actions(mofore, work) == UP_TO_DATE
    forced = mofore("extract", "--force", "-w", work)
    assert "20 videos would be read" in forced.stderr
    assert "set data.root to where the videos are now" in forced.stderr


def test_videos_that_are_known_but_not_stored_are_asked_for(mofore: Command, work: Path) -> None:
    shutil.copy(work / f"videos/Orbit/{ORBIT}.avi", work / "videos/Orbit/v_Orbit_g03_c01.avi")
    assert mofore("fit", "--only", "--force", "-w", work).exit_code == 2, "it looked, and remembers"
    hide(work)
    assert actions(mofore, work)["extract"] == "partial"
    assert (
        f"data.root = '{work}/videos' is not there, so that nothing can be read" in mofore("status", "-w", work).stdout
    )
    refused = mofore("run", "-w", work)
    assert refused.exit_code == 2
    assert "1 video would be read, but data.root" in refused.stderr
    assert mofore("search", ORBIT, "-w", work).exit_code == 0
    (work / NAME).unlink()
    assert actions(mofore, work) == UP_TO_DATE, "without the memory what is stored is all that is known"


def test_videos_that_were_removed_before_stay_removed(mofore: Command, work: Path) -> None:
    shutil.rmtree(work / "videos/Bounce")
    assert mofore("run", "-w", work).exit_code == 0
    before = described(work)
    hide(work)
    assert described(work) == before
    assert actions(mofore, work) == UP_TO_DATE


def test_a_video_that_changed_is_known_by_its_latest_features(mofore: Command, work: Path, memory: str) -> None:
    (work / "videos/Bounce/v_Bounce_g01_c01.avi").write_bytes(
        (work / "videos/Bounce/v_Bounce_g02_c01.avi").read_bytes()
    )
    assert mofore("run", "-w", work).exit_code == 0
    if memory != "remembered":
        (work / NAME).unlink()
    hide(work)
    assert actions(mofore, work) == UP_TO_DATE


def test_a_video_that_could_not_be_read_stays_one(mofore: Command, work: Path, memory: str) -> None:
    (work / "videos/Orbit/broken.avi").write_text("no video")
    assert mofore("run", "-w", work).exit_code == 3
    if memory != "remembered":
        (work / NAME).unlink()
    hide(work)
    assert actions(mofore, work) == UP_TO_DATE
    assert "unreadable: Orbit/broken.avi" in mofore("status", "-w", work).stdout
    assert mofore("extract", "--retry-failed", "-w", work).exit_code == 2


def test_a_memory_that_is_damaged_is_as_good_as_none(mofore: Command, work: Path) -> None:
    (work / NAME).write_text("{")
    hide(work)
    assert actions(mofore, work) == UP_TO_DATE


def test_one_of_several_roots_that_is_not_there_is_an_error(mofore: Command, work: Path) -> None:
    parts = [work / "one", work / "two"]
    for part, names in zip(parts, (("Bounce", "Orbit"), ("ZoomIn", "ZoomOut")), strict=True):
        part.mkdir()
        for name in names:
            shutil.copytree(work / "videos" / name, part / name)
    settings = ("--backbone", "random:test_efficientnet", "-w", work.parent / "two-roots", *TINY, "--no-estimate")
    assert mofore("init", *parts, *settings).exit_code == 0
    both = work.parent / "two-roots"
    assert mofore("run", "-w", both).exit_code == 0
    before = described(both)
    parts[0].rename(work / "gone")
    assert mofore("status", "-w", both).exit_code == 2
    assert "does not exist" in mofore("status", "-w", both).stderr
    parts[1].rename(work / "gone too")
    assert described(both) == before
    assert actions(mofore, both) == UP_TO_DATE


def test_a_list_whose_files_are_not_there_counts_as_no_videos(mofore: Command, work: Path) -> None:
    files = work.parent / "files.txt"
    files.write_text("".join(f"{path}\n" for path in sorted((work / "videos").glob("*/*.avi"))))
    listed = work.parent / "listed"
    settings = ("--backbone", "random:test_efficientnet", "-w", listed, *TINY, "--no-estimate")
    assert mofore("init", files, *settings).exit_code == 0
    assert mofore("run", "-w", listed).exit_code == 0
    hide(work)
    assert actions(mofore, listed) == UP_TO_DATE


def test_a_work_folder_without_features_needs_its_videos(mofore: Command, videos: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert mofore("init", videos, "--backbone", "random:test_efficientnet", "-w", work, "--no-estimate").exit_code == 0
    shutil.rmtree(videos)
    refused = mofore("status", "-w", work)
    assert refused.exit_code == 2
    assert "does not exist" in refused.stderr
    assert mofore("init", videos, "-w", work, "--force").exit_code == 2


TABLE = """video,label,split,group,start_s,end_s,camera
Orbit/v_Orbit_g01_c01.avi,round;slow,train,a,0,0.4,one
Orbit/v_Orbit_g01_c01.avi,round,train,a,0.4,0.9,one
Orbit/v_Orbit_g02_c01.avi,round,val,b,,,two
Bounce/v_Bounce_g01_c01.avi,jump,train,c,,,one
Bounce/v_Bounce_g02_c01.avi,jump,val,d,,,two
"""


@pytest.mark.parametrize("table_gone", [False, True])
def test_classes_sides_and_segments_of_a_table_are_known_even_without_it(
    mofore: Command, videos: Path, tmp_path: Path, *, table_gone: bool
) -> None:
    table, work = tmp_path / "table.csv", tmp_path / "work"
    table.write_text(TABLE)
    settings = ("--backbone", "random:test_efficientnet", "-w", work, *TINY, "--no-estimate")
    assert mofore("init", videos, "--table", table, *settings).exit_code == 0
    done = mofore("run", "-w", work)
    assert done.exit_code == 0, done.stderr
    before = described(work)
    videos.rename(tmp_path / "elsewhere")
    if table_gone:
        table.unlink()
    assert described(work) == before
    found = actions(mofore, work)
    assert {name: found[name] for name in ("extract", "fit", "index")} == dict.fromkeys(
        found.keys() - {"evaluate"}, "skip"
    )
    asked = mofore("search", "v_Orbit_g02_c01", "--class", "round", "--json", "-w", work)
    assert len(json.loads(asked.stdout)["neighbours"]) == 2


def test_a_table_that_is_gone_while_the_videos_are_there_is_an_error(
    mofore: Command, videos: Path, tmp_path: Path
) -> None:
    table, work = tmp_path / "table.csv", tmp_path / "work"
    table.write_text(TABLE)
    settings = ("--backbone", "random:test_efficientnet", "-w", work, *TINY, "--no-estimate")
    assert mofore("init", videos, "--table", table, *settings).exit_code == 0
    assert mofore("run", "-w", work).exit_code == 0
    table.unlink()
    with pytest.raises(CatalogError):
        look(work)


def test_sides_of_official_lists_are_known_even_without_them(mofore: Command, videos: Path, tmp_path: Path) -> None:
    lists, work = tmp_path / "lists", tmp_path / "work"
    lists.mkdir()
    names = sorted(path.relative_to(videos).as_posix() for path in videos.glob("*/*.avi"))
    (lists / "trainlist01.txt").write_text("".join(f"{name} 1\n" for name in names if "_g01_" in name))
    (lists / "testlist01.txt").write_text("".join(f"{name}\n" for name in names if "_g02_" in name))
    settings = ("--backbone", "random:test_efficientnet", "-w", work, *TINY, "--no-estimate")
    assert mofore("init", videos, "--splits", lists, *settings).exit_code == 0
    assert mofore("run", "-w", work).exit_code == 0
    before = described(work)
    videos.rename(tmp_path / "elsewhere")
    assert actions(mofore, work) == UP_TO_DATE
    shutil.rmtree(lists)
    assert described(work) == before
    found = actions(mofore, work)
    assert (found["fit"], found["index"]) == ("skip", "skip")
    assert mofore("run", "-w", work).exit_code == 0


def sizes(work: Path) -> dict[Path, int]:
    """Of all files but the log."""
    return {path: path.stat().st_size for path in work.rglob("*") if path.is_file() and path.name != "mofore.log"}


def test_gc_deletes_nothing_while_the_videos_are_not_there(mofore: Command, work: Path, memory: str) -> None:
    assert mofore("run", "-w", work, "--set", "fit.seed=3").exit_code == 0  # another fit, which may go
    if memory != "remembered":
        (work / NAME).unlink(missing_ok=True)
    hide(work)
    before = sizes(work)
    listing = mofore("gc", "--json", "-w", work)
    assert listing.exit_code == 0
    assert not [item for item in json.loads(listing.stdout)["items"] if item["kind"] in ("rows", "features")]
    assert "--delete deletes nothing until the videos are" in mofore("gc", "-w", work).stdout
    for more in ((), ("--missing-videos",)):
        refused = mofore("gc", "--delete", *more, "-w", work)
        assert refused.exit_code == 2
        assert "nothing was deleted" in refused.stderr
    assert sizes(work) == before
