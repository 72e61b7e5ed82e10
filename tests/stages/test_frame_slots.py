import os

import torch
from mofore.stages.frame_slots import FrameSlots, SlotLayout


def test_slots_do_not_overlap_and_hold_what_is_written() -> None:
    layout = SlotLayout(count=3, frames=4, size=(5, 7))
    slots = FrameSlots(layout)
    for slot in range(3):
        slots.view(slot, 4).fill_(slot + 1)
    slots.step()
    assert [slots.view(slot, 4).unique().tolist() for slot in range(3)] == [[1], [2], [3]]
    assert slots.tick == 1
    assert slots.view(0, 2).shape == (2, 3, 5, 7)
    assert slots.view(0, 2).is_contiguous(memory_format=torch.channels_last)


def test_another_holder_of_the_memory_sees_what_is_written() -> None:
    slots = FrameSlots(SlotLayout(count=1, frames=1, size=(2, 2)))
    other = FrameSlots(slots.layout, os.dup(slots._descriptor))
    other.view(0, 1).fill_(9)
    other.step()
    assert slots.view(0, 1).sum() == 9 * 12
    assert slots.tick == 1


def test_a_view_outlives_the_slots() -> None:
    slots = FrameSlots(SlotLayout(count=1, frames=1, size=(2, 2)))
    view = slots.view(0, 1).fill_(3)
    slots.close()
    assert view.sum() == 36
