import torch
from mofore.data.settings import FitSettings
from mofore.stages.frame_memory import Epoch

from .memory import counting_memory

SETTINGS = FitSettings(clip_length=3, gap_min=1, gap_max=4)


def test_clips_are_the_frames_of_their_own_video() -> None:
    memory = counting_memory([5, 9])
    clips = memory.clips(torch.tensor([1, 0]), torch.tensor([4, 0]), torch.tensor([3, 2]), 3)
    assert clips.tolist() == [[[1, 4], [1, 5], [1, 6]], [[0, 0], [0, 0], [0, 1]]]


def test_an_epoch_takes_every_video_once_and_its_future_after_its_context() -> None:
    lengths = [7, 12, 30, 8, 100]
    memory = counting_memory(lengths)
    epoch = Epoch.draw(0, memory, torch.arange(5), SETTINGS)
    context, future = epoch.batch(0, 5, memory, 3)
    assert sorted(context[:, 0, 0].tolist()) == [0, 1, 2, 3, 4]
    assert torch.equal(context[:, :, 0], future[:, :, 0]), "both clips are of one video"
    gaps = future[:, 0, 1] - context[:, -1, 1] - 1
    assert ((gaps >= 1) & (gaps <= 4)).all()


def test_an_epoch_depends_on_seed_and_number_alone() -> None:
    memory = counting_memory([40] * 20)
    drawn = [Epoch.draw(n, memory, torch.arange(20), SETTINGS) for n in (0, 1, 0)]
    assert torch.equal(drawn[0].video_P, drawn[2].video_P)
    assert torch.equal(drawn[0].pairs.gap_B, drawn[2].pairs.gap_B)
    assert not torch.equal(drawn[0].video_P, drawn[1].video_P)
    other = Epoch.draw(0, memory, torch.arange(20), FitSettings(clip_length=3, gap_min=1, gap_max=4, seed=1))
    assert not torch.equal(drawn[0].video_P, other.video_P)
