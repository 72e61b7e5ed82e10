"""Records: what is left out, what stands beside other keys, and what reads as nothing."""

import json
from typing import NamedTuple

import pytest

from mofore.data.record import ABSENT, Absent, Record, flat, named, optional, or_empty, record


class Range(NamedTuple):
    low: float
    high: float


@record
class Inner(Record):
    a: int
    span: Range | None


@record
class Outer(Record):
    first: int = named("the first")
    inner: Inner = flat()
    beside: Inner | None = flat(default=None)
    maybe: float | Absent | None = optional(default=ABSENT)
    of_each: dict[str, tuple[Inner, ...]]
    whole: Inner | None = or_empty("all")


@record
class Counted(Record):
    count: int
    rates: dict[str, float | None] = flat()


GIVEN = {"the first": 1, "a": 2, "span": [0.5, 1.0], "of_each": {"x": [{"a": 3, "span": None}]}, "all": {}}


def test_what_is_read_is_written_again_in_its_order() -> None:
    found = Outer.from_json(GIVEN)
    assert (found.first, found.inner.span, found.maybe, found.whole) == (1, Range(0.5, 1.0), ABSENT, None)
    assert found.of_each == {"x": (Inner(a=3, span=None),)}
    assert json.dumps(found.as_json()) == json.dumps({**GIVEN, "a": 2})


def test_null_is_not_a_key_that_is_not_there() -> None:
    assert Outer.from_json({**GIVEN, "maybe": None}).as_json()["maybe"] is None


def test_a_flat_dict_has_the_keys_that_no_field_names() -> None:
    found = Counted.from_json({"count": 3, "x": 1.0, "y": None})
    assert found == Counted(count=3, rates={"x": 1.0, "y": None})
    assert found.as_json() == {"count": 3, "x": 1.0, "y": None}


def test_what_is_missing_or_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="Counted has no 'count' in JSON; it has x"):
        Counted.from_json({"x": 1.0})
    with pytest.raises(ValueError, match="Counted is an object in JSON, not 3"):
        Counted.from_json(3)
