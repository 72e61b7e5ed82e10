"""``mofore.toml``: one section per stage, read, checked, overridden and written with its documentation."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..data.earlier_settings import MEANT, REMOVED, RENAMED, present_name
from ..data.errors import ConfigError
from ..data.fit_settings import FitSettings
from ..data.index_settings import IndexSettings
from ..data.presets import PRESETS
from ..data.section import Settings, default_of
from ..data.settings import DataSettings, EvaluateSettings, ExtractSettings, FinetuneSettings, ReportSettings

SECTIONS: dict[str, type[Settings]] = {
    "data": DataSettings,
    "extract": ExtractSettings,
    "fit": FitSettings,
    "finetune": FinetuneSettings,
    "evaluate": EvaluateSettings,
    "index": IndexSettings,
    "report": ReportSettings,
}
SEED = "seed"
SEEDS = {
    "data": "split_seed",
    "extract": "seed",
    "fit": "seed",
    "finetune": "seed",
    "evaluate": "seed",
    "index": "seed",
}
WIDTH = 100  # of the comments in mofore.toml
HEADER = """\
# The settings of this work folder. A line that begins with "# key =" shows a default; remove the "#" to
# change it, or give --set section.key=value to a command to change it once.
"""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a work folder.

    Attributes:
        notes: a line for each setting of an earlier version that was given.
    """

    data: DataSettings
    extract: ExtractSettings
    fit: FitSettings
    finetune: FinetuneSettings
    evaluate: EvaluateSettings
    index: IndexSettings
    report: ReportSettings
    notes: tuple[str, ...] = field(default=(), compare=False)


def load_config(path: Path, overrides: Iterable[str] = ()) -> Config:
    """Read ``path`` and apply ``section.key=value`` overrides.

    Raises:
        ConfigError: if the file is no TOML, or a key or value is not allowed.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{path}' is not valid TOML: {error}") from error
    for section, keys in values.items():
        if not isinstance(keys, dict) and section != SEED:
            raise ConfigError(f"'{path}': {section!r} stands outside a section; sections are {_names(SECTIONS)}")
    overrides = tuple(overrides)
    for text in overrides:
        override(values, text)
    try:
        return make_config(values)
    except ConfigError as error:
        raise ConfigError(f"{_whence(path, str(error), overrides)}{error}") from error


def _whence(path: Path, complaint: str, overrides: Sequence[str]) -> str:
    """File and line of the setting that a complaint names; empty if it was given with the command, or is not there."""
    named = re.search(r"\b(\w+)\.(\w+)", complaint)
    if named is None or any(text.partition("=")[0].strip().startswith(named[0]) for text in overrides):
        return ""
    section = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if head := re.match(r"\s*\[([\w.]+)\]", line):
            section = head[1]
        elif re.match(rf"\s*{named[2]}\s*=", line) and section == named[1]:
            return f"'{path}', line {number}: "
    return ""


def override(values: dict[str, Any], text: str) -> None:
    """Put ``section.key=value`` into values; a key within a table (``fit.options.weight``) leaves its other keys alone.

    Raises:
        ConfigError: if it has another form.
    """
    section, key, value = parse_override(text)
    if not section:
        values.pop(SEED, None)
    table = values.setdefault(section, {})
    *outer, last = key.split(".")
    for name in outer:
        inner = table.get(name)
        table[name] = table = dict(inner) if isinstance(inner, dict) else {}
    table[last] = value


def make_config(values: Mapping[str, Mapping[str, Any]]) -> Config:
    """Check sections and keys and make the settings; ``fit.preset`` fills what ``fit`` leaves out.

    Settings of earlier versions are read by their present names, or passed over, with a note (:func:`present_names`).

    Raises:
        ConfigError: for an unknown section or key (with the nearest name), or a value out of range.
    """
    values, notes = present_names(values)
    for section in values:
        if section:
            _check_name(section, SECTIONS, "section")
    seed = _common_seed(values.get("", {}))
    made = {}
    for section, kind in SECTIONS.items():
        given = {**seed.get(section, {}), **values.get(section, {})}
        known = {f.name for f in fields(kind)}
        for key in given:
            _check_name(f"{section}.{key}", {f"{section}.{name}" for name in known}, "setting")
        made[section] = _fit(given) if section == "fit" else kind(**given)
    return Config(**made, notes=notes)  # type: ignore[arg-type]


def _fit(given: Mapping[str, Any]) -> FitSettings:
    """The settings of a fit, with every option of its objective.

    Raises:
        ConfigError: if there is no such objective, or it does not have an option.
    """
    values = {**preset_values(given), **given}
    if "steps" in given and "passes" not in given:
        values["passes"] = 0  # who asks for steps gets them, whatever the preset says
    settings = FitSettings(**values)
    if settings.objective == FitSettings.objective and not settings.options:
        return settings
    from ..stages.objectives.catalog import all_options  # its modules need torch

    return replace(settings, options=all_options(settings.objective, settings.options))


def _common_seed(given: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """What the one seed of a run stands for in every section; what these set themselves counts more.

    Raises:
        ConfigError: if it is no whole number, or something else stands outside the sections.
    """
    for key in given:
        _check_name(key, [SEED], "setting outside the sections")
    value = given.get(SEED)
    if value is None:
        return {}
    if type(value) is not int or value < 0:
        raise ConfigError(f"seed = {value!r}: a whole number of at least 0 is needed")
    return {section: {key: value} for section, key in SEEDS.items()}


def present_names(values: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """What is given, without settings that are no more, and others by their present names; and a note of each."""
    found: dict[str, dict[str, Any]] = {}
    notes = []
    for section, keys in values.items():
        if section == SEED:  # outside the sections, as the file has it
            found.setdefault("", {}).setdefault(SEED, keys)
            continue
        found.setdefault(section, {})
        for key, value in keys.items():
            name = f"{section}.{key}"
            if name in REMOVED:
                notes.append(f"{name} is no more: {REMOVED[name]}; ignored")
                continue
            if name in RENAMED:
                notes.append(f"{name} is now {RENAMED[name]}; it is read as that")
            new_section, _, new_key = present_name(section, key).partition(".")
            found.setdefault(new_section, {}).setdefault(new_key, value)
    return found, tuple(notes)


def given_settings(values: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(section, key) of all that is set, by present names; the one seed is every section's."""
    present, _ = present_names(values)
    seeds = [*SEEDS.items()] if present.pop("", {}) else []
    return [*seeds, *((section, key) for section, keys in present.items() for key in keys)]


def preset_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """What ``fit.preset`` and ``fit.objective`` of a section set; nothing for unknown ones, which are refused later."""
    objective, preset = str(given.get("objective", FitSettings.objective)), str(given.get("preset", FitSettings.preset))
    if objective == FitSettings.objective:
        return PRESETS.get(preset, {})
    from ..stages.objectives.catalog import objective_class

    kind = objective_class(objective)
    if not kind.written_out and "preset" not in given:
        preset = "plain"
    return {"preset": preset, **PRESETS.get(preset, {}), **kind.defaults}


def parse_override(text: str) -> tuple[str, str, Any]:
    """``section.key=value``, the value as in TOML, or as plain text where that is no TOML.

    Raises:
        ConfigError: if it has another form.
    """
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if equals and name.strip() == SEED:
        section, dot, key = "", ".", SEED
    elif not (equals and dot and section and key):
        found = [f"{name}.{section}" for name, kind in SECTIONS.items() if section in {f.name for f in fields(kind)}]
        hint = f"did you mean {' or '.join(found)}?" if found and not dot else "for example --set fit.lr=0.001"
        raise ConfigError(f"--set {text}: section.key=value is needed, {hint}")
    try:
        return section, key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError as error:
        if value.strip().startswith("["):
            texts = ", ".join(json.dumps(each.strip(" \"'")) for each in value.strip(" []").split(",") if each.strip())
            raise ConfigError(
                f"--set {text}: no list of TOML, in which texts stand in quotes: --set '{name.strip()}=[{texts}]'"
            ) from error
        return section, key, value.strip()


def render(values: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of a ``mofore.toml`` with every setting documented; what ``values`` holds is set."""
    present, _ = present_names(values)
    seed = present.get("", {}).get(SEED)
    parts = [HEADER.rstrip(), "", "# one seed for all sections; what a section sets itself counts more"]
    parts.append("# seed = 0" if seed is None else f"seed = {seed}")
    for section, kind in SECTIONS.items():
        parts += ["", "", f"# {(kind.__doc__ or '').splitlines()[0]}", f"[{section}]"]
        given = present.get(section, {})
        preset = preset_values(given) if section == "fit" else {}
        for f in fields(kind):
            value = given.get(f.name, preset.get(f.name, default_of(f)))
            shown = f"{f.name} = {as_toml(value)}"
            doc = f"{f.metadata['doc']}{_allowed(f.metadata)}"
            parts.append("")
            parts += textwrap.wrap(doc, WIDTH, initial_indent="# ", subsequent_indent="#   ")
            parts.append(shown if f.name in given else f"# {shown}")
    return "\n".join(parts) + "\n"


def as_toml(value: Any) -> str:
    """A value as TOML, tables in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {as_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _allowed(metadata: Mapping[str, Any]) -> str:
    return f" [{' | '.join(metadata['choices'])}]" if metadata["choices"] else ""


def _check_name(name: str, known: Iterable[str], what: str) -> None:
    known = list(known)
    if name in known:
        return
    section, _, key = name.rpartition(".")
    meant = f"{section}.{MEANT.get(key, '')}"
    near = [meant] if meant in known else get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {_names(known)}"
    raise ConfigError(f"unknown {what} {name!r}: {hint}")


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
