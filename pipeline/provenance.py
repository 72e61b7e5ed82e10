"""What a run was made from and with, and the commands that make it again."""

from __future__ import annotations

import json
import platform
import shlex
from dataclasses import fields
from typing import Any

from .._version import __version__
from ..data.metrics import Metrics
from ..data.section import Settings, default_of
from .catalogs import imported
from .config import SECTIONS, Config, make_config
from .snapshot import Snapshot

OF_INIT = ("data.root", "data.lists", "data.table", "extract.backbone", "extract.weights")  # that options set


def facts(snapshot: Snapshot, metrics: Metrics) -> tuple[tuple[str, str], ...]:
    """By name: versions, encoder, keys, split and seeds."""
    import torch

    encoder = metrics.provenance.get("encoder", {})
    source = encoder.get("source") or {}
    protocol = metrics.protocol
    known = {
        "mofore": __version__,
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "backbone": snapshot.config.extract.backbone,
        "weights": encoder.get("weights"),
        "precision": encoder.get("precision"),
        "imported from": source.get("name"),
        "sha256 of what was imported": source.get("sha256"),
        "store": snapshot.store_key,
        "fit": metrics.provenance.get("fit"),
        "objective": snapshot.config.fit.objective,
        "preset": snapshot.config.fit.preset,
        "steps": metrics.provenance.get("fit_settings", {}).get("steps"),
        "seed of the fit": protocol.fit_seed,
        "split": f"{protocol.split}: {protocol.queries:,} queries, {protocol.gallery:,} in the gallery",
        "intervals": protocol.intervals,
        "seed of the evaluation": protocol.seed,
    }
    return tuple((name, _text(value)) for name, value in known.items() if value not in (None, ""))


def commands(snapshot: Snapshot) -> tuple[str, ...]:
    """From nothing to this run; each can be pasted into a shell."""
    root, config = snapshot.workspace.root, snapshot.config
    given = _differing(config)
    if snapshot.catalog.imported:
        sets = [part for name, value in given.items() if name not in OF_INIT for part in ("--set", f"{name}={value}")]
        again = imported(snapshot.workspace, config).command(root)
        return (again if not sets else f"{again} {shlex.join(sets)}", shlex.join(["mofore", "run", "-w", str(root)]))
    data = config.data
    parts = ["mofore", "init", *(str(snapshot.workspace.resolve(each)) for each in data.root)]
    if data.lists:
        parts += ["--splits", str(snapshot.workspace.resolve(data.lists))]
    parts += [part for each in data.table for part in ("--table", str(snapshot.workspace.resolve(each)))]
    parts += ["--backbone", config.extract.backbone]
    if config.extract.weights:
        parts += ["--weights", str(snapshot.workspace.resolve(config.extract.weights))]
    parts += [part for name, value in given.items() if name not in OF_INIT for part in ("--set", f"{name}={value}")]
    return (shlex.join([*parts, "-w", str(root)]), shlex.join(["mofore", "run", "-w", str(root)]))


def settings_text(config: Config) -> str:
    """The settings that are not at their defaults, a line each."""
    return "\n".join(f"{name} = {value}" for name, value in _differing(config).items())


def _differing(config: Config) -> dict[str, str]:
    """Settings by their whole names, in TOML; those that a preset sets are the preset's."""
    plain = make_config({"fit": {"preset": config.fit.preset}})
    found = {}
    for section in SECTIONS:
        mine: Settings = getattr(config, section)
        for each in fields(mine):
            value = getattr(mine, each.name)
            if value != getattr(getattr(plain, section), each.name) or (
                each.name == "preset" and value != default_of(each)
            ):
                found[f"{section}.{each.name}"] = _toml(value)
    return found


def _toml(value: Any) -> str:
    """A value as it stands in mofore.toml."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(inner)}" for name, inner in value.items()) + "}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _text(value: Any) -> str:
    if isinstance(value, dict | list | tuple):
        return json.dumps(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
