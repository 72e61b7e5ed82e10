"""Cells that a spreadsheet would compute."""

import pytest

from mofore.data.csv_cells import cell, one_line


@pytest.mark.parametrize("text", ["=1+1", "+1", "-x.mp4", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_that_is_a_formula_gets_an_apostrophe(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", [-0.5, -3, None, "", "a=b", "a-b.mp4", " =x"])
def test_numbers_and_other_texts_stay(value: object) -> None:
    assert cell(value) == value


def test_a_cell_without_quotes_is_one_line() -> None:
    assert one_line("a\tb\nc") == "a b c"
    assert one_line("\t=1") == "'=1"
    assert one_line(None) == ""
    assert one_line(-0.5) == "-0.5"
