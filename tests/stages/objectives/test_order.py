import torch

from mofore.stages.objectives.order import ORDERS, SortingHead

from .trained import learnt


def test_frames_are_sorted() -> None:
    found = learnt("order")
    assert found.after > 2.5 * found.chance
    assert found.before < 1.5 * found.chance


def test_the_twelve_orders_are_those_of_four_frames_up_to_reversal() -> None:
    either_way = {tuple(order) for both in (ORDERS, ORDERS.flip(1)) for order in both.tolist()}
    assert len(ORDERS) == 12
    assert len(either_way) == 24


def test_what_all_four_share_decides_nothing() -> None:
    torch.manual_seed(0)
    head, z_BKE = SortingHead(8, 16), torch.randn(3, 4, 8)
    moved_BKE = 2.0 * z_BKE + torch.randn(3, 1, 8)
    torch.testing.assert_close(head(z_BKE), head(moved_BKE), rtol=1e-4, atol=1e-4)
