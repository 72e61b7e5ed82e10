"""The optional stage beside the road: its plan, its result as another encoder, and what status, gc and verify say."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Command = Callable[..., Result]
SHORT = (
    "--set", "finetune.steps=3", "--set", "finetune.batch_size=4", "--set", "finetune.frames=2",
    "--set", "finetune.lr=0.01", "--set", "finetune.precision=fp32",
)  # fmt: skip


def stages(mofore: Command, work: Path, *args: str) -> dict[str, dict[str, object]]:
    result = mofore("status", "--json", "-w", work, *SHORT, *args)
    assert result.exit_code == 0, result.output
    found: dict[str, dict[str, object]] = json.loads(result.stdout)["stages"]
    return found


def gone(mofore: Command, work: Path, *args: str) -> list[str]:
    result = mofore("gc", "--json", "-w", work, *SHORT, *args)
    return sorted(item["path"].split("/")[0] for item in json.loads(result.stdout)["items"])


def test_the_result_is_an_encoder_that_the_road_follows(mofore: Command, work: Path) -> None:
    assert "finetune" not in stages(mofore, work), "optional: nobody is asked for it"
    tuned = mofore("finetune", "-w", work, *SHORT)
    assert tuned.exit_code == 0, tuned.stderr
    assert tuned.stderr.count("up to date") == 2, "extract and fit"
    (weights,) = work.glob("finetune/*/backbone.safetensors")
    name = weights.relative_to(work).as_posix()
    assert f"mofore run -w {work} --set extract.weights={name}" in tuned.stderr
    assert stages(mofore, work)["finetune"]["action"] == "skip"
    assert "up to date" in mofore("finetune", "-w", work, *SHORT).stderr
    assert gone(mofore, work) == []

    use = ("--set", f"extract.weights={name}")
    assert stages(mofore, work, *use)["extract"]["reasons"] == [f"weights changed: {name}"]
    done = mofore("run", "-w", work, *SHORT, *use)
    assert done.exit_code == 0, done.stderr
    assert len(list((work / "features").iterdir())) == 2, "a store beside the old one"
    after = stages(mofore, work, *use)
    assert {stage: found["action"] for stage, found in after.items()} == dict.fromkeys(
        ("extract", "fit", "evaluate", "index", "finetune", "report"), "skip"
    ), "the result that is used is not asked for again"
    assert "extraction uses it" in mofore("finetune", "-w", work, *SHORT, *use).stderr
    superseded = ["evaluate", "features", "fit", "index", "report"]
    assert gone(mofore, work, *use) == superseded, "the result that is used stays"
    metrics = json.loads((work / "metrics.json").read_text())
    assert metrics["provenance"]["encoder"]["weights"] == "backbone.safetensors"
    assert stages(mofore, work)["evaluate"]["reasons"][0].startswith("metrics.json"), "and the old road is still there"  # type: ignore[index]

    other = mofore("finetune", "-w", work, *SHORT, *use, "--set", "finetune.lr=0.5")
    assert other.exit_code == 2
    assert re.search(r"itself a result of finetune.*weights_before.*--force", other.stderr)
    assert mofore("verify", "-w", work).exit_code == 0
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert mofore("verify", "-w", work).exit_code == 1


def test_only_is_refused_while_the_fit_is_stale(mofore: Command, work: Path) -> None:
    result = mofore("finetune", "--only", "-w", work, *SHORT, "--set", "fit.lr=0.5")
    assert result.exit_code == 2
    assert "fit: config changed" in result.stderr


def test_too_many_blocks_are_refused_by_name(mofore: Command, work: Path) -> None:
    result = mofore("finetune", "-w", work, *SHORT, "--set", "finetune.blocks=99")
    assert result.exit_code == 2
    assert "finetune.blocks = 99" in result.stderr


def test_status_needs_no_torch(work: Path) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from mofore.pipeline.cli import cli\n"
        f"assert CliRunner().invoke(cli, ['status', '-w', {str(work)!r}]).exit_code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.real
def test_finetune_on_real_clips_keeps_to_the_stored_features(mofore: Command, shared: Path, tmp_path: Path) -> None:
    mini, work = shared / "data" / "ucf101-mini", tmp_path / "work"
    for name in (f"{c}/v_{c}_g{g:02d}_c01.avi" for c in ("Archery", "BalanceBeam") for g in (9, 10)):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).symlink_to(mini / "videos" / name)
    made = mofore(
        "init", tmp_path / "videos", "--backbone", "timm:mobilenetv2_100", "-w", work, "--no-estimate",
        "--weights", shared / "weights" / "mobilenetv2_100.imagenet.safetensors",
        "--set", "fit.steps=20", "--set", "data.train_fraction=1.0", "--set", "data.split=random",
        "--set", "extract.image_size=96",
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    result = mofore("finetune", "-w", work, *SHORT, "--set", "finetune.blocks=2", "--set", "finetune.lr=1e-4")
    assert result.exit_code == 0, result.stderr
    told = json.loads(next(work.glob("finetune/*/finetune.json")).read_text())
    assert told["agreement"] > 0.97
    assert (told["videos"], told["left_out"], told["steps_passed_over"]) == (4, {}, 0)
    assert [round(rate["lr"], 9) for rate in told["rates"]] == [1e-4, 7.5e-5]
