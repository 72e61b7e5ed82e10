import os
import pickle
from pathlib import Path

import pytest

from mofore.stages.decode import slots as slots_module
from mofore.stages.decode.slots import FrameSlots, SlotLayout


def test_slots_do_not_overlap_and_hold_what_is_written() -> None:
    slots = FrameSlots(SlotLayout(count=3, slot_bytes=420))
    for slot in range(3):
        slots.view(slot, (4, 5, 7, 3)).fill_(slot + 1)
    slots.step()
    assert [slots.view(slot, (420,)).unique().tolist() for slot in range(3)] == [[1], [2], [3]]
    assert slots.tick == 1
    assert slots.view(0, (2, 5, 7, 3)).shape == (2, 5, 7, 3)


def test_another_holder_of_the_memory_sees_what_is_written() -> None:
    slots = FrameSlots(SlotLayout(count=1, slot_bytes=12))
    other = FrameSlots(slots.layout, os.dup(slots._descriptor))
    other.view(0, (12,)).fill_(9)
    other.step()
    assert slots.view(0, (12,)).sum() == 9 * 12
    assert slots.tick == 1


def test_a_view_outlives_the_slots() -> None:
    slots = FrameSlots(SlotLayout(count=1, slot_bytes=12))
    view = slots.view(0, (12,)).fill_(3)
    slots.close()
    assert view.sum() == 36


def test_where_descriptors_are_not_handed_on_a_named_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "reduction", object())
    slots = FrameSlots(SlotLayout(count=1, slot_bytes=12))
    other = pickle.loads(pickle.dumps(slots))
    slots.view(0, (12,)).fill_(7)
    slots.step()
    assert other.view(0, (12,)).tolist() == [7] * 12
    assert other.tick == 1
    other.close()
    slots.close()
    assert not Path(slots._path).exists()
