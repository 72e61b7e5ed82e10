import pytest

from mofore.data.wording import size_text


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
