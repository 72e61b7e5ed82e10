"""The settings that a run was made with, as its metrics tell them, and how they differ from a preset or among runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ..data.fit_settings import FitSettings
from ..data.presets import PRESETS
from .config import SECTIONS

Values = dict[str, Any]  # by section.key, under present names

SHOWN = ("extract", "fit", "evaluate", "index", "data")  # sections, in the order in which they are told
NOT_SET = "-"  # what is shown of a setting that a run did not record


def settings_of(provenance: Mapping[str, Any], split: str) -> Values:
    """All settings that ``metrics.json`` tells of its run.

    Args:
        provenance: of the metrics.
        split: that they were taken on.
    """
    encoder = provenance.get("encoder", {})
    found = _of_section("extract", {"backbone": encoder.get("backbone"), **encoder.get("settings", {})})
    if encoder.get("weights"):
        found["extract.weights"] = encoder["weights"]
    found |= fit_settings(provenance.get("fit_settings", {}))
    found |= _of_section("evaluate", provenance.get("evaluate_settings", {}))
    return {**found, **provenance.get("embedding_settings", {}), "data.split": split}


def fit_settings(recorded: Mapping[str, Any]) -> Values:
    """The settings of a fit as a ledger or a model records them, by their present names."""
    return _of_section("fit", {key: value for key, value in recorded.items() if "." not in key})


def _of_section(section: str, recorded: Mapping[str, Any]) -> Values:
    """Keys as they decide what is made, by present names."""
    kind = SECTIONS[section]
    present = {recorded_as: name for name, recorded_as in kind.known_as.items()}
    return {f"{section}.{present.get(key, key)}": value for key, value in recorded.items()}


def differing(settings: Mapping[str, Any]) -> tuple[str, Values]:
    """The preset that a run is nearest to, and the settings that are another's than that preset and the defaults say.

    The backbone is left out, which is told beside it, and the split, which `auto` chose.
    """
    fit = {key: value for key, value in settings.items() if key.startswith("fit.")}
    presets = {name: _unlike(fit, _preset(name)) for name in PRESETS}
    nearest = min(presets, key=lambda name: len(presets[name]))
    told = {key for key in settings if not key.startswith("fit.")} - {"extract.backbone", "extract.weights"}
    others = _unlike({key: settings[key] for key in settings if key in told}, _defaults())
    return (nearest if fit else ""), {**presets[nearest], **others}


def unlike(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The settings that are not the same in all of these runs, each with its value in every one of them."""
    names = dict.fromkeys(name for run in runs for name in run)
    values = {name: [run.get(name, _default(name)) for run in runs] for name in names}
    return {name: each for name, each in values.items() if any(value != each[0] for value in each)}


def text(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value)) or "none"
    return NOT_SET if value is None else str(value) or "none"


def brief(settings: Mapping[str, Any]) -> str:
    """Settings in one line: ``fit.lr=0.001 fit.seed=1``."""
    return " ".join(f"{name}={text(value)}" for name, value in settings.items())


def _unlike(settings: Values, usual: Values) -> Values:
    return {key: value for key, value in settings.items() if key in usual and value != usual[key]}


@cache
def _preset(name: str) -> Values:
    return _of_section("fit", _every(FitSettings(**{"preset": name, **PRESETS[name]})))


@cache
def _defaults() -> Values:
    sections = [_of_section(name, _every(kind())) for name, kind in SECTIONS.items() if name not in ("fit", "data")]
    return {key: value for section in sections for key, value in section.items()}


def _default(name: str) -> Any:
    """Of a setting that a run did not record, since it was at its default or did not exist yet."""
    return _defaults().get(name, _preset("paper").get(name))


def _every(settings: Any) -> Values:
    """The values of a section as JSON has them."""
    values = {name: getattr(settings, name) for name in settings.__dataclass_fields__ if name != "preset"}
    known_as = settings.known_as
    return {known_as.get(n, n): list(v) if isinstance(v, tuple) else v for n, v in values.items()}
