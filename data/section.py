"""A section of ``mofore.toml``: a frozen dataclass whose fields say what they are, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar, get_type_hints

from .errors import ConfigError


def setting(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    identity: bool = True,
    later: bool = False,
) -> Any:
    """A field with its documentation, its range (both ends included) or choices, and its weight in reruns.

    ``later``: it came after others had made things; at its default, which is what was done before, it decides nothing,
    so that nothing is made anew.
    """
    metadata = {"doc": doc, "low": low, "high": high, "choices": choices, "identity": identity, "later": later}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def default_of(f: Field[Any]) -> Any:
    """The default of a setting."""
    return f.default if f.default_factory is MISSING else f.default_factory()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of the sections of ``mofore.toml``: checks every value against its field when it is made."""

    section: ClassVar[str]
    known_as: ClassVar[dict[str, str]] = {}  # earlier names, which go on to decide what is made: nothing is made anew

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for f in fields(self):
            value = checked(f"{self.section}.{f.name}", getattr(self, f.name), hints[f.name], f.metadata)
            object.__setattr__(self, f.name, value)

    def identity(self) -> dict[str, Any]:
        """The settings that decide what the stage makes, as JSON has them: what is recorded equals what is asked."""
        decide = (f for f in fields(self) if f.metadata["identity"])
        of = {
            self.known_as.get(f.name, f.name): getattr(self, f.name)
            for f in decide
            if not (f.metadata["later"] and getattr(self, f.name) == default_of(f))
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in of.items()}


TEXTS = tuple[str, ...]  # one text, or a list of them
OPTIONS = Mapping[str, Any]  # settings of their own, which whoever they are for checks


def checked(key: str, value: Any, kind: Any, metadata: Any) -> Any:
    """Return ``value`` as ``kind`` if it is allowed.

    Raises:
        ConfigError: naming the key, the value and what is allowed.
    """
    if kind == TEXTS:
        return _texts(key, value)
    if kind == OPTIONS:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{key} = {value!r}: a table is needed, such as --set {key}.name=value")
        return dict(value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ConfigError(f"{key} = {value!r}: {_allowed(kind, metadata)} is needed")
    low, high, choices = metadata["low"], metadata["high"], metadata["choices"]
    outside = (low is not None and not value >= low) or (high is not None and not value <= high)
    if outside or (choices and value not in choices):
        raise ConfigError(f"{key} = {value!r}: {_allowed(kind, metadata)} is needed")
    return value


def _texts(key: str, value: Any) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(text, str) for text in given):
        raise ConfigError(f"{key} = {value!r}: a text in quotes, or a list of them, is needed")
    return tuple(text for text in given if text)


def _allowed(kind: type, metadata: Any) -> str:
    if metadata["choices"]:
        return "one of " + ", ".join(metadata["choices"])
    noun = {int: "a whole number", float: "a number", bool: "true or false", str: "a text in quotes"}[kind]
    low, high = metadata["low"], metadata["high"]
    if low is not None and high is not None:
        return f"{noun} from {low:g} to {high:g}"
    return f"{noun} of at least {low:g}" if low is not None else noun
