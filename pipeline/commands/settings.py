"""``mofore settings``: every setting with its documentation, read from the settings themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any

from ...data.errors import ConfigError
from ...data.fit_settings import FitSettings
from ...data.presets import PRESETS
from ...data.section import default_of
from ..config import SECTIONS, as_toml

WIDTH = 80
BASIC = (  # what most people set, in the order of the road
    "data.root",
    "data.table",
    "data.split",
    "extract.backbone",
    "extract.fps",
    "fit.preset",
    "fit.objective",
    "fit.clip_length",
    "fit.gap_max",
    "fit.seed",
    "index.kind",
    "index.spaces",
)

INTRODUCTION = """\
# Settings

Made by `mofore settings --markdown`. A run's settings are in its `mofore.toml`, where every one stands with its
documentation; `--set NAME=VALUE` changes one for one command; `mofore settings WORD` finds them in the terminal.
A misspelt name is met with the nearest one, a wrong value with what is allowed. `seed = 0`, outside the sections,
is the seed of every section that has none of its own. Only what a change concerns is made again
([stages.md](stages.md)). Defaults of `fit` are those of its preset `default`."""


@dataclass(frozen=True, slots=True)
class Documented:
    """One setting as people read it.

    Attributes:
        name: ``section.key``.
        default: as ``mofore.toml`` writes it.
        allowed: values that it may have, as text; empty where its documentation says it.
        doc: what it is.
    """

    name: str
    default: str
    allowed: str
    doc: str

    @classmethod
    def of(cls, section: str, field: Field[Any]) -> Documented:
        """The setting of a field; of a fit, as the default preset has it."""
        about = field.metadata
        of_fit = preset_settings(FitSettings.preset) if section == FitSettings.section else {}
        text = as_toml(of_fit.get(field.name, default_of(field)))
        ends = (("at least", about["low"]), ("at most", about["high"]))
        limits = [f"{word} {end:g}" for word, end in ends if end is not None]
        allowed = " | ".join(about["choices"]) or ", ".join(limits)
        doc = " ".join(about["doc"].split())
        return cls(f"{section}.{field.name}", text, allowed, doc)


def every_setting() -> Iterator[Documented]:
    """All settings, in the order of ``mofore.toml``."""
    for section, kind in SECTIONS.items():
        for field in fields(kind):
            yield Documented.of(section, field)


def listed(words: Sequence[str] = ()) -> str:
    """Settings in whose name or documentation every word is, with their defaults; the basic ones without words.

    Every name has a point, so that "." finds them all.

    Raises:
        ConfigError: if there is none.
    """
    known = {setting.name: setting for setting in every_setting()}
    if not words:
        found = [known[name] for name in BASIC]
        ending = f"mofore settings WORD finds others, mofore settings . all {len(known)}"
    else:
        asked = [word.lower() for word in words]
        found = [s for s in known.values() if all(word in f"{s.name} {s.doc}".lower() for word in asked)]
        ending = "to change one: --set NAME=VALUE, or its line in mofore.toml"
    if not found:
        raise ConfigError(
            f"no setting says {' '.join(words)!r}; 'mofore settings' shows the basic ones, 'mofore settings .' all"
        )
    return "\n".join([*(_entry(setting) for setting in found), "", ending])


def _entry(setting: Documented) -> str:
    allowed = f"  [{setting.allowed}]" if setting.allowed else ""
    first = textwrap.fill(f"{setting.name} = {setting.default}{allowed}", WIDTH, subsequent_indent="    ")
    return f"{first}\n{textwrap.fill(setting.doc, WIDTH, initial_indent='    ', subsequent_indent='    ')}"


def page() -> str:
    """``docs/settings.md``."""
    known = {setting.name: setting for setting in every_setting()}
    lines = [INTRODUCTION, "", "## The basic ones", "", *_table([known[name] for name in BASIC])]
    for section, kind in SECTIONS.items():
        of_section = [setting for setting in known.values() if setting.name.startswith(f"{section}.")]
        lines += ["", f"## {section}", "", (kind.__doc__ or "").splitlines()[0], "", *_table(of_section)]
    lines += ["", "## What other presets set", "", "| preset | settings that differ from `default` |", "|---|---|"]
    usual = preset_settings(FitSettings.preset)
    for name in PRESETS:
        differing = (
            f"`{key} = {as_toml(value)}`" for key, value in preset_settings(name).items() if value != usual[key]
        )
        if name != FitSettings.preset:
            lines.append(f"| `{name}` | {_cell(', '.join(differing))} |")
    lines += ["", "What an objective sets: `mofore objectives NAME`, and [objectives.md](objectives.md)."]
    return "\n".join(lines) + "\n"


def preset_settings(name: str) -> dict[str, Any]:
    """All settings of a fit but ``preset``, as that preset has them."""
    return {f.name: PRESETS[name].get(f.name, default_of(f)) for f in fields(FitSettings) if f.name != "preset"}


def _table(settings: Sequence[Documented]) -> list[str]:
    lines = ["| setting | default | what it is |", "|---|---|---|"]
    for setting in settings:
        allowed = f" ({setting.allowed})" if setting.allowed else ""
        lines.append(f"| `{setting.name}` | `{_cell(setting.default)}` | {_cell(setting.doc + allowed)} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
