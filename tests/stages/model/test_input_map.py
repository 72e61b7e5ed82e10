from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from mofore.cache.shard import row_offsets
from mofore.cache.store import FrameTable
from mofore.data.errors import ConfigError
from mofore.data.fit_settings import FitSettings
from mofore.data.presets import PRESETS
from mofore.data.progress import Silent
from mofore.pipeline.config import make_config, override
from mofore.stages.fit import stage as fit
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.model.embedding import embed_videos
from mofore.stages.model.forecaster import Forecaster
from mofore.stages.model.input_map import InputMap, fit_input_map, neighbours_in, pool_whole
from mofore.stages.model.saved import load_forecaster
from mofore.stages.vectors.normalize import center

CPU = torch.device("cpu")
VIDEOS, GROUPS, FRAMES, WIDTH = 120, 4, 12, 20
SETTINGS = FitSettings(**{**PRESETS["default"], "clip_length": 4, "gap_max": 4, "hidden_width": 32, "batch_size": 32})


def grouped() -> tuple[FrameTable, np.ndarray]:
    """Videos of four groups whose means lie apart in three of twenty dimensions, all others being louder noise."""
    rng = np.random.default_rng(0)
    group_V = np.arange(VIDEOS) % GROUPS
    corner_GD = np.zeros((GROUPS, WIDTH))
    corner_GD[:, :3] = 2.0 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    loud_VD = rng.standard_normal((VIDEOS, WIDTH)) * np.where(np.arange(WIDTH) < 3, 0.6, 1.2)
    frames_VTD = corner_GD[group_V][:, None] + loud_VD[:, None] + 0.3 * rng.standard_normal((VIDEOS, FRAMES, WIDTH))
    times = np.tile(np.arange(FRAMES) / 25, VIDEOS)
    names = tuple(f"v{n}" for n in range(VIDEOS))
    rows_ND = frames_VTD.reshape(-1, WIDTH).astype(np.float16)
    return FrameTable(rows_ND, times, row_offsets([FRAMES] * VIDEOS), names), group_V


def right(embeddings_VE: np.ndarray, group_V: np.ndarray, gallery: slice) -> float:
    """Share of the other videos whose nearest one of the gallery is of their group."""
    unit_VE = center(embeddings_VE, embeddings_VE[gallery].mean(axis=0))
    asked = np.setdiff1d(np.arange(len(unit_VE)), np.arange(len(unit_VE))[gallery])
    nearest = (unit_VE[asked] @ unit_VE[gallery].T).argmax(axis=1)
    return float((group_V[gallery][nearest] == group_V[asked]).mean())


def test_look_alikes_are_nearer_in_the_map_than_before_it_also_of_videos_it_has_not_seen() -> None:
    made, group_V = grouped()
    memory, seen = FrameTensors.of(made, CPU), slice(0, 80)
    input_map = fit_input_map(SETTINGS, memory, torch.arange(80))
    pooled_VP = pool_whole(memory, SETTINGS)
    before, mapped = (right(x.numpy(), group_V, seen) for x in (input_map.standard(pooled_VP), input_map(pooled_VP)))
    assert mapped > before
    assert mapped >= 0.9
    assert input_map(pooled_VP[seen]).square().sum(dim=1).mean().item() == pytest.approx(1.0, abs=1e-4)


def test_the_map_depends_on_the_training_videos_alone() -> None:
    memory = FrameTensors.of(grouped()[0], CPU)
    both = (
        fit_input_map(SETTINGS, memory, torch.arange(60)),
        fit_input_map(SETTINGS, memory.some(torch.arange(60)), torch.arange(60)),
    )
    for name, tensor in both[0].state_dict().items():
        assert torch.equal(tensor, both[1].state_dict()[name])


def test_clips_and_whole_videos_go_through_the_same_map() -> None:
    made, _ = grouped()
    memory = FrameTensors.of(made, CPU)
    embedder = Forecaster(WIDTH, SETTINGS).student
    frames_VTD = torch.from_numpy(made.features_ND).float().view(VIDEOS, FRAMES, WIDTH)
    pooled_VP = embedder.aggregator(frames_VTD, torch.zeros(VIDEOS, FRAMES))
    torch.testing.assert_close(pooled_VP, pool_whole(memory, SETTINGS), atol=1e-5, rtol=1e-4)


def test_neighbours_are_those_of_the_map() -> None:
    made, group_V = grouped()
    memory, trained_V = FrameTensors.of(made, CPU), torch.arange(VIDEOS)
    input_map = fit_input_map(SETTINGS, memory, trained_V)
    neighbours = neighbours_in(input_map, SETTINGS, memory, trained_V)
    assert neighbours is not None
    assert neighbours.nearest_VK.shape == (VIDEOS, VIDEOS // 30)
    assert (group_V[neighbours.nearest_VK.numpy()] == group_V[:, None]).mean() >= 0.9
    assert (neighbours.nearest_VK != trained_V[:, None]).all()


def test_few_and_equal_videos_are_mapped_to_finite_numbers() -> None:
    table, _ = grouped()
    memory = FrameTensors.of(table, CPU).some(torch.tensor([0, 0, 1]))
    for count in (2, 3):
        input_map = fit_input_map(SETTINGS, memory, torch.arange(count))
        assert torch.isfinite(input_map(pool_whole(memory, SETTINGS))).all()


def test_parts_are_standardised_alone() -> None:
    input_map = InputMap(2, 2, 3)
    loud = input_map.standard(torch.tensor([[3.0, 4.0, 0.0, 100.0]]))
    torch.testing.assert_close(loud, torch.tensor([[0.6, 0.8, 0.0, 1.0]]))


def test_the_map_is_saved_with_the_model_and_not_trained_on(tmp_path: Path) -> None:
    made, _ = grouped()
    memory = FrameTensors.of(made, CPU)
    settings = replace(SETTINGS, steps=20, validations=0)
    fit.run(settings, made, tmp_path, progress=Silent())
    forecaster, saved = load_forecaster(tmp_path)
    assert saved.input_map == "neighbour_lda"
    expected = fit_input_map(settings, memory, torch.arange(VIDEOS)).state_dict()
    for embedder in (forecaster.student, forecaster.teacher):
        assert embedder.input_map is not None
        for name, tensor in embedder.input_map.state_dict().items():
            torch.testing.assert_close(tensor, expected[name])


def test_a_whole_video_is_embedded_by_all_of_its_frames() -> None:
    memory = FrameTensors.of(grouped()[0], CPU)
    forecaster = Forecaster(WIDTH, SETTINGS)
    whole = embed_videos({"x": forecaster.teacher}, memory, SETTINGS, views=2)["x"]
    input_map = forecaster.teacher.input_map
    assert input_map is not None
    expected = functional.normalize(forecaster.teacher.projection(input_map(pool_whole(memory, SETTINGS))), dim=1)
    np.testing.assert_allclose(whole.pooled(), expected.detach().numpy(), atol=1e-5)
    assert not torch.allclose(whole.first_VE, whole.mean_VE, atol=1e-3), "views are still those of clips"


@pytest.mark.parametrize("name", ["input_map", "video_pooling"])
def test_what_sees_order_has_no_map_of_pooled_features(name: str) -> None:
    value = PRESETS["default"][name]
    with pytest.raises(ConfigError, match=rf'fit\.aggregator = "gru".*fit\.{name} = {value}.*--set fit\.{name}='):
        FitSettings(aggregator="gru", **{name: value})


def test_each_way_out_of_the_default_for_what_sees_order_works() -> None:
    with pytest.raises(ConfigError) as refused:
        make_config({"fit": {"aggregator": "gru"}})
    one, several = str(refused.value).partition("add ")[2].split(", or ")
    for way_out in (one, several):
        values: dict[str, Any] = {"fit": {"aggregator": "gru"}}
        for text in way_out.split("--set ")[1:]:
            override(values, text)
        assert make_config(values).fit.aggregator == "gru"


def test_dropout_without_a_map_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"fit\.input_dropout = 0\.2"):
        FitSettings(input_dropout=0.2)
