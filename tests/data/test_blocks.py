import pytest

from mofore.data.blocks import blocks


@pytest.mark.parametrize(("total", "size"), [(0, 3), (1, 3), (6, 3), (7, 3)])
def test_blocks_cover_every_row_once_and_are_no_larger_than_asked(total: int, size: int) -> None:
    found = list(blocks(total, size))
    assert [row for rows in found for row in range(total)[rows]] == list(range(total))
    assert all(rows.stop - rows.start <= size for rows in found)
