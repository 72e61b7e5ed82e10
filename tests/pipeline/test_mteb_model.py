"""A run's embeddings in `mteb` itself; only where it is installed."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mofore

from ..mteb_tasks import tasks

MVEB = {"evaluate.mveb": True, "evaluate.resamples": 20}


def test_without_mteb_it_says_what_to_install(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mofore.pipeline.mteb_model", None)
    with pytest.raises(mofore.MoforeError, match=r"is not installed: pip install 'mofore\[mteb\]'"):
        mofore.open(work).mteb_model()


@pytest.mark.filterwarnings("ignore")
def test_mteb_finds_what_evaluate_says(work: Path) -> None:
    mteb = pytest.importorskip("mteb")
    run = mofore.open(work, set=MVEB)
    run.run()
    for space, row in (("mofore", "mofore"), ("frames", "raw_mean_pool")):
        model = run.mteb_model(space)
        result = mteb.evaluate(model, list(of_run(run)), cache=None, show_progress_bar=False)
        scores = {each.task_name: each.get_score() for each in result.task_results}
        ours = run.metrics.mveb[row]
        assert ours.classification is not None
        assert ours.clustering is not None
        assert scores["LocalClassification"] == pytest.approx(ours.classification.accuracy / 100, abs=1e-12)
        assert scores["LocalClustering"] == pytest.approx(ours.clustering.v_measure / 100, abs=1e-12)
        assert result.model_name == f"mofore/{space}"


@pytest.mark.filterwarnings("ignore")
def test_videos_that_are_not_stored_are_encoded(work: Path) -> None:
    pytest.importorskip("mteb")
    from datasets import Dataset, Video
    from torch.utils.data import DataLoader

    run = mofore.open(work)
    file = work / "videos" / "Orbit" / "v_Orbit_g01_c01.avi"
    stored = run.embed("v_Orbit_g01_c01")

    def encoded(videos: list[Any], *, decoded: bool = True, **options: Any) -> np.ndarray[Any, Any]:
        rows = Dataset.from_dict({"video": videos})
        return run.mteb_model(**options).encode(DataLoader(rows.cast_column("video", Video()) if decoded else rows))

    content = {"bytes": file.read_bytes(), "path": "other_name.avi"}
    assert np.allclose(encoded([content])[0], stored, atol=2e-3), "the same film under another name"
    assert np.array_equal(encoded(["v_Orbit_g01_c01"], decoded=False)[0], run.embeddings().vectors[row(run)])
    fresh = encoded([str(file)], decoded=False, stored=False)[0]
    assert np.allclose(fresh, stored, atol=2e-3)
    with pytest.raises(mofore.MoforeError, match=r"'v_Nobody_g01_c01' is neither a video of .* nor a file"):
        encoded(["v_Nobody_g01_c01"], decoded=False)
    with pytest.raises(mofore.MoforeError, match="a column of videos is needed; this one has text"):
        run.mteb_model().encode(DataLoader(Dataset.from_dict({"text": ["a"]})))


def row(run: mofore.Run) -> int:
    return run.embeddings().ids.index("Orbit/v_Orbit_g01_c01.avi")


def of_run(run: mofore.Run) -> tuple[Any, Any]:
    """The run's own videos and sides as tasks, in its order."""
    videos = run.snapshot.videos(run.snapshot.stored_ids())
    names = sorted({video.label for video in videos if video.label})
    labels = [names.index(str(video.label)) for video in videos]
    train = np.array([video.id in run.snapshot.split.train for video in videos])
    return tasks([video.id for video in videos], labels, train)
