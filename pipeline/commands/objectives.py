"""``mofore objectives``: what a fit can learn, read from the objectives themselves."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import fields

from ...data.section import default_of
from ...stages.objectives.catalog import objective_class, objective_names

WIDTH = 80
FAMILIES = ("forecast", "control", "contrast", "set", "tempo", "order", "cycle", "sequence")


def listed() -> str:
    """One line for each, by family."""
    kinds = {name: objective_class(name) for name in objective_names()}
    column = max(map(len, kinds)) + 2
    lines = []
    for family in FAMILIES:
        for name, kind in kinds.items():
            if kind.family == family:
                what = textwrap.shorten(_what(kind), WIDTH - column - 10, placeholder=" ...")
                lines.append(f"{name:<{column}}{family:<10}{what}")
    return "\n".join([*lines, "", "mofore objectives NAME says more; mofore fit --set fit.objective=NAME learns it"])


def described(name: str) -> str:
    """All about one.

    Raises:
        ConfigError: if there is none of that name.
    """
    kind = objective_class(name)
    parts = [f"{name}: {_what(kind)}", f"source: {kind.source}"]
    if kind.differences:
        parts.append(f"differs: {kind.differences}")
    if kind.defaults:
        parts.append("sets: " + ", ".join(f"fit.{key}={value}" for key, value in kind.defaults.items()))
    parts += [f"fit.options.{f.name} = {default_of(f)}: {f.metadata['doc']}" for f in fields(kind.options)]
    if not fields(kind.options):
        parts.append("no options of its own")
    return "\n".join(textwrap.fill(part, WIDTH, subsequent_indent="  ") for part in parts)


def _what(kind: type) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0]
