"""Pairs of temporally opposite classes, as ``evaluate.chiral_pairs`` names them: "Opening <> Closing"."""

from __future__ import annotations

from collections.abc import Collection

from .errors import ConfigError
from .wording import few

OPPOSITE = "<>"


def chiral_pair(text: str, classes: Collection[str]) -> tuple[str, str]:
    """The two classes of a pair.

    Raises:
        ConfigError: if they are not two, or one of them is not among ``classes``.
    """
    first, *others = (name.strip() for name in text.split(OPPOSITE))
    if len(others) != 1 or not first or not others[0] or first == others[0]:
        raise ConfigError(f'evaluate.chiral_pairs: "{text}": two classes are needed, as in "open {OPPOSITE} close"')
    for name in (first, others[0]):
        if name not in classes:
            there = few(sorted(classes)) or "none"
            raise ConfigError(f'evaluate.chiral_pairs: "{text}": no video is of the class "{name}"; there is {there}')
    return first, others[0]
