"""The grid of a sweep: settings with several values, and a run for every combination of them."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.earlier_settings import present_name
from ..data.errors import ConfigError, UsageError
from .config import Config, load_config, parse_override

SWEPT = ("fit", "index", "evaluate")  # sections, and of another one these keys: the features stay what they are
SWEPT_KEYS = ("data.split", "data.split_seed", "data.train_fraction", "data.queries")
# A value ends at a comma that stands in no quotes and no brackets.
VALUE = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|\[[^\]]*\]|[^,])+""")


@dataclass(frozen=True, slots=True)
class Axis:
    """A setting and the values that it takes, as texts of TOML."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GridRun:
    """One combination.

    Attributes:
        values: what it sets, by the settings of the axes.
        config: all of its settings.
    """

    values: dict[str, Any]
    config: Config

    @property
    def name(self) -> str:
        """What to call it: ``lr=0.001 seed=0``."""
        return run_name(self.values)


def run_name(values: dict[str, Any]) -> str:
    """Settings by their last names, with their values."""
    return " ".join(f"{name.partition('.')[2]}={value}" for name, value in values.items()) or "all runs"


def parse_grid(overrides: Iterable[str]) -> tuple[tuple[str, ...], tuple[Axis, ...]]:
    """What ``--set`` fixes, and what it lists: ``fit.lr=1e-4,1e-3``.

    Commas separate values, but in quotes and brackets; ``'"mofore, frames"'`` is one value.

    Raises:
        ConfigError: if it has another form, or a value is missing or given twice.
        UsageError: if nothing is listed, or what is listed would change the features.
    """
    fixed, axes = list[str](), dict[str, Axis]()
    for text in overrides:
        name, _, listed = text.partition("=")
        values = [value.strip() for value in VALUE.findall(listed)]
        if not _commas(listed):
            fixed.append(text)
            continue
        section, key, _ = parse_override(f"{name}={values[0] if values else ''}")
        name = present_name(section, key)
        _refuse_other(section, name, text)
        if name in axes:
            raise ConfigError(f"--set {text}: {name} is given twice: put all of its values into one list")
        axes[name] = _axis(name, listed, values)
    if not axes:
        raise UsageError("there is nothing to sweep: give a setting several values, as --set fit.seed=0,1,2")
    return tuple(fixed), tuple(axes.values())


def _axis(name: str, listed: str, values: Sequence[str]) -> Axis:
    if len(values) != _commas(listed) + 1 or not all(values):
        raise ConfigError(f"--set {name}={listed}: a value is missing beside a comma")
    parsed = [parse_override(f"{name}={value}")[2] for value in values]
    for number, value in enumerate(parsed):
        if value in parsed[:number]:
            raise ConfigError(f"--set {name}={listed}: {values[number]} is given twice")
    return Axis(name, tuple(values))


def _commas(listed: str) -> int:
    """Commas in no quotes and no brackets."""
    return re.sub(VALUE, "", listed).count(",")


def _refuse_other(section: str, name: str, text: str) -> None:
    if section in SWEPT or name in SWEPT_KEYS:
        return
    if not section:
        raise UsageError(f"--set {text}: say which seed: --set fit.{text}")
    raise UsageError(
        f"--set {text}: a sweep is over settings of {', '.join(SWEPT)}, and {', '.join(SWEPT_KEYS)}; for each value of "
        f"{name} use a command of its own"
    )


def grid_runs(path: Path, fixed: Sequence[str], axes: Sequence[Axis]) -> list[GridRun]:
    """A run for every combination, the last axis changing fastest.

    Raises:
        ConfigError: if a value is not allowed, alone or with the others of its run.
    """
    runs = []
    for values in itertools.product(*(axis.values for axis in axes)):
        texts = [f"{axis.name}={value}" for axis, value in zip(axes, values, strict=True)]
        try:
            config = load_config(path, (*fixed, *texts))
        except ConfigError as error:
            raise ConfigError(f"{error} (of the run {' '.join(texts)}; nothing was run)") from error
        runs.append(GridRun({axis.name: _value(config, axis.name) for axis in axes}, config))
    return runs


def _value(config: Config, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(config, section), key)


def grid_overrides(grid: Mapping[str, object]) -> tuple[str, ...]:
    """A grid of Python's as ``--set`` takes it: a list, tuple or range has a value for each run.

    Raises:
        ConfigError: if a value is none that a setting can have.
    """
    texts = []
    for name, values in grid.items():
        each = values if isinstance(values, list | tuple | range) else [values]
        texts.append(f"{name}={','.join(_as_toml(name, value) for value in each)}")
    return tuple(texts)


def as_overrides(settings: Mapping[str, object]) -> tuple[str, ...]:
    """Settings as ``--set`` takes them.

    Raises:
        ConfigError: if a value is none that a setting can have.
    """
    return tuple(f"{name}={_as_toml(name, value)}" for name, value in settings.items())


def _as_toml(name: str, value: object) -> str:
    """A value in JSON, which is TOML for all that settings are."""
    try:
        return json.dumps([*map(_plain, value)] if isinstance(value, list | tuple) else _plain(value), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{name} = {value!r}: a text, a number, true or false, or a list of texts is needed"
        ) from error


def _plain(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value
