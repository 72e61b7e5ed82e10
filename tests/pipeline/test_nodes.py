"""A fit, and an index, on two nodes by torchrun: two agents on this machine, which share no memory as they see it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="agents are ended as groups of processes")
FIT = [
    f"--set=fit.{each}" for each in ("clip_length=4", "gap_max=4", "steps=600", "validations=0", "checkpoint_seconds=0")
]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of 20 videos."""
    root, generator = tmp_path_factory.mktemp("nodes"), np.random.default_rng(0)
    for number in range(20):
        (root / "features").mkdir(exist_ok=True)
        frames_TD = generator.standard_normal((24, 8), np.float32).cumsum(axis=0)
        np.save(root / "features" / f"v_Walk{number % 2}_g{number // 2:02d}_c01.npy", frames_TD)
    run("import", root / "features", "-w", root / "work")
    return root / "work"


def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "mofore", *map(str, args)]
    return subprocess.run(line, capture_output=True, text=True, check=True, env=environment())


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def agents(work: Path, *args: str, port: int, command: str = "fit") -> list[subprocess.Popen[str]]:
    """torchrun's on two nodes, each a group of processes of its own."""
    started = []
    for node in range(2):
        own = work.parent / f"{work.name}.node{node}"
        own.mkdir(exist_ok=True)
        where = ["--nnodes", "2", "--node-rank", str(node), "--master-addr", "127.0.0.1", "--master-port", str(port)]
        line = [sys.executable, "-m", "torch.distributed.run", *where, "-m", "mofore", command, "-w", str(work), *args]
        started.append(
            subprocess.Popen(
                line,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(TMPDIR=str(own)),
                start_new_session=True,
            )
        )
    return started


def free_port() -> int:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return int(server.getsockname()[1])
    except OSError as error:
        pytest.skip(f"torchrun's agents could not meet here: {error}")


def model(work: Path) -> bytes:
    (path,) = work.glob("fit/*/model.safetensors")
    return path.read_bytes()


def copied(imported: Path, folder: Path) -> Path:
    subprocess.run(["cp", "-r", str(imported), str(folder)], check=True)
    return folder


def test_two_nodes_of_which_one_is_killed_go_on_to_the_bytes_of_two_processes(imported: Path, tmp_path: Path) -> None:
    nodes, one = copied(imported, tmp_path / "nodes"), copied(imported, tmp_path / "one")
    first, other = agents(nodes, *FIT, port=free_port())
    end = time.monotonic() + 120
    while not list(nodes.glob("fit/*/resume*")) and time.monotonic() < end and first.poll() is None:
        time.sleep(0.01)
    os.killpg(other.pid, signal.SIGKILL)
    _, told = first.communicate(timeout=60)
    other.communicate()
    assert first.returncode == 1
    assert "shared by 2 processes on 2 nodes" in told
    assert "error: process 2 of the 2 that share the job, on the node" in told
    assert "has ended: run again to go on from what was kept" in told
    assert not list(nodes.glob("fit/*/model.safetensors"))

    first, other = agents(nodes, *FIT, port=free_port())
    (_, told), (_, silent) = first.communicate(timeout=120), other.communicate(timeout=120)
    assert (first.returncode, other.returncode) == (0, 0), told + silent
    assert re.search("sending .* to 1 other node", told)
    assert "resuming at step" in told
    assert "fit   " not in silent, "the first one alone talks"
    run("fit", "-w", one, "--nproc", "2", *FIT)
    assert model(nodes) == model(one)


def test_two_nodes_make_the_index_of_one(imported: Path, tmp_path: Path) -> None:
    one, nodes = copied(imported, tmp_path / "one"), tmp_path / "nodes"
    index = [*FIT[:2], "--set=fit.steps=20", "--set=fit.validations=0", "--set=index.levels=video,clip"]
    index += ["--set=index.kind=IVF2,Flat", "--set=index.part_mb=1"]
    run("index", "-w", one, *index)
    copied(one, nodes)
    first, other = agents(nodes, "--force", *index, port=free_port(), command="index")
    (_, told), (_, silent) = first.communicate(timeout=120), other.communicate(timeout=120)
    assert (first.returncode, other.returncode) == (0, 0), told + silent
    assert "shared by 2 processes on 2 nodes" in told
    assert "index    done" in told
    assert "index   " not in silent, "the first one alone talks"
    made = {
        path.relative_to(one): path for path in one.glob("index/*/*/*") if path.suffix in (".safetensors", ".ivfdata")
    }
    assert len(made) == 12
    for name, path in made.items():
        assert (nodes / name).read_bytes() == path.read_bytes(), name
