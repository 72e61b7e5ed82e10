import pytest

from mofore.data.chiral_pairs import chiral_pair
from mofore.data.errors import ConfigError

CLASSES = ("Open door", "Close door", "Sit")


def test_a_pair_is_two_classes() -> None:
    assert chiral_pair("Open door <> Close door", CLASSES) == ("Open door", "Close door")
    assert chiral_pair("Sit<>Open door", CLASSES) == ("Sit", "Open door")


@pytest.mark.parametrize("text", ["Sit", "Sit <> Sit", "Sit <>", "<> Sit", "Sit <> Open door <> Close door", ""])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=f'"{text}": two classes are needed, as in "open <> close"'):
        chiral_pair(text, CLASSES)


def test_a_class_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(
        ConfigError, match=r"""no video is of the class "Run"; there is 'Close door', 'Open door', 'Sit'"""
    ):
        chiral_pair("Sit <> Run", CLASSES)
    with pytest.raises(ConfigError, match="there is none"):
        chiral_pair("Sit <> Run", ())
