"""Fixtures of the stages' tests."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch computes with one thread, as it does where the suite is run by ``make test``."""
    yield from _threads(1)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Torch computes with two threads; elsewhere in the tests it has one."""
    yield from _threads(2)


def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)
