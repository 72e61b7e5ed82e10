"""Processes that are forked from a server, and end with whoever asked for them."""

import os
import subprocess
import sys
import time
from multiprocessing import get_all_start_methods
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from mofore.data.cores import usable_cores
from mofore.stages.machine.processes import end_with_starter, stay_on

HERE = "mofore.tests.stages.machine.test_processes"
STARTER = f"""
import sys, time
from mofore.stages.machine.processes import begin_server, forking_context
from {HERE} import tell_and_wait
if __name__ == "__main__":
    begin_server(["colorsys", "{HERE}"])
    context = forking_context()
    ours, theirs = context.Pipe()
    context.Process(target=tell_and_wait, args=(theirs,)).start()
    print(*ours.recv(), flush=True)
    time.sleep(60)
"""
PATIENCE_S = 20.0

needs_a_server = pytest.mark.skipif("forkserver" not in get_all_start_methods(), reason="this system forks from none")


def tell_and_wait(link: Connection) -> None:
    """Say who this is, and whether a library was there at the start."""
    end_with_starter()
    link.send((os.getpid(), "colorsys" in sys.modules))
    time.sleep(60)


@needs_a_server
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a process that is gone is looked for in /proc")
def test_a_forked_process_has_the_libraries_of_the_server_and_ends_with_who_asked_for_it(tmp_path: Path) -> None:
    script = tmp_path / "starter.py"
    script.write_text(STARTER)
    starter = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid, loaded = starter.stdout.readline().split()
    assert loaded == "True"
    assert _is_alive(int(pid))
    starter.kill()
    starter.communicate()
    end = time.monotonic() + PATIENCE_S
    while _is_alive(int(pid)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_process_stays_on_the_cores_it_is_given() -> None:
    before = usable_cores()
    try:
        stay_on(before[-1:])
        assert usable_cores() == before[-1:]
    finally:
        stay_on(before)


@needs_a_server
def test_ctrl_c_while_the_libraries_of_the_workers_are_loaded_is_the_parents() -> None:
    # A terminal sends it to every process of the command; what loads libraries would say a page about it.
    program = (
        "import os, signal, time\n"
        "from mofore.stages.machine.processes import begin_server\n"
        "begin_server()\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "os.killpg(0, signal.SIGINT)\n"
        "time.sleep(0.5)\n"
        "from multiprocessing import forkserver\n"
        "server = forkserver._forkserver._forkserver_pid\n"
        "assert os.waitpid(server, os.WNOHANG) == (0, 0), 'it goes on'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
