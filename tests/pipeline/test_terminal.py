"""The terminal as a user has it: colours, pipes that break, how much is said, completion, exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import Result

from mofore.cache.lock import exclusive
from mofore.data.types import Failure, FileState
from mofore.pipeline import console
from mofore.pipeline.cli import cli
from mofore.pipeline.command_group import BROKEN_PIPE, EXAMPLES, EXIT_CODES
from mofore.pipeline.workspace import Workspace

Command = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]
MOFORE = [sys.executable, "-m", "mofore"]


def said_to_a_terminal(*args: str | Path, **environment: str) -> str:
    """What a command writes to a stderr that is a terminal."""
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    subprocess.run(
        [*MOFORE, *map(str, args)], stderr=theirs, stdout=subprocess.DEVNULL, env=kept | environment, check=False
    )
    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    return said


def test_errors_are_red_unless_colours_are_not_wanted(tmp_path: Path) -> None:
    assert "\x1b[31m" in said_to_a_terminal("status", "-w", tmp_path, TERM="xterm")
    assert "\x1b" not in said_to_a_terminal("status", "-w", tmp_path, TERM="xterm", NO_COLOR="1")
    assert "\x1b" not in said_to_a_terminal("status", "-w", tmp_path, TERM="dumb")


@pytest.mark.parametrize("command", [("show",), ("show", "--json"), ("search", "v_Orbit_g01_c01", "--json"), ("list",)])
def test_a_reader_that_has_seen_enough_ends_it_silently(work: Path, command: tuple[str, ...]) -> None:
    where = (work,) if command == ("list",) else ("-w", work)
    reading = subprocess.Popen(
        [*MOFORE, *map(str, (*command, *where))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert reading.stdout is not None
    assert reading.stderr is not None
    reading.stdout.close()
    with reading.stderr:
        said = reading.stderr.read()
    assert reading.wait() == BROKEN_PIPE
    assert said == b""


def test_a_table_that_nobody_reads_any_more_ends_it_as_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with monkeypatch.context() as patched, suppress(BrokenPipeError), os.fdopen(writer, "w") as nobody:
        patched.setattr(sys, "stdout", nobody)
        with pytest.raises(BrokenPipeError):
            console.show_tables([("", ["embedding", "R@1"], [["mofore", "12.5"]])])


def test_quiet_says_errors_alone_and_verbose_all(mofore: Command, work: Path) -> None:
    quiet = mofore("evaluate", "--force", "-q", "-w", work)
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    wrong = mofore("fit", "-q", "-w", work, "--set", "fit.lr=-1")
    assert wrong.stderr.startswith("error: fit.lr = -1")
    usual = mofore("evaluate", "--force", "-w", work)
    assert "Table 2" not in usual.stdout
    assert f"all tables: mofore show -w {work}" in usual.stderr
    verbose = mofore("evaluate", "--force", "-v", "-w", work)
    assert "Table 2" in verbose.stdout
    assert "Traceback" in mofore("fit", "-v", "-w", work, "--set", "fit.lr=-1").stderr


def completed(*words: str) -> list[str]:
    """What the shell would offer for the last word."""
    environment = {
        "_MOFORE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    script = "import sys; from mofore.pipeline.cli import main; sys.argv = ['mofore']; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_names_of_settings_runs_and_commands_are_completed(mofore: Command, work: Path) -> None:
    assert completed("mofore", "fit", "--set", "fit.gap_m") == ["fit.gap_min=", "fit.gap_max="]
    assert completed("mofore", "run", "--set", "fit.preset=p") == ["fit.preset=paper", "fit.preset=plain"]
    assert "show" in completed("mofore", "sho")
    assert mofore("run", "-w", work, "--name", "base").exit_code == 0
    assert "base" in completed("mofore", "show", "-w", str(work), "ba")


def test_help_lists_every_command_in_the_order_of_the_road_with_an_example(mofore: Command) -> None:
    told = mofore("--help").stdout
    rows = [line.split()[0] for line in told.splitlines() if line.startswith("  ") and line[2:3].isalpha()]
    order = [name for part in EXAMPLES.values() for name in part if name in cli.commands]
    assert [row for row in rows if row in cli.commands] == order
    assert set(order) == set(cli.commands), "every command has an example"
    joined = " ".join(told.split())
    assert all(f"$ {example}" in joined for part in EXAMPLES.values() for n, example in part.items() if n in order)


def test_exit_codes_are_documented(mofore: Command) -> None:
    document = (ROOT / "docs" / "terminal.md").read_text()
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning}" in document
        assert f"{code} {meaning}" in " ".join(mofore("--help").stdout.split())


def test_status_says_who_is_at_work(mofore: Command, work: Path) -> None:
    told = f"process {os.getpid()} on {socket.gethostname()}"
    with exclusive(work / ".mofore.lock"):
        assert mofore("status", "-w", work).stdout.splitlines()[0].startswith(f"at work just now: {told};")
        assert json.loads(mofore("status", "-w", work, "--json").stdout)["at_work"] == [told]
    assert "at work" not in mofore("status", "-w", work).stdout


def test_status_tells_of_a_report_that_was_made(mofore: Command, work: Path) -> None:
    stages = json.loads(mofore("status", "-w", work, "--json").stdout)["stages"]
    assert stages["report"]["action"] == "skip"
    assert json.loads(mofore("status", "-w", work, "--set", "report.thumbnails=false", "--json").stdout)["stages"][
        "report"
    ]["action"] in ("run", "partial")
    shutil.rmtree(work / "report")
    assert re.search(r"^report +run", mofore("status", "-w", work).stdout, re.MULTILINE)


def test_status_counts_the_steps_of_a_fit_before_anything_is_extracted(
    mofore: Command, work: Path, tmp_path: Path
) -> None:
    done = json.loads(mofore("status", "-w", work, "--set", "fit.lr=0.5", "--json").stdout)["stages"]["fit"]
    assert done["todo"] > 0
    config = (work / "mofore.toml").read_text()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mofore.toml").write_text(config.replace('root = "videos"', f'root = "{work / "videos"}"'))
    fresh = json.loads(mofore("status", "-w", tmp_path / "new", "--json").stdout)["stages"]["fit"]
    assert fresh["todo"] == done["todo"]


def test_videos_that_failed_alike_are_told_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    state = FileState(1, 1, "")
    failures = [Failure(f"{name}.avi", state, "truncated") for name in "abcd"] + [Failure("z.avi", state, "empty")]
    console.show_failures(failures, Workspace(tmp_path))
    assert capsys.readouterr().err.splitlines() == [
        "5 videos could not be read:",
        "  4 x truncated: 'a.avi', 'b.avi', 'c.avi', ...",
        "  z.avi: empty",
        f"all of them: mofore status -w {tmp_path}; to try them again: mofore extract --retry-failed -w {tmp_path}",
    ]
