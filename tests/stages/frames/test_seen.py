import torch

from mofore.stages.frames.seen import seen_rows

FIRST = torch.tensor([10, 10, 100])
CONTEXT = torch.tensor([[10, 11, 12, 13], [30, 31, 32, 33], [103, 105, 107, 109]])


def test_what_is_seen_lies_between_the_first_frame_and_the_contexts_last() -> None:
    rows, _ = seen_rows(FIRST, CONTEXT, 8)
    assert rows.shape == (3, 12)
    assert (rows >= FIRST[:, None]).all()
    assert (rows[:, :8] < CONTEXT[:, :1])[1:].all()
    assert torch.equal(rows[:, 8:], CONTEXT)
    assert (rows.diff(dim=1) >= 0).all()


def test_frames_are_the_middles_of_equal_parts_of_what_came_before() -> None:
    rows, _ = seen_rows(FIRST, CONTEXT, 4)
    assert rows[1, :4].tolist() == [12, 17, 22, 27]  # the middles of 5 frames each
    assert rows[2, :4].tolist() == [100, 101, 101, 102]  # three frames for four parts


def test_weights_count_every_frame_up_to_the_contexts_end_once() -> None:
    _, weight = seen_rows(FIRST, CONTEXT, 8)
    assert torch.allclose(weight.sum(dim=1), torch.tensor([4.0, 24.0, 10.0]))
    assert (weight[0, :8] == 0).all()  # nothing came before
