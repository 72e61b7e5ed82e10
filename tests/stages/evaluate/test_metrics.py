"""Forecast skill, health of the space and Table 2 on inputs whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mofore.data.figures import Distribution, ForecastAtGap, ForecastSkill, GroupProbe
from mofore.data.fit_settings import FitSettings
from mofore.data.types import Video
from mofore.stages.evaluate.baselines import pca_whitened
from mofore.stages.evaluate.embedding_health import alignment, anisotropy, effective_rank, group_probe, health
from mofore.stages.evaluate.forecast_skill import References, climatology, derangement, forecast_metrics, probe_gaps
from mofore.stages.evaluate.paper_table import different_pairs, distribution, named_pairs, same_class_pairs
from mofore.stages.frames.memory import Clips, FrameTensors
from mofore.stages.model.forecaster import Forecaster, make_forecaster
from mofore.stages.vectors.normalize import l2_normalize

from ..memory import table

SETTINGS = FitSettings(clip_length=4, gap_min=0, gap_max=8, embedding_width=6, hidden_width=6)


class Identity(nn.Module):
    """Embeds a clip as its mean feature: its forecasts are then exactly persistence."""

    def forward(self, clips: Clips | Tensor, _gap_BH: Tensor | None = None) -> Tensor:
        return clips.features if isinstance(clips, Clips) else clips


def persistence_forecaster() -> Forecaster:
    forecaster = make_forecaster(6, SETTINGS)
    forecaster.student = forecaster.teacher = forecaster.predictor = Identity()  # type: ignore[assignment]
    return forecaster


def memory() -> FrameTensors:
    return FrameTensors.of(table([30, 40, 22, 60]), torch.device("cpu"))


def _whole(found: ForecastSkill) -> ForecastAtGap:
    assert found.whole is not None
    return found.whole


def test_a_forecast_that_repeats_the_context_has_skill_zero() -> None:
    forecaster = persistence_forecaster()
    climate = climatology(forecaster, memory(), SETTINGS, views=5)
    metrics = forecast_metrics(forecaster, memory(), SETTINGS, References(climate))
    assert set(metrics.gaps) == {"0", "2", "4", "6", "8"}
    for row in (*metrics.gaps.values(), _whole(metrics)):
        assert row.skill == pytest.approx(0.0)
        assert row.mse == pytest.approx(row.persistence.mse)
        assert row.mse == pytest.approx(2 * (1 - row.cosine) / 6, rel=1e-4), "unit vectors: 2 (1 - cos) / E"
        assert row.r2 == pytest.approx(1 - row.mse / row.climatology.mse)
    errors = [row.mse for row in metrics.gaps.values()]
    assert errors == sorted(errors), "a drifting video is harder to forecast the further ahead"
    assert _whole(metrics).n == 5 * 4 * 3


def test_chance_is_another_videos_future() -> None:
    metrics = forecast_metrics(persistence_forecaster(), memory(), SETTINGS, References(torch.zeros(6)))
    assert _whole(metrics).chance.cosine < _whole(metrics).cosine


def test_chance_is_not_the_next_clip_of_the_same_recording() -> None:
    frames = table([30] * 8)
    own = frames.features_ND.reshape(8, 30, 6)
    own[1::2] = own[::2]  # in the catalog's order every video is followed by its twin
    twins = FrameTensors.of(frames, torch.device("cpu"))
    metrics = forecast_metrics(persistence_forecaster(), twins, SETTINGS, References(torch.zeros(6)))
    assert _whole(metrics).chance.cosine < 0.9


def test_strangers_are_other_videos_each_of_them_once() -> None:
    rows = torch.arange(21.0)[:, None]
    found = derangement(rows, 3).flatten().view(7, 3)
    assert sorted(found[:, 0].tolist()) == [0, 3, 6, 9, 12, 15, 18]
    assert (found != rows.view(7, 3)).all()
    assert torch.equal(found - found[:, :1], torch.tensor([0.0, 1.0, 2.0]).expand(7, 3))
    assert torch.equal(derangement(rows[:3], 3), rows[:3]), "alone"


def test_only_gaps_that_were_trained_are_probed() -> None:
    assert probe_gaps(replace(SETTINGS, gap_distribution="fixed")) == [8]
    assert probe_gaps(replace(SETTINGS, predictor="horizons", horizons=3)) == [0, 4, 8]


def test_videos_too_short_for_any_gap_leave_no_rows() -> None:
    short = FrameTensors.of(table([5, 6]), torch.device("cpu"))
    assert forecast_metrics(persistence_forecaster(), short, SETTINGS, References(torch.zeros(6))) == ForecastSkill(
        gaps={}, whole=None
    )


def test_gaps_are_spread_over_the_range() -> None:
    assert probe_gaps(FitSettings(gap_min=0, gap_max=16)) == [0, 4, 8, 12, 16]
    assert probe_gaps(FitSettings(gap_min=3, gap_max=3)) == [3]


def test_effective_rank_of_known_spaces() -> None:
    assert effective_rank(np.eye(5, dtype=np.float32)) == pytest.approx(5.0)
    assert effective_rank(np.ones((9, 5), np.float32)) == pytest.approx(1.0)


def test_a_collapsed_space_shows() -> None:
    pairs = np.array([[0, 1], [1, 2], [0, 3]])
    collapsed = health(np.tile(l2_normalize(np.ones((1, 4), np.float32)), (5, 1)), pairs)
    spread = health(np.eye(5, dtype=np.float32), pairs)
    assert collapsed.unrelated_cosine == pytest.approx(1.0)
    assert collapsed.uniformity == pytest.approx(0.0, abs=1e-6)
    assert collapsed.sd_mean == pytest.approx(0.0, abs=1e-6)
    assert spread.unrelated_cosine == 0.0
    assert spread.uniformity == pytest.approx(-4.0)


def video(name: str, label: str | None, group: str | None) -> Video:
    return Video(name, label, group, 1, 1)


VIDEOS = [
    video(f"{c}/v_{c}_g{g:02d}_c{k:02d}.avi", c, f"g{g:02d}") for c in ("A", "B") for g in (1, 2, 3) for k in (1, 2)
]


def test_same_class_pairs_are_of_other_recordings() -> None:
    pairs = same_class_pairs(VIDEOS, 1000, 0)
    assert len(pairs) == 2 * 3 * 4  # per class: three pairs of groups, two clips each
    assert all(VIDEOS[a].label == VIDEOS[b].label and VIDEOS[a].group != VIDEOS[b].group for a, b in pairs)


def test_different_pairs_differ_in_class_and_are_distinct() -> None:
    pairs = different_pairs(VIDEOS, 20, 0)
    assert len({(a, b) for a, b in pairs.tolist()}) == len(pairs) > 10
    assert all(VIDEOS[a].label != VIDEOS[b].label for a, b in pairs)
    assert np.array_equal(pairs, different_pairs(VIDEOS, 20, 0))


def test_without_classes_unrelated_means_another_video() -> None:
    pairs = different_pairs([video(str(n), None, None) for n in range(6)], 10, 0)
    assert len(pairs)
    assert (pairs[:, 0] != pairs[:, 1]).all()


def test_the_papers_pairs_are_found_by_name() -> None:
    videos = [video("YoYo/v_YoYo_g19_c02.avi", "YoYo", "g19"), video("YoYo/v_YoYo_g20_c01.mp4", "YoYo", "g20")]
    views = l2_normalize(np.arange(2 * 3 * 4, dtype=np.float32).reshape(-1, 4) + 1).reshape(2, 3, 4)
    found = named_pairs(videos, (views[:, 0], views[:, 2]), views[:, 0])
    assert set(found) == {"same_video", "same_class"}
    assert found["same_class"].cosine == pytest.approx(float(views[0, 0] @ views[1, 0]))
    assert found["same_video"].cosine == pytest.approx(float(views[0, 0] @ views[0, 2]))


def test_an_empty_sample_has_no_mean() -> None:
    assert distribution(np.empty(0)) == Distribution(mean=None, sd=None, n=0, paper=None)


def test_anisotropy_is_the_mean_cosine_of_all_pairs() -> None:
    rows = l2_normalize(np.random.default_rng(0).standard_normal((20, 5)).astype(np.float32) + 1)
    cosines = (rows @ rows.T)[~np.eye(20, dtype=bool)]
    assert anisotropy(rows) == pytest.approx(float(cosines.mean()), abs=1e-6)
    assert anisotropy(rows[:1]) is None


def test_alignment_is_the_distance_of_two_views() -> None:
    views = l2_normalize(np.random.default_rng(0).standard_normal((7 * 3, 5)).astype(np.float32)).reshape(7, 3, 5)
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    expected = np.mean([((views[:, a] - views[:, b]) ** 2).sum(axis=1).mean() for a, b in pairs])
    assert alignment(views.mean(axis=1), 3) == pytest.approx(float(expected), abs=1e-5)
    assert alignment(views[:, 0], 1) is None


def test_a_recording_in_the_embedding_shows_beside_chance() -> None:
    group = np.repeat(np.arange(8), 3)
    labels = np.repeat([0, 1], 12)
    recordings = l2_normalize(np.eye(8, dtype=np.float32)[group] + 0.01)
    found = group_probe(recordings, labels, group)
    assert (found.accuracy, found.chance, found.n) == (100.0, pytest.approx(100 * 2 / 11), 24)
    blind = group_probe(
        l2_normalize(np.random.default_rng(0).standard_normal((24, 64)).astype(np.float32)), labels, group
    )
    assert (blind.accuracy or 100) < 50
    assert group_probe(recordings, labels, np.arange(24)) == GroupProbe(accuracy=None, chance=None, n=0)


def test_whitening_keeps_the_directions_that_hold_half() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((400, 6)) * [3.5, 3, 2.5, 1, 0.1, 0.01] + 3).astype(np.float32)
    gallery = np.arange(300)
    found, kept = pca_whitened(rows, gallery)
    assert kept == 2, "12 of 29 are less than half, 12 + 9 are more"
    assert found.shape == (400, 2)
    centered = rows[gallery].astype(np.float64) - rows[gallery].mean(axis=0)
    _, scale, axes = np.linalg.svd(centered, full_matrices=False)
    expected = l2_normalize(((rows - rows[gallery].mean(axis=0)) @ axes[:2].T / scale[:2]).astype(np.float32))
    assert np.allclose(np.abs(found), np.abs(expected), atol=1e-3), "up to the sign of a direction"
