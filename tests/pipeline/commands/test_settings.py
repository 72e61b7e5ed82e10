from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import click.testing
import pytest

from mofore.pipeline.commands.settings import BASIC, every_setting, listed, page
from mofore.pipeline.config import SECTIONS, load_config

Command = Callable[..., click.testing.Result]
PAGE = Path(__file__).resolve().parents[3] / "docs" / "settings.md"


def test_the_page_in_docs_is_what_the_command_prints(mofore: Command) -> None:
    printed = mofore("settings", "--markdown").stdout
    assert PAGE.read_text() == printed == page(), "make it anew: mofore settings --markdown > docs/settings.md"
    for section, kind in SECTIONS.items():
        assert all(f"| `{section}.{field.name}` |" in printed for field in fields(kind))


def test_a_default_that_is_shown_can_be_set_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "mofore.toml").write_text("")
    usual = load_config(tmp_path / "mofore.toml")
    shown = [f"{setting.name}={setting.default}" for setting in every_setting() if setting.name != "fit.steps"]
    assert load_config(tmp_path / "mofore.toml", shown) == usual


def test_without_words_the_basic_ones_with_words_those_that_say_them(mofore: Command) -> None:
    basic = mofore("settings").stdout
    assert [name for name in BASIC if f"{name} = " in basic] == list(BASIC)
    assert "fit.momentum =" not in basic
    found = mofore("settings", "gap", "largest").stdout
    assert "fit.gap_max = 16.0  [at least 0]" in found
    assert "fit.gap_min" not in found
    assert all(len(line) <= 80 for line in listed(["."]).splitlines())
    assert listed(["."]).count("\n    ") >= len(list(every_setting()))


def test_what_no_setting_says_is_refused_with_a_way_out(mofore: Command) -> None:
    refused = mofore("settings", "zebra")
    assert refused.exit_code == 2
    assert "no setting says 'zebra'; 'mofore settings' shows the basic ones" in refused.stderr


@pytest.mark.parametrize("name", BASIC)
def test_the_basic_ones_exist(name: str) -> None:
    assert name in {setting.name for setting in every_setting()}
