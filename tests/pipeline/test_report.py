"""The report as a stage: made, skipped, made again, put back; and what is on the page."""

import json
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import mofore as package
from mofore.pipeline.stages import report as stage

Command = Callable[..., Result]


def page(work: Path) -> Path:
    lead = (work / "report" / "index.html").read_text()
    return work / "report" / re.findall(r'href="([^"]+)"', lead)[0]


def text(work: Path) -> str:
    return page(work).read_text()


def script(path: Path) -> dict:
    """The values of a script of data, by name."""
    values = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition("window.mofore||{};window.mofore.")[2].partition("=")
        values[name] = json.loads(value.removesuffix(";"))
    return values


def test_a_run_ends_with_a_page_and_says_where(finished: Path, mofore: Command) -> None:
    told = mofore("run", "-w", finished)
    assert re.search(r"report +up to date \(.*index\.html\)", told.stderr)
    found = text(finished)
    assert "Training made no measurable difference" in found or "Training" in found
    for section in (
        "figures",
        "retrieval",
        "map",
        "similarity",
        "classes",
        "forecast",
        "training",
        "extraction",
        "again",
    ):
        assert f'id="{section}"' in found
    assert "mofore init" in unescape(found)
    assert not re.search(r'(src|href)="https?:', found), "nothing is asked of the network"


def test_every_row_of_the_headline_is_that_of_the_metrics(finished: Path) -> None:
    metrics = json.loads((finished / "metrics.json").read_text())
    body = text(finished).partition('class="headline"')[2].partition("</table>")[0]
    for name in ("mofore", "raw_mean_pool", metrics["protocol"]["best_trivial"]):
        row = next(row for row in body.split("<tr")[2:] if f">{name}" in row)
        assert f'<td class="strong">{metrics["retrieval"][name]["mAP"]:.1f}</td>' in row


def test_the_neighbours_are_those_of_a_search(finished: Path) -> None:
    folder = page(finished).parent / "data"
    videos, spaces = script(folder / "videos.js")["videos"], script(folder / "neighbours.js")["spaces"]
    import base64

    (mine,) = [space for space in spaces if space["name"] == "mofore"]
    near_VK = np.frombuffer(base64.b64decode(mine["near"]["base64"]), "<i2").reshape(-1, mine["count"])
    similarity_VK = np.frombuffer(base64.b64decode(mine["similarity"]["base64"]), "<i2").reshape(near_VK.shape)
    run = package.open(finished)
    for video in range(0, len(videos["ids"]), 7):
        found = run.search(videos["ids"][video], k=3, side="train")
        assert [videos["ids"][row] for row in near_VK[video, :3]] == [each.video_id for each in found]
        assert np.allclose(similarity_VK[video, :3] / 10_000, [each.similarity for each in found], atol=1e-4)


def test_it_is_made_again_only_where_something_changed(work: Path, mofore: Command) -> None:
    first = page(work)
    assert "up to date" in mofore("report", "-w", work).stderr.splitlines()[-1]
    told = mofore("report", "-w", work, "--set", "index.center=false")
    assert re.search(r"^report +done ", told.stderr, re.MULTILINE)
    assert re.search(r"^report +run +20 videos: .*(evaluate|index)", told.stderr, re.MULTILINE), "the reason is named"
    assert page(work) != first
    assert first.exists(), "nothing is overwritten"
    assert "report   partial    report/index.html is missing or leads to another" in mofore("report", "-w", work).stderr
    assert page(work) == first, "the way in leads to the report of these settings again"


def test_pictures_are_taken_from_the_report_before(
    work: Path, mofore: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mofore.stages.report import thumbnails

    monkeypatch.setattr(thumbnails, "glimpse", lambda *_given, **_more: pytest.fail("a video was opened"))
    mofore("report", "-w", work, "--set", "index.center=false")
    assert list(page(work).parent.glob("thumbs/*.webp"))


def test_without_a_page_if_it_is_not_wanted(work: Path, mofore: Command) -> None:
    shutil.rmtree(work / "report")
    mofore("run", "-w", work, "--no-report")
    assert not (work / "report").exists()
    assert package.open(work).report() == page(work)


def test_a_page_that_was_deleted_is_made_again(work: Path, mofore: Command) -> None:
    page(work).unlink()
    mofore("report", "-w", work)
    assert page(work).exists()
    (work / "report" / "index.html").unlink()
    mofore("report", "-w", work)
    assert page(work).exists()


def test_gc_keeps_the_page_and_the_way_to_it(work: Path, mofore: Command) -> None:
    mofore("report", "-w", work, "--set", "index.center=false")
    old = page(work)
    mofore("report", "-w", work)
    told = mofore("gc", "-w", work, "--delete").output
    assert "left alone" not in told
    assert not old.exists()
    assert not old.parent.exists()
    assert page(work).exists()


def test_videos_that_moved_away_leave_a_page_with_their_pictures(work: Path, mofore: Command) -> None:
    (work / "videos").rename(work / "elsewhere")
    assert mofore("report", "-w", work).exit_code == 0
    assert "pictures are those of an earlier report" in text(work)
    assert list(page(work).parent.glob("thumbs/*.webp"))


def test_without_classes_the_page_says_what_it_cannot_say(drawn: Path, tmp_path: Path, mofore: Command) -> None:
    from ..conftest import TINY

    (tmp_path / "flat").mkdir()
    for number, clip in enumerate(sorted(drawn.rglob("*.avi"))[:6]):
        shutil.copy(clip, tmp_path / "flat" / f"clip{number}.avi")
    mofore(
        "init",
        tmp_path / "flat",
        "--backbone",
        "random:test_efficientnet",
        "-w",
        tmp_path / "w",
        "--no-estimate",
        *TINY,
    )
    mofore("run", "-w", tmp_path / "w")
    found = unescape(text(tmp_path / "w"))
    assert "cannot be said" in found
    assert "no video has a class" in found
    assert "None" not in re.sub(r"<script.*?</script>", "", found, flags=re.S)


def test_imported_features_have_no_pictures_and_say_so(tmp_path: Path, mofore: Command) -> None:
    rng = np.random.default_rng(0)
    ids = [f"v_{name}_g{group:02d}_c01" for name in ("Run", "Jump") for group in range(1, 9)]
    features = {video: rng.normal(size=(12, 8)).astype(np.float32) for video in ids}
    np.savez(tmp_path / "mine.npz", **features)
    sets = ("--set", "fit.steps=3", "--set", "fit.clip_length=2", "--set", "fit.gap_max=2", "--set", "fit.preset=plain")
    mofore("import", tmp_path / "mine.npz", "-w", tmp_path / "w", *sets)
    mofore("run", "-w", tmp_path / "w")
    found = unescape(text(tmp_path / "w"))
    assert "there are no videos to take pictures of" in found
    assert "mofore import" in found
    assert not list(page(tmp_path / "w").parent.glob("thumbs/*.webp"))


def test_a_sweep_is_told_of(work: Path, mofore: Command) -> None:
    mofore("sweep", "-w", work, "--set", "fit.seed=0,1")
    assert "run " in mofore("report", "-w", work).stderr.splitlines()[-2]
    found = text(work)
    assert 'id="sweeps"' in found
    assert "seed=1" in found
    assert "against best trivial" in found


def test_near_duplicates_across_sides_are_listed(work: Path, mofore: Command) -> None:
    mofore("report", "-w", work, "--set", "index.levels=video, clip")
    found = unescape(text(work))
    assert "near-duplicate pairs of a test and a training video" in found


def test_the_commands_make_the_same_settings_again(work: Path, mofore: Command, tmp_path: Path) -> None:
    import shlex

    snapshot = package.open(work).snapshot
    from mofore.pipeline.provenance import commands

    told = commands(snapshot)
    assert told[-1] == shlex.join(["mofore", "run", "-w", str(work)])
    again = [part if part != str(work) else str(tmp_path / "again") for part in shlex.split(told[0])[1:]]
    mofore(*again, "--no-estimate")
    assert package.open(tmp_path / "again").config.fit == package.open(work).config.fit
    assert package.open(tmp_path / "again").config.index == package.open(work).config.index


def test_the_way_in_is_small_and_names_one_folder() -> None:
    assert stage.LEAD.format(key="0123").count("0123/index.html") == 2
