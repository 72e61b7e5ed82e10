from dataclasses import replace
from typing import Any

import pytest
import torch

from mofore.data.fit_settings import FitSettings
from mofore.stages.frames.sampler import Batch, Sampler, make_sampler

from ..memory import counting_memory, table

LENGTHS = [7, 12, 30, 8, 100, 40]
SETTINGS = FitSettings(clip_length=3, gap_min=1, gap_max=4, batch_size=3, aggregator="conv", steps=50)


def sampler(settings: FitSettings, lengths: list[int] = LENGTHS) -> Sampler:
    memory = counting_memory(lengths)
    return make_sampler(settings, memory, memory.usable_V(settings.gap_least, settings.unit))


def batches(settings: FitSettings, count: int = 40) -> list[Batch]:
    return list(sampler(settings).batches(0, count))


def frames(batch: Batch, side: str) -> torch.Tensor:
    """(video, frame) of every frame of a side's clips."""
    return getattr(batch, side).features


def test_a_pass_takes_every_video_once_and_its_future_after_its_context() -> None:
    for first, second in zip(*(iter(batches(SETTINGS)),) * 2, strict=True):
        seen = torch.cat([frames(first, "context"), frames(second, "context")])[:, 0, 0]
        assert sorted(seen.tolist()) == [0, 1, 2, 3, 4, 5]
        for batch in (first, second):
            context, future = frames(batch, "context"), frames(batch, "target")
            assert torch.equal(context[:, :, 0], future[:, :, 0]), "both clips are of one video"
            apart = future[:, 0, 1] - context[:, -1, 1] - 1
            assert torch.equal(apart, batch.gap_BH[:, 0])
            assert ((apart >= 1) & (apart <= 4)).all()
            assert batch.group_R is None


def test_batches_depend_on_seed_and_step_alone() -> None:
    whole = batches(SETTINGS)
    later = list(sampler(SETTINGS).batches(17, 40))
    for one, other in zip(whole[17:], later, strict=True):
        assert torch.equal(one.context.features, other.context.features)
        assert torch.equal(one.target.features, other.target.features)
    another = batches(replace(SETTINGS, seed=1))
    assert not torch.equal(whole[0].context.features, another[0].context.features)


def test_shares_of_a_batch_make_up_the_whole() -> None:
    settings = replace(SETTINGS, batch_size=6)
    whole = batches(settings, 5)
    parts = [list(sampler(settings).batches(0, 5, share=slice(3 * rank, 3 * rank + 3))) for rank in (0, 1)]
    for number, batch in enumerate(whole):
        joined = torch.cat([part[number].context.features for part in parts])
        assert torch.equal(batch.context.features, joined)


def test_several_pairs_of_a_video_are_marked_as_one_group() -> None:
    for batch in batches(replace(SETTINGS, batch_size=6, pairs_per_video=3)):
        assert batch.group_R is not None
        assert torch.equal(batch.group_R.float(), frames(batch, "context")[:, 0, 0])
        assert len(batch.group_R.unique()) == 2


def test_several_horizons_share_their_context() -> None:
    settings = replace(SETTINGS, predictor="horizons", horizons=3, gap_max=5)
    assert settings.horizon_gaps == (1, 3, 5)
    for batch in batches(settings):
        context, future = frames(batch, "context"), frames(batch, "target").view(-1, 3, 3, 2)
        assert torch.equal(batch.gap_BH, torch.tensor([[1.0, 3.0, 5.0]]).expand(len(context), 3))
        assert torch.equal(future[:, :, 0, 1] - context[:, None, -1, 1] - 1, batch.gap_BH)
        assert batch.group_R is not None
        assert batch.group_R.tolist() == [video for video in context[:, 0, 0].tolist() for _ in range(3)]


@pytest.mark.parametrize("settings", [{"target": "past"}, {"target": "other"}, {"target": "shuffled"}])
def test_controls_change_the_target_alone(settings: dict[str, Any]) -> None:
    drawn = batches(replace(SETTINGS, **settings))
    context = torch.cat([frames(batch, "context") for batch in drawn])
    target = torch.cat([frames(batch, "target") for batch in drawn])
    same_video = context[:, 0, 0] == target[:, 0, 0]
    before = target[:, -1, 1] < context[:, 0, 1]
    match settings["target"]:
        case "past":
            assert same_video.all()
            assert before.all()
        case "other":
            assert same_video.all()
            assert 0.05 < before.float().mean() < 0.8
        case _:
            assert not same_video.any()


def test_a_curriculum_begins_with_the_smallest_gap() -> None:
    settings = replace(SETTINGS, gap_distribution="curriculum", steps=4000, gap_max=40)
    early = torch.cat([b.gap_BH for b in sampler(settings, [200] * 6).batches(0, 100)])
    late = torch.cat([b.gap_BH for b in sampler(settings, [200] * 6).batches(3000, 3500)])
    assert early.max() == 1
    assert late.max() == 40


def test_fixed_gaps_are_the_largest_and_short_videos_shrink_for_it() -> None:
    drawn = batches(replace(SETTINGS, gap_distribution="fixed"))
    assert {gap for batch in drawn for gap in batch.gap_BH.flatten().tolist()} == {4.0}


@pytest.mark.parametrize("stride", [0.04, 0.1])
def test_seconds_give_the_frames_of_those_times(stride: float) -> None:
    settings = replace(SETTINGS, unit="seconds", clip_stride=stride, gap_min=0.08, gap_max=0.2)
    drawn = sampler(settings, [40, 60, 50])
    for batch in drawn.batches(0, 30):
        context, future = frames(batch, "context")[..., 1], frames(batch, "target")[..., 1]
        steps = context.diff(dim=1)
        assert ((steps >= int(stride * 25)) & (steps <= int(stride * 25) + 1)).all()
        assert (future[:, 0] > context[:, -1]).all()
        gap_s = (future[:, 0] - context[:, 0]) / 25 - 3 * stride
        assert (gap_s - batch.gap_BH[:, 0]).abs().max() < 0.041  # a frame lasts 0.04 s


def test_neighbours_lend_their_futures() -> None:
    made = table([30] * 12, seed=3)
    width = made.features_ND.shape[1]
    made.features_ND[:] = 0.0
    for video in range(12):  # three kinds of four videos
        made.features_ND[video * 30 : (video + 1) * 30, video % 3] = 1.0
        made.features_ND[video * 30 : (video + 1) * 30, width - 1] = video / 100
    from mofore.stages.frames.memory import FrameTensors

    memory = FrameTensors.of(made, torch.device("cpu"))
    settings = replace(SETTINGS, neighbours=3, neighbour_share=0.5, batch_size=4)
    drawn = list(make_sampler(settings, memory, torch.arange(12)).batches(0, 60))
    of = lambda clips: (clips.features[:, 0, -1] * 100).round()  # noqa: E731
    context = torch.cat([of(batch.context) for batch in drawn])
    target = torch.cat([of(batch.target) for batch in drawn])
    assert torch.equal(context % 3, target % 3), "a neighbour is of the same kind"
    assert 0.4 < (context == target).float().mean() < 0.6


@pytest.mark.parametrize("target", ["past", "other"])
def test_controls_take_no_neighbours_clip(target: str) -> None:
    settings = replace(SETTINGS, aggregator="mean", neighbours=3, target=target, steps=2000)
    drawn = sampler(settings, [30] * 60)
    assert drawn.memory.prefix_MD is not None
    for batch in drawn.batches(0, 60):
        assert torch.equal(batch.context.features[:, 0], batch.target.features[:, 0]), "both clips are of one video"


def test_look_alikes_share_a_batch() -> None:
    made = table([30] * 16, seed=3)
    made.features_ND[:] = 0.0
    for video in range(16):
        made.features_ND[video * 30 : (video + 1) * 30, video % 4] = 1.0 + 0.01 * video
    from mofore.stages.frames.memory import FrameTensors

    memory = FrameTensors.of(made, torch.device("cpu"))
    mixed = []
    for negatives in ("batch", "lookalike"):
        settings = replace(SETTINGS, negatives=negatives, batch_size=4)
        drawn = list(make_sampler(settings, memory, torch.arange(16)).batches(0, 80))
        kinds = [len(batch.context.features[:, 0].argmax(dim=1).unique()) for batch in drawn]
        mixed.append(sum(kinds) / len(kinds))
    assert mixed[1] < 0.7 * mixed[0]


def test_a_predictor_of_the_history_sees_nothing_after_its_context() -> None:
    settings = replace(SETTINGS, aggregator="mean", predictor="history", history=5)
    for batch in batches(settings):
        seen = batch.context.seen
        assert seen is not None
        assert batch.target.seen is None
        video, frame = seen.frames_BTD.unbind(dim=2)
        assert (video == batch.context.features[:, :1]).all()
        assert (frame.diff(dim=1) >= 0).all()
        assert (frame[:, -1] < batch.target.features[:, 1]).all()
        assert torch.equal(seen.age_BT, frame[:, -1:] - frame)
        assert torch.allclose(seen.weight_BT.sum(dim=1), frame[:, -1] + 1)


def test_what_is_dropped_is_drawn_with_the_pairs_at_its_rate() -> None:
    settings = replace(SETTINGS, aggregator="mean_sd", input_map="neighbour_lda", input_dropout=0.25, batch_size=6)
    whole = batches(settings, 200)
    kept = torch.stack([batch.kept_BE for batch in whole if batch.kept_BE is not None])
    assert kept.shape == (200, 6, settings.mapped_width(2))
    assert kept.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert (kept == 0).float().mean().item() == pytest.approx(0.25, abs=0.03), "4,800 draws: three sd are 0.02"
    (later,) = sampler(settings).batches(17, 18, share=slice(2, 5))
    assert later.kept_BE is not None
    assert torch.equal(later.kept_BE, kept[17, 2:5])


def test_nothing_is_dropped_unless_that_is_asked_for() -> None:
    assert all(batch.kept_BE is None for batch in batches(SETTINGS))
