"""The command line as a user meets it: exit codes, messages, what it loads."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from mofore.cache.lock import exclusive
from mofore.data.errors import StageError
from mofore.pipeline.cli import cli
from mofore.stages.extract import estimate

Command = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]
LOADED = """
import runpy, sys
sys.argv = ["mofore", *{args!r}]
try:
    runpy.run_module("mofore", run_name="__main__")
except SystemExit as end:
    code = end.code
heavy = [name for name in ("torch", "timm", "faiss", "open_clip", "h5py", "numpy", "rich") if name in sys.modules]
print("LOADED", code or 0, *heavy)
"""


def loaded(*args: str | Path) -> list[str]:
    """Exit code and heavy modules of one command in a process of its own."""
    script = LOADED.format(args=[str(arg) for arg in args])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()[1:]


def test_help_status_and_a_run_with_nothing_to_do_load_nothing_heavy(work: Path) -> None:
    assert loaded("--help") == ["0"]
    assert loaded("status", "-w", work) == ["0"]
    assert loaded("run", "-w", work) == ["0"]


def test_a_search_by_id_loads_no_networks(work: Path) -> None:
    assert loaded("search", "v_Orbit_g01_c01", "-w", work) == ["0", "faiss", "numpy"]
    spanned = loaded("search", "v_Orbit_g01_c01", "--to", "0.5", "-w", work)
    assert not {"timm", "open_clip"} & set(spanned), "stored features need no backbone"


def test_the_documents_name_every_command_and_its_help_has_an_example(mofore: Command) -> None:
    documents = "".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    for name in cli.commands:
        assert f"mofore {name}" in documents, name
        told = mofore(name, "--help")
        assert told.exit_code == 0
        assert f"Example: mofore {name}" in " ".join(told.stdout.split()), name


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("{missing}",), "does not exist: give the folder that holds the videos"),
        (("{empty}",), "no video below"),
        (("{videos}", "--backbone", "timm:resnet5O"), "did you mean resnet50"),
        (("{videos}", "--backbone", "resnet50"), "python:MODULE:FUNCTION or random:NAME is needed"),
        (("{videos}", "--weights", "{missing}"), "is not a file"),
        (("{videos}", "--splits", "{missing}"), "does not exist: it is for UCF101's lists"),
        (("{videos}", "--splits", "{empty}"), "holds no trainlist01.txt and testlist01.txt"),
        (("{videos}", "--set", "fit.step=3"), "did you mean 'fit.steps'"),
        (("{videos}", "--set", "fit.steps=-3"), "fit.steps = -3: a whole number of at least 1 is needed"),
    ],
)
def test_init_refuses_what_could_not_run(
    mofore: Command, videos: Path, tmp_path: Path, args: tuple[str, ...], message: str
) -> None:
    places = {"videos": videos, "missing": tmp_path / "missing", "empty": tmp_path / "empty"}
    places["empty"].mkdir()
    result = mofore("init", "-w", tmp_path / "work", *(arg.format(**places) for arg in args))
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "work" / "mofore.toml").exists()


def test_init_says_how_long_extraction_would_take(mofore: Command, videos: Path, tmp_path: Path) -> None:
    known = ("init", videos, "--backbone", "random:test_efficientnet")
    said = mofore(*known, "-w", tmp_path / "a", "--set", "extract.device=cpu").stderr
    assert "warning: no GPU found" in said
    assert re.search(r"about [\d,]+ frames at about [\d,]+ frames/s \(.*measured on \d+\), that is \d+ s; .* kB", said)
    assert "frames/s" not in mofore(*known, "-w", tmp_path / "b", "--no-estimate").stderr


def test_init_does_without_an_estimate_where_the_weights_are_out_of_reach(
    mofore: Command, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise StageError("the weights could not be had")

    monkeypatch.setattr(estimate, "load_encoder", unreachable)
    result = mofore("init", videos, "--backbone", "timm:resnet18", "-w", tmp_path)
    assert result.exit_code == 0
    assert "no estimate of the time: the weights could not be had" in result.stderr
    assert (tmp_path / "mofore.toml").exists()


def test_init_does_not_replace_settings_unasked(mofore: Command, work: Path) -> None:
    before = (work / "mofore.toml").read_text()
    assert mofore("init", work / "videos", "-w", work).exit_code == 2
    assert (work / "mofore.toml").read_text() == before


@pytest.mark.parametrize("command", ["run", "status", "extract", "fit", "index"])
def test_a_folder_without_settings_says_how_to_begin(mofore: Command, tmp_path: Path, command: str) -> None:
    result = mofore(command, "-w", tmp_path)
    assert result.exit_code == 2
    assert "mofore init VIDEOS" in result.stderr


def test_a_second_run_in_the_same_folder_is_refused_and_status_is_not(mofore: Command, work: Path) -> None:
    with exclusive(work / ".mofore.lock"):
        result = mofore("run", "-w", work)
        assert result.exit_code == 2
        assert f"process {os.getpid()}" in result.stderr
        assert mofore("status", "-w", work).exit_code == 0


def test_metrics_have_the_promised_shape(work: Path) -> None:
    metrics = json.loads((work / "metrics.json").read_text())
    assert set(metrics) >= {"retrieval", "protocols", "table2", "forecast", "health", "order", "protocol"}
    baselines = {"raw_mean_pool", "raw_mean_pool_uncentered", "pca_whitened", "untrained", "random_projection"}
    baselines |= {"raw_expanded", "raw_expanded_gallery", "neighbour_lda", "neighbour_lda_mean_sd"}
    assert set(metrics["retrieval"]) == {"mofore", "predict", "persistence", *baselines}
    for row in metrics["retrieval"].values():
        assert set(row) >= {"R@1", "R@5", "R@10", "R@20", "R@50", "mAP"}
        assert 0 <= row["R@1"] <= row["R@5"] <= row["R@50"] <= 100
    assert metrics["protocol"]["views"] == 3
    assert metrics["protocol"]["exact"] is True
    assert metrics["protocol"]["centered"] is True
    assert set(metrics["table2"]["same_class"]) == {"mean", "sd", "n", "paper"}
    assert metrics["forecast"]["gaps"]["0"]["persistence"]["mse"] > 0
    assert metrics["health"]["mofore"]["effective_rank"] >= 1


def test_a_read_only_work_folder_is_named(mofore: Command, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(work / "index"))

    monkeypatch.setattr("mofore.stages.index.stage.build", refuse)
    result = mofore("index", "--force", "-w", work)
    assert result.exit_code == 1
    assert f"'{work / 'index'}': Permission denied: mend it and run the same command again; what was" in result.stderr


def run_and_kill(work: Path, sign: int, ready: Callable[[str], bool], *args: str) -> int:
    """Run in a process of its own, and signal it as soon as ``ready``, asked every moment, says so."""
    log = work.parent / "log"
    command = [sys.executable, "-m", "mofore", "run", "-w", str(work), *args]
    with log.open("w") as stderr, subprocess.Popen(command, stderr=stderr, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not ready(log.read_text()):
            time.sleep(0.002)
        process.send_signal(sign)
        return process.wait()


def contents(work: Path) -> dict[str, bytes]:
    """The results that must not depend on what happened on the way."""
    names = (
        "model.safetensors",
        "log.jsonl",
        "mofore.video/vectors.faiss",
        "mofore.video/embeddings.safetensors",
        "metrics.json",
    )
    return {str(p.relative_to(work)): p.read_bytes() for name in names for p in work.rglob(name)}


@pytest.mark.parametrize(
    ("stage", "sign"),
    [
        ("extract", signal.SIGINT),
        ("extract", signal.SIGKILL),
        ("fit", signal.SIGKILL),
        ("index", signal.SIGKILL),
        ("fit", signal.SIGTERM),
    ],
)
def test_a_killed_run_goes_on_to_the_same_result(
    work: Path, finished: Path, mofore: Command, stage: str, sign: int
) -> None:
    for folder in {"extract": ("features", "fit", "index"), "fit": ("fit", "index"), "index": ("index",)}[stage]:
        subprocess.run(["rm", "-r", str(work / folder)], check=True)
    code = run_and_kill(work, sign, lambda log: f"{stage:<8} run" in log)
    assert code == (-signal.SIGKILL if sign == signal.SIGKILL else 130)
    assert mofore("run", "-w", work).exit_code == 0
    assert contents(work) == contents(finished)
    assert not list(work.rglob("*.tmp"))


def test_features_of_a_killed_extraction_are_bit_identical(work: Path, finished: Path, mofore: Command) -> None:
    import h5py

    def features(folder: Path) -> dict[str, np.ndarray]:
        found = {}
        for path in folder.glob("features/*/*.h5"):
            with h5py.File(path) as file:
                for row, name in enumerate(file["video_id"].asstr()[:]):
                    begin, end = file["offsets"][row : row + 2]
                    found[name] = file["features"][begin:end]
        return found

    subprocess.run(["rm", "-r", str(work / "features"), str(work / "ledger.jsonl")], check=True)
    some = lambda _log: len(list(work.glob("features/*/*.h5"))) >= 3  # noqa: E731
    assert run_and_kill(work, signal.SIGKILL, some, "--set", "extract.shard_seconds=0") == -signal.SIGKILL
    kept = len(features(work))
    assert 3 <= kept < 20
    result = mofore("extract", "-w", work)
    assert f"extract  partial    {20 - kept} videos: interrupted: {kept} of 20 videos are done" in result.stderr
    mine, theirs = features(work), features(finished)
    assert mine.keys() == theirs.keys()
    assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)


def test_two_processes_fit_what_one_would_and_the_model_says_so(mofore: Command, work: Path) -> None:
    done = mofore("fit", "-w", work, "--force", "--nproc", "2")
    assert done.exit_code == 0, done.output
    assert "shared by 2 processes" in done.stderr
    (described,) = work.glob("fit/*/model.json")
    assert json.loads(described.read_text())["processes"] == 2
    assert "up to date" in mofore("fit", "-w", work).stderr, "their number is not part of the fingerprint"
    refused = mofore("fit", "-w", work, "--nproc", "3")
    assert refused.exit_code == 2
    assert "cannot be shared by 3 processes" in refused.stderr


def test_torchruns_first_process_is_the_command_and_the_others_help(work: Path) -> None:
    (described,) = work.glob("fit/*/model.json")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "mofore"]
    done = subprocess.run([*launch, "fit", "-w", work, "--force"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("fit      done") == 1
    assert json.loads(described.read_text())["processes"] == 2
