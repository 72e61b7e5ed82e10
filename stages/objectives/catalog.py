"""The objectives that there are: every module of this package that holds one."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from ...data.errors import ConfigError
from ...data.fit_settings import FitSettings
from .contract import Objective, make_options

SHARED = {
    "catalog",
    "contract",
    "draw",
    "losses",
    "projection",
    "queue",
    "sampler",
    "step",
}  # modules that are no objective


def objective_names() -> list[str]:
    """Names for ``fit.objective``, in alphabetical order."""
    return sorted({module.name for module in iter_modules(_package().__path__)} - SHARED)


def objective_class(name: str) -> type[Objective]:
    """The objective of that name.

    Raises:
        ConfigError: if there is none.
    """
    known = objective_names()
    if name not in known:
        near = get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"fit.objective = {name!r}: there is no such objective; {hint}")
    module = import_module(f".{name}", _package().__name__)
    own = (
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Objective) and kind.__module__ == module.__name__ and not inspect.isabstract(kind)
    )
    return next(own)


def make_objective(settings: FitSettings) -> Objective:
    """The objective that ``fit.objective`` names, with its options."""
    return objective_class(settings.objective)(settings)


def all_options(name: str, given: Any) -> dict[str, Any]:
    """Every option of an objective: what is given, and the defaults of the others."""
    return asdict(make_options(objective_class(name), given))


def _package() -> ModuleType:
    return import_module(__name__.rpartition(".")[0])
