"""README, docs and the notebook: links that lead somewhere, commands and settings that exist, code that runs."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

import mofore as package
from mofore.pipeline.cli import cli
from mofore.pipeline.command_group import EXAMPLES
from mofore.pipeline.config import SECTIONS

from .test_python_api import SMALL

Command = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
SETTINGS = {f"{section}.{field.name}" for section, kind in SECTIONS.items() for field in fields(kind)}


def names(page: Path) -> str:
    return page.name


def blocks(page: Path) -> Iterator[str]:
    """Blocks of code without a language: what is typed, and what comes out."""
    yield from re.findall(r"^```\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def typed(page: Path) -> Iterator[list[str]]:
    """Calls of mofore in the page's blocks, as words."""
    for block in blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            for call in line.split("#")[0].split("&&"):
                if re.match(r"\s*mofore -?[a-z]", call) and not re.search(r" {3,}\d", call):
                    yield shlex.split(call)[1:]


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        assert not heading or heading in anchors(file), target


def parse(words: list[str]) -> None:
    """As the command line would, but that files need not exist."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        name, *words = words
        assert name in command.commands, f"mofore {name}"
        command = command.commands[name]
    try:
        command.make_context(command.name, words)
    except click.MissingParameter:
        raise
    except (click.exceptions.Exit, click.BadParameter):
        pass  # --help; a file that is not there


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_commands_that_are_shown_could_be_typed(page: Path) -> None:
    for words in typed(page):
        if not words[0].startswith("-"):
            parse(words)


def test_examples_of_the_help_could_be_typed() -> None:
    examples = [example for part in EXAMPLES.values() for example in part.values()]
    assert len(examples) > 15
    for example in examples:
        parse(shlex.split(example)[1:])


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_settings_that_are_shown_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    sections = "|".join(SECTIONS)
    told = re.findall(rf"(?:--set '?|`)((?:{sections})\.\w+)(?: ?=|`)", text)
    assert not {name for name in told if name not in SETTINGS and not name.endswith((".json", ".html"))}


def test_every_command_is_explained(mofore: Command) -> None:
    shown = {name for page in PAGES for name, *_ in typed(page)} | {
        name for page in PAGES for name in re.findall(r"`mofore ([\w-]+)", page.read_text(encoding="utf-8"))
    }
    visible = {name for name, command in cli.commands.items() if not command.hidden}
    assert visible <= shown, visible - shown
    assert all(mofore(name, "--help").exit_code == 0 for name in visible)


def test_the_notebook_runs(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert videos == tmp_path / "videos"
    monkeypatch.chdir(tmp_path)
    stand_ins = {
        "timm:mobilenetv3_small_100": "random:test_efficientnet",
        '{"extract.fps": 5, "fit.clip_length": 4, "fit.gap_max": 8}': repr(SMALL),
        "progress=True": "progress=False",
    }
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    for shown, stand_in in stand_ins.items():
        assert shown in text, shown
        text = text.replace(shown, stand_in)
    space: dict[str, Any] = {}
    exec(compile(text, NOTEBOOK.name, "exec"), space)
    assert space["outcome"].ran == ["extract", "fit", "evaluate", "index", "report"]
    assert package.open("runs/first", set=SMALL).status().up_to_date
    again: dict[str, Any] = {}
    exec(compile(text, NOTEBOOK.name, "exec"), again)
    assert again["outcome"].ran == [], "it goes on where it was"
