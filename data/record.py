"""Frozen dataclasses that are written as JSON and read back; their fields say how, so that no class says it twice.

A field is a key of the JSON object, in the order of the fields, but for what :func:`named`, :func:`optional` and
:func:`flat` say. Tuples are lists there, named tuples too, and records in tuples and dicts are objects.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import Enum
from typing import Any, Self, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

T = TypeVar("T")


class Absent(Enum):
    """What a field holds whose key is not there, where None is a value of its own (null)."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


def named(name: str, *, default: Any = MISSING) -> Any:
    """A field with another name in JSON ("R@1")."""
    return field(default=default, metadata={"name": name})


def optional(*, default: Any = MISSING, default_factory: Any = MISSING, name: str = "") -> Any:
    """A field whose key, ``name`` if that is another, is left out where it has its default."""
    metadata = {"optional": True, **({"name": name} if name else {})}
    if default is MISSING:
        return field(default_factory=default_factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def or_empty(name: str) -> Any:
    """A field of that name in JSON where None is an empty object."""
    return field(metadata={"name": name, "or_empty": True})


def flat(*, default: Any = MISSING) -> Any:
    """A record whose keys stand beside those of the record that holds it; or a dict: of all keys that no field names.

    A default of None: none of the keys is there.
    """
    return field(default=default, metadata={"flat": True})


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(field, named, optional, or_empty, flat)
)
def record(cls: type[T]) -> type[T]:
    """Make a dataclass of a :class:`Record`: frozen, with slots, made by the names of its fields."""
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


class Record:
    """Base of the dataclasses; keys that none of their fields names are passed over when they are read."""

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        """The object, of what :mod:`json` writes."""
        found: dict[str, Any] = {}
        for part in _parts(type(self)):
            value = getattr(self, part.field)
            if part.flat:
                found.update({} if value is None else _written(value))
            elif not part.left_out(value):
                found[part.key] = {} if value is None and part.or_empty else _written(value)
        return found

    @classmethod
    def from_json(cls, given: Any) -> Self:
        """Read what :meth:`as_json` wrote.

        Raises:
            ValueError: if it is no object, or a key without a default is missing.
        """
        return read(cls, given)

    @classmethod
    def json_keys(cls) -> frozenset[str]:
        """All keys that a field names, those of flat records too."""
        parts = _parts(cls)
        return frozenset({part.key for part in parts if not part.flat}).union(
            *(part.record.json_keys() for part in parts if part.flat and part.record)
        )


R = TypeVar("R", bound=Record)


def read(cls: type[R], given: Any) -> R:
    """What :meth:`Record.from_json` does; for classes that look at what is given before."""
    if not isinstance(given, dict):
        raise ValueError(f"{cls.__name__} is an object in JSON, not {given!r:.60}")
    return cls(**{part.field: _value(cls, part, given) for part in _parts(cls)})


@dataclass(frozen=True, slots=True)
class _Part:
    """How a field is written: its name, its key, what reads its value, the record that it is if it is one."""

    field: str
    key: str
    read: Callable[[Any], Any]
    record: type[Record] | None
    default: tuple[Any, ...]  # none where it is needed
    flat: bool
    optional: bool
    or_empty: bool

    def left_out(self, value: Any) -> bool:
        """Whether its key is not written."""
        return self.optional and value == self.default[0]


_KNOWN: dict[type[Record], tuple[_Part, ...]] = {}


def _parts(cls: type[Any]) -> tuple[_Part, ...]:
    """Of each field, in order; looked at once a class."""
    if cls not in _KNOWN:
        hints = get_type_hints(cls)
        _KNOWN[cls] = tuple(_part(f, hints[f.name]) for f in fields(cls))
    return _KNOWN[cls]


def _part(f: Field[Any], kind: Any) -> _Part:
    bare, flags = _not_none(kind), [name in f.metadata for name in ("flat", "optional", "or_empty")]
    record = bare if _is_record(bare) else None
    default = () if f.default is MISSING else (f.default,)
    if f.default_factory is not MISSING:
        default = (f.default_factory(),)
    return _Part(f.name, f.metadata.get("name", f.name), _reader(kind), record, default, *flags)


def _value(cls: type[Record], part: _Part, given: Mapping[str, Any]) -> Any:
    if part.flat:
        return _flat_value(cls, part, given)
    if part.key in given:
        value = given[part.key]
        return None if part.or_empty and value == {} else part.read(value)
    if not part.default:
        raise ValueError(f"{cls.__name__} has no {part.key!r} in JSON; it has {', '.join(given)}")
    return part.default[0]


def _flat_value(cls: type[Record], part: _Part, given: Mapping[str, Any]) -> Any:
    if part.record is None:
        named_ones = cls.json_keys()
        return part.read({key: value for key, value in given.items() if key not in named_ones})
    return part.default[0] if part.default and not part.record.json_keys() & {*given} else part.read(given)


def _reader(kind: Any) -> Callable[[Any], Any]:
    """What makes a value of this type of what JSON has; other types are taken as they are."""
    kind, origin = _not_none(kind), get_origin(_not_none(kind))
    if _is_record(kind):
        made: Callable[[Any], Any] = kind.from_json
    elif isinstance(kind, type) and issubclass(kind, tuple):  # a named tuple
        made = lambda value: kind(*value)  # noqa: E731
    elif origin is tuple:
        each = _reader(get_args(kind)[0])
        made = lambda value: tuple(map(each, value))  # noqa: E731
    elif origin is dict:
        of_value = _reader(get_args(kind)[1])
        made = lambda value: {key: of_value(each) for key, each in value.items()}  # noqa: E731
    else:
        return lambda value: value
    return lambda value: None if value is None else made(value)


def _written(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_json()
    if isinstance(value, dict):
        return {key: _written(each) for key, each in value.items()}
    return [_written(each) for each in value] if isinstance(value, tuple | list) else value


def _not_none(kind: Any) -> Any:
    """``X`` of ``X | None``."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    others = [each for each in get_args(kind) if each is not type(None)]
    return others[0] if len(others) == 1 else kind


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)
