"""`import mofore`: light, documented by examples that run, and the same as the commands."""

import doctest
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

import mofore
from mofore.data.progress import Silent
from mofore.pipeline import made, opened_folder, python_api, run_folder
from mofore.stages.vectors import faiss_library
from mofore.stages.vectors.vector_index import VectorIndex

from ..conftest import TINY

Command = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]
ORBIT = "Orbit/v_Orbit_g01_c01.avi"
BACKBONE = "random:test_efficientnet"
SMALL = {"extract.precision": "fp32", "fit.preset": "plain", "fit.steps": 30, "fit.clip_length": 4}
SMALL |= {"fit.gap_max": 4, "index.views": 3}
HEAVY = ("torch", "timm", "faiss", "open_clip", "h5py", "numpy", "av", "click", "rich")


@pytest.fixture
def run(finished: Path) -> mofore.Run:
    return mofore.open(finished)


def imported(script: str) -> set[str]:
    """Heavy modules that a script loads in a process of its own."""
    asked = f"{script}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_it_imports_nothing_heavy(finished: Path) -> None:
    assert imported("import mofore; dir(mofore); mofore.MoforeError") == set()
    status = f"import mofore; assert mofore.open({str(finished)!r}).status().up_to_date"
    assert imported(status) <= {"click"}
    by_id = f"import mofore; mofore.open({str(finished)!r}).search('v_Orbit_g01_c01')"
    assert not imported(by_id) & {"torch", "timm", "h5py"}


def test_a_script_without_a_main_guard_is_told_so(videos: Path, tmp_path: Path) -> None:
    script = tmp_path / "fresh.py"
    made = f"mofore.init({str(videos)!r}, {str(tmp_path / 'fresh')!r}, backbone={BACKBONE!r}, settings={{}}).extract()"
    script.write_text(f"import mofore\n{made.replace(', settings={}', '')}\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'below `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
    left = mofore.open(tmp_path / "fresh").status()
    assert not left.failures, "no video is blamed"


def test_its_names_are_those_that_it_says() -> None:
    assert set(mofore.__all__) <= set(dir(mofore))
    assert all(getattr(mofore, name) for name in mofore.__all__)
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        mofore.opne  # type: ignore[attr-defined]  # noqa: B018
    documented = re.findall(r"^\| `mofore\.(\w+)", (ROOT / "docs/python-api.md").read_text(), re.MULTILINE)
    assert set(documented) == set(mofore.__all__) - {"__version__"}


@pytest.mark.parametrize("module", [mofore, python_api, run_folder, made], ids=lambda module: module.__name__)
def test_examples_in_docstrings_hold(module: Any, work: Path, tmp_path: Path) -> None:
    given = {"mofore": mofore, "run": mofore.open(work), "folder": work, "videos": work / "videos"}
    given |= {"new_folder": tmp_path / "new", "video": work / "videos" / ORBIT}
    runner, count = doctest.DocTestRunner(), 0
    for example in doctest.DocTestFinder().find(module, extraglobs=given):
        count += len(example.examples)
        assert runner.run(example).failed == 0, example.name
    assert count


def test_examples_in_the_documentation_hold(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs/python-api.md").read_text()
    stand_ins = {
        "v_YoYo_g19_c02": "v_Orbit_g01_c01",
        "timm:mobilenetv3_small_100": BACKBONE,
        "image_size=224": "image_size=64",
        ":16]": ":4]",
        '"fit.steps": 30': ", ".join(f"{key!r}: {value!r}" for key, value in SMALL.items()),
    }
    for shown, stand_in in stand_ins.items():
        assert shown in text, shown
        text = text.replace(shown, stand_in)
    (tmp_path / "runs").mkdir()
    shutil.move(work, tmp_path / "runs/ucf")
    shutil.copytree(tmp_path / "runs/ucf/videos", tmp_path / "videos")
    shutil.copy(tmp_path / "videos/Bounce/v_Bounce_g01_c01.avi", tmp_path / "holiday.mp4")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "docs/python-api.md", "exec"), names)
    assert names["outcome"].ran == ["evaluate", "index", "report"]


def outputs(work: Path) -> dict[str, bytes]:
    names = ("model.safetensors", "vectors.faiss", "embeddings.safetensors", "metrics.json", "mofore.toml")
    return {str(path.relative_to(work)): path.read_bytes() for name in names for path in work.rglob(name)}


def test_a_run_makes_the_files_of_the_commands(mofore_init: Path, finished: Path) -> None:
    made, theirs = outputs(mofore_init), outputs(finished)
    assert made.keys() == theirs.keys()
    assert {name for name in made if made[name] != theirs[name]} == set()


@pytest.fixture
def mofore_init(work: Path, finished: Path) -> Path:
    """The finished folder's settings and videos taken down the road from Python."""
    for folder in ("features", "fit", "evaluate", "index"):
        shutil.rmtree(work / folder)
    for name in ("mofore.toml", "ledger.jsonl", "metrics.json"):
        (work / name).unlink()
    run = mofore.init(work / "videos", work, backbone=BACKBONE, set=SMALL)
    assert [stage.action for stage in run.status().stages.values()] == ["run"] * 4
    assert run.extract().ran == ["extract"]
    assert run.fit().ran == ["fit"]
    assert run.evaluate().ran == ["evaluate"]
    assert run.index().ran == ["index"]
    assert run.run().ran == ["report"]
    assert run.run().ran == []
    return work


def test_only_and_force_mean_what_they_mean_to_the_commands(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = mofore.open(work, set={"fit.seed": 3})
    with pytest.raises(mofore.MoforeError, match="--only index is refused"):
        run.index(only=True)
    assert run.index().ran == ["fit", "evaluate", "index"] or run.status().up_to_date
    assert run.fit(only=True, force=True).ran == ["fit"]
    assert capfd.readouterr() == ("", ""), "it is quiet"


def test_what_could_not_be_read_is_told_and_no_error(work: Path) -> None:
    (work / "videos/Orbit/broken.avi").write_text("no video")
    run = mofore.open(work)
    outcome = run.extract()
    assert [failure.video_id for failure in outcome.failures] == ["Orbit/broken.avi"]
    assert run.status().failures == tuple(outcome.failures)
    assert run.extract(retry_failed=True).ran == ["extract"]


def test_progress_is_shown_or_told_if_it_is_wanted(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Told(Silent):
        def __init__(self) -> None:
            self.stages: list[str] = []

        def stop(self) -> None:
            pass

        def skipped(self, plan: Any) -> None:
            self.stages.append(plan.stage)

        def begins(self, plan: Any) -> None:
            pass

        def done(self, plan: Any, seconds: float, summary: str) -> None:
            pass

    told = Told()
    mofore.open(work, progress=told).run()
    assert told.stages == ["extract", "fit", "evaluate", "index", "report"]
    assert capfd.readouterr().err == ""
    mofore.open(work, progress=True).run()
    assert "extract  up to date" in capfd.readouterr().err


def test_a_run_that_is_interrupted_ends_at_a_safe_point_and_goes_on(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = opened_folder.Quiet()
    quiet.pulse()
    quiet.stop()
    with pytest.raises(KeyboardInterrupt):
        quiet.pulse()
    with pytest.raises(KeyboardInterrupt):
        quiet.stop()
    run = mofore.open(work, set={"fit.seed": 3})
    with monkeypatch.context() as patch:
        patch.setattr(opened_folder, "Quiet", lambda: quiet)
        with pytest.raises(KeyboardInterrupt):
            run.fit()
    assert run.fit().ran == ["fit"]


def test_a_run_is_at_home_in_another_thread(work: Path) -> None:
    ran: list[list[str]] = []
    thread = threading.Thread(target=lambda: ran.append(mofore.open(work).fit(force=True).ran))
    thread.start()
    thread.join()
    assert ran == [["fit"]]


def test_settings_are_refused_as_those_of_the_command_line(finished: Path) -> None:
    with pytest.raises(mofore.MoforeError, match=r"did you mean 'fit\.steps'"):
        mofore.open(finished, set={"fit.step": 3})
    with pytest.raises(mofore.MoforeError, match=r"fit\.lr = True"):
        mofore.open(finished, set={"fit.lr": True})
    with pytest.raises(mofore.MoforeError, match="a text, a number"):
        mofore.open(finished, set={"fit.lr": object()})
    texts = mofore.open(finished, set={"data.exclude": ["a b", 'c"d'], "extract.weights": ""}).config
    assert texts.data.exclude == ("a b", 'c"d')
    with pytest.raises(mofore.MoforeError, match=r"no mofore\.toml"):
        mofore.open(finished / "fit")


def test_features_are_those_of_the_shards(run: mofore.Run) -> None:
    frames = run.features["v_Orbit_g01_c01"]
    assert frames.id == ORBIT
    assert (frames.features.dtype, frames.times_s.dtype) == (np.float16, np.float64)
    assert frames.features.shape == (24, run.features.width)
    assert np.array_equal(frames.features, run.features[ORBIT].features)
    assert len(run.features) == 20
    assert ORBIT in run.features
    assert "v_Nobody" not in run.features
    with pytest.raises(KeyError, match="no features of"):
        run.features["v_Nobody"]


def test_a_name_of_several_videos_is_refused(work: Path) -> None:
    for folder in ("a", "b"):
        (work / "videos" / folder).mkdir()
        shutil.copy(work / "videos" / ORBIT, work / "videos" / folder / "same.avi")
    run = mofore.open(work)
    run.extract()
    with pytest.raises(mofore.MoforeError, match="the name of 2 videos"):
        run.features["same"]
    assert run.features["a/same.avi"].id == "a/same.avi"


def test_embeddings_are_those_of_the_index(run: mofore.Run, finished: Path) -> None:
    (folder,) = finished.glob("index/*/mofore.video")
    found, index = run.embeddings(), VectorIndex.load(folder)
    assert np.array_equal(found.vectors, index.embeddings_NE)
    assert np.array_equal(found.mean, index.mean_E)
    assert found.ids == tuple(run.features)
    with pytest.raises(mofore.MoforeError, match="not indexed at the level of clips"):
        run.embeddings(level="clip")


def test_a_video_is_embedded_as_it_was_indexed_from_wherever_it_comes(run: mofore.Run, finished: Path) -> None:
    found = run.embeddings()
    expected = found.vectors[found.ids.index(ORBIT)]
    frames = run.features[ORBIT]
    for source, more in (
        (ORBIT, {}),
        (finished / "videos" / ORBIT, {}),
        (frames.features, {"times_s": frames.times_s}),
    ):
        embedded = run.embed(source, **more)  # type: ignore[arg-type]
        assert embedded.dtype == np.float32
        assert np.allclose(embedded, expected, atol=1e-2 if isinstance(source, Path) else 1e-5)
    raw = frames.features.astype(np.float64).mean(axis=0)
    assert np.allclose(run.embed(ORBIT, space="frames"), raw / np.linalg.norm(raw), atol=1e-6)


def test_a_search_answers_as_the_command(run: mofore.Run, finished: Path, mofore_command: Command) -> None:
    def asked(*args: str) -> list[dict[str, Any]]:
        result = mofore_command("search", "--json", "-w", finished, *args)
        found: list[dict[str, Any]] = json.loads(result.stdout)["neighbours"]
        return found

    def plain(found: list[mofore.Neighbour]) -> list[dict[str, Any]]:
        return [{key: value for key, value in asdict(each).items() if key != "metadata"} for each in found]

    file = str(finished / "videos" / ORBIT)
    assert plain(run.search(ORBIT)) == asked(ORBIT)
    assert plain(run.search("v_Orbit_g01_c01", k=3, space="frames")) == asked(
        "v_Orbit_g01_c01", "-k3", "--space=frames"
    )
    assert plain(run.search(Path(file))) == asked(file)
    assert plain(run.search(ORBIT, start_s=0.2, end_s=0.6)) == asked(ORBIT, "--from=0.2", "--to=0.6")
    filtered = run.search(ORBIT, classes=["Orbit", "Bounce"], side="train", exclude_same_group=True)
    assert plain(filtered) == asked(ORBIT, "--class=Orbit", "--class=Bounce", "--split=train", "--exclude-same-group")
    assert plain(run.search(ORBIT, rerank="dtw", steps=4)) == asked(ORBIT, "--rerank=dtw", "--steps=4")
    several = [ORBIT, "v_Bounce_g01_c01"]
    assert plain(run.search(several)) == asked(*several)


@pytest.fixture
def mofore_command() -> Command:
    from click.testing import CliRunner

    from mofore.pipeline.cli import cli

    def call(*args: str | Path) -> Result:
        return CliRunner().invoke(cli, [str(arg) for arg in args])

    return call


def test_arrays_are_searched_for_as_the_video_that_they_are_of(run: mofore.Run) -> None:
    frames = run.features[ORBIT]
    by_features = run.search(frames.features, times_s=frames.times_s)
    by_vector = run.search(7.0 * run.embed(ORBIT))
    assert by_features[0].video_id == by_vector[0].video_id == ORBIT, "an array is nobody's own"
    by_id = [found.video_id for found in run.search(ORBIT, k=9)]
    assert [found.video_id for found in by_features[1:]] == by_id
    assert [found.video_id for found in by_vector[1:]] == by_id
    assert run.search(frames.features, rerank="aligned")[0].video_id == ORBIT
    assert len(run.search(frames.features, 20, space="frames")) == 20


@pytest.mark.parametrize(
    ("query", "how", "message"),
    [
        (np.zeros((4, 3)), {}, r"features\s+\(T, \d+\) of this run's backbone"),
        (np.zeros((4, 3), int), {}, "dtype int64"),
        (np.ones(3), {}, "a vector of width 3 was given"),
        (np.zeros(256), {}, "points nowhere"),
        (np.full((4, 256), 1e6), {}, "float16 cannot hold it"),
        (np.ones((4, 256)), {"times_s": np.zeros(4)}, "times in seconds that rise"),
        (np.ones((4, 256)), {"times_s": np.arange(3.0)}, "4 times in seconds"),
        (ORBIT, {"level": "frame"}, "level = 'frame'"),
        (ORBIT, {"k": 0}, "at least 1"),
        (np.ones(3), {"start_s": 1.0}, "of an array give the part"),
        ("v_Nobody", {}, "neither a video of the index"),
        ("text: a yo-yo", {}, "a text cannot be searched for"),
    ],
)
def test_what_cannot_be_searched_for_is_told(run: mofore.Run, query: Any, how: dict[str, Any], message: str) -> None:
    with pytest.raises(mofore.MoforeError, match=message):
        run.search(query, **how)


def test_the_model_is_the_teacher_over_clips(run: mofore.Run) -> None:
    assert not run.model.training
    frames = run.features[ORBIT]
    clips = torch.from_numpy(np.stack([frames.features[:4], frames.features[4:8]])).float()
    with torch.inference_mode():
        embeddings = run.model(clips)
    assert embeddings.shape == (2, len(run.embeddings().mean))
    assert torch.equal(embeddings, run.model.embedder.projection(clips.mean(dim=1)))  # type: ignore[operator, union-attr]
    assert sum(parameter.numel() for parameter in run.model.parameters())
    with pytest.raises(ValueError, match="is needed"):
        run.model(clips[0])


def test_metrics_are_those_of_the_file(run: mofore.Run, finished: Path) -> None:
    assert run.metrics.as_json() == json.loads((finished / "metrics.json").read_text())


def test_an_output_that_is_out_of_date_is_used_with_a_warning(finished: Path) -> None:
    run = mofore.open(finished, set={"fit.seed": 7})
    with pytest.warns(UserWarning, match="the index is out of date"):
        run.search(ORBIT)
    with pytest.warns(UserWarning, match="the fit is out of date"):
        run.embed(ORBIT)


def test_a_fit_on_the_features_of_another_encoder_is_not_used(work: Path) -> None:
    run = mofore.open(work, set={"extract.stride": 2})
    run.extract()
    with pytest.raises(mofore.MoforeError, match="there is no fit for these settings yet"):
        run.embed(ORBIT)


def test_what_is_not_there_yet_is_named_with_its_command(videos: Path, tmp_path: Path) -> None:
    run = mofore.init(videos, tmp_path / "work", backbone=BACKBONE, set=SMALL)
    assert list(run.features) == []
    for ask, command in (
        (lambda: run.metrics, "evaluate"),
        (lambda: run.model, "fit"),
        (lambda: run.embeddings(), "index"),
        (lambda: run.search("x"), "index"),
    ):
        with pytest.raises(mofore.MoforeError, match=f"run `mofore {command}( -w [^`]+)?`"):
            ask()


def test_encode_gives_the_features_of_extraction(run: mofore.Run, finished: Path) -> None:
    paths = [finished / "videos" / ORBIT, str(finished / "videos/Bounce/v_Bounce_g01_c01.avi")]
    found = mofore.encode(paths, BACKBONE)
    assert [frames.id for frames in found] == [*map(str, paths)]
    stored = run.features[ORBIT]
    assert np.array_equal(found[0].times_s, stored.times_s)
    assert np.allclose(found[0].features.astype(float), stored.features.astype(float), atol=2e-2)
    (thinned,) = mofore.encode(paths[0], BACKBONE, stride=3)
    assert np.array_equal(thinned.times_s, stored.times_s[::3])


def test_encode_says_what_is_wrong(finished: Path) -> None:
    video = finished / "videos" / ORBIT
    for backbone, how, message in (
        ("timm:resnet5O", {}, "did you mean resnet50"),
        ("import:mine", {}, "features that were imported"),
        (BACKBONE, {"strid": 2}, r"did you mean 'extract\.stride'"),
    ):
        with pytest.raises(mofore.MoforeError, match=message):
            mofore.encode(video, backbone, **how)  # type: ignore[arg-type]
    with pytest.raises(mofore.MoforeError, match="does not exist"):
        mofore.encode(finished / "none.avi", BACKBONE)


def test_a_function_of_the_script_is_told_the_figures(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, list[str]]] = []
    begun: list[dict[str, Any]] = []

    class Tracker:
        def log(self, figures: dict[str, float], *, step: int) -> None:
            told.append((step, [*figures]))

        def finish(self) -> None:
            told.append((-1, []))

    def begin(folder: Path, settings: dict[str, Any]) -> Tracker:
        assert folder.parent == work / "fit"
        begun.append(settings)
        return Tracker()

    monkeypatch.setattr(sys.modules["__main__"], "begin", begin, raising=False)
    run = mofore.open(work, set={"fit.tracker": "__main__:begin"})
    assert run.status().up_to_date, "who is told decides nothing"
    run.fit(force=True)
    assert begun[0]["steps"] == 30
    assert told[0][0] == 0
    assert any("step/loss" in names for _, names in told)
    assert any("validation/effective_rank" in names for _, names in told)
    assert told[-1] == (-1, [])
    steps = [step for step, _ in told[:-1]]
    assert steps == sorted(steps)
    with pytest.raises(mofore.MoforeError, match="is not found"):
        mofore.open(work, set={"fit.tracker": "nowhere:begin"}).fit(force=True)


def test_faiss_is_looked_for_before_extraction_begins(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(work / "features")
    monkeypatch.setattr(faiss_library, "find_spec", lambda _name: None)
    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    for command in (mofore.open(work).run, mofore.open(work).index):
        with pytest.raises(mofore.MoforeError, match=r"faiss is not installed: pip install 'mofore\[cpu\]'"):
            command()
        assert not (work / "features").exists()
    assert "extract" in mofore.open(work).extract().ran, "what needs no faiss goes on"


def test_a_run_needs_no_videos(work: Path) -> None:
    (work / "videos").rename(work.parent / "elsewhere")
    run = mofore.open(work)
    actions = {name: plan.action for name, plan in run.status().stages.items()}
    assert actions.pop("report") == "run", "whose pictures are of the videos"
    assert set(actions.values()) == {"skip"}
    assert run.search(ORBIT)
    assert len(run.features) == 20
    with pytest.raises(mofore.MoforeError, match=r"set data\.root to where the videos are now"):
        run.extract(force=True)


TINY_SETTINGS = dict(pair.split("=") for pair in TINY[1::2])
assert {key: str(value) for key, value in SMALL.items()} == TINY_SETTINGS
