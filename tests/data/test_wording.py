import pytest

from mofore.data.wording import figure, number, percent, size_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (12, "12 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (114_400, "114 kB"),
        (999_600, "1 MB"),
        (6_932_971_618, "6.93 GB"),
    ],
)
def test_sizes_have_three_digits_and_a_decimal_unit(count: int, text: str) -> None:
    assert size_text(count) == text


def test_figures_are_rounded_without_a_negative_zero_and_dashes_where_there_are_none() -> None:
    assert (number(-0.0004, 3), number(-0.0006, 3), percent(-0.04), percent(85.25)) == (
        "0.000",
        "-0.001",
        "0.0",
        "85.2",
    )
    assert (figure(0.000478912), figure(12345.0)) == ("0.000479", "1.23e+04")
    assert number(None, 3) == percent(None) == figure(None) == "-"
