"""What machines say of themselves, by which interface they meet, and how silence between them ends a run."""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch.distributed import HashStore

from mofore.data.errors import StageError
from mofore.stages.distributed import heartbeat
from mofore.stages.distributed import process_group as groups
from mofore.stages.distributed.heartbeat import Heartbeat
from mofore.stages.distributed.network import Lines, connections, end_when_silent, interface_of, loopback, own_address
from mofore.stages.distributed.nodes import Node, home, unused_gpus
from mofore.stages.distributed.order import LOST, OVER
from mofore.stages.distributed.parcel import received, send
from mofore.stages.distributed.process_group import ONE_MACHINE, ProcessGroup
from mofore.stages.distributed.seat import Seat
from mofore.stages.machine.shared_memory import shared
from mofore.tests.stages.memory import table

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
GIB = 1 << 30
FIRST = Node("one", "10.0.0.1", 0, 2, 2, 64 * GIB, {"mofore": "0.1.0", "torch": "2.13.0"})
OTHER = replace(FIRST, host="two", address="10.0.0.2", leader=2)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")


def test_a_seat_is_what_torchrun_says() -> None:
    assert Seat.here({}) == Seat.here({"WORLD_SIZE": "8", "RANK": "3"}) == Seat(), "others set these too"
    said = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    seat = Seat.here({**said, "GROUP_RANK": "1", "GROUP_WORLD_SIZE": "2"})
    assert seat == Seat(3, 4, 1, 2, 1, 2)
    assert seat.leader == 2
    assert not seat.leads


@pytest.mark.parametrize(
    ("node", "device", "message"),
    [
        (replace(OTHER, versions={"mofore": "0.1.0", "torch": "2.12.0"}), CPU, "node two has torch 2.12.0, and the fi"),
        (
            replace(OTHER, versions={"mofore": "0.1.0"}),
            CPU,
            "node two has torch not at all, and the first one, one, to",
        ),
        (replace(OTHER, gpus=0), CUDA, "node two has 0 CUDA devices for 2 processes, and the first one, one, computes"),
        (
            replace(OTHER, memory=GIB),
            CPU,
            r"node two has 1 GiB of memory, and the job takes 3: --set fit.memory_gb=0.25",
        ),
    ],
)
def test_a_node_that_cannot_share_the_job_is_named(node: Node, device: torch.device, message: str) -> None:
    with pytest.raises(StageError, match=message):
        node.refuse_unfit(FIRST, device, 3 * GIB)


def test_nodes_that_can_are_taken() -> None:
    OTHER.refuse_unfit(FIRST, CUDA, 3 * GIB)
    replace(OTHER, gpus=1).refuse_unfit(FIRST, CUDA, 0)  # a launcher that shows each process a GPU of its own
    replace(OTHER, gpus=0).refuse_unfit(FIRST, CPU, 0)
    assert "first node, one, has no CUDA device, so none is used, nor those of two" in unused_gpus(
        replace(FIRST, gpus=0), [OTHER], CPU
    )
    assert not unused_gpus(FIRST, [OTHER], CPU), "the user wanted the processor"
    assert [OTHER.has(rank) for rank in range(5)] == [False, False, True, True, False]


def test_a_node_is_told_through_the_store() -> None:
    store, seat = HashStore(), Seat(2, 4, 0, 2, 1, 2)
    Node.here(seat).say(store, seat)
    heard = Node.heard(store, 1)
    assert (heard.leader, heard.size, heard.host) == (2, 2, socket.gethostname())
    assert heard.versions["torch"] == torch.__version__
    heard.refuse_unfit(Node.here(Seat(0, 4, 0, 2, 0, 2)), CPU, 0)


@LINUX
def test_the_interface_is_the_one_towards_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_address("127.0.0.1") == "127.0.0.1"
    assert interface_of("127.0.0.1") == loopback() == "lo"
    assert interface_of(None) is None
    assert interface_of("203.0.113.1") is None, "no interface has it: gloo chooses"
    assert home(Seat(1, 2, 1, 2), None) == ONE_MACHINE
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert home(Seat(3, 4, 1, 2, 1, 2), None) == groups.Home(2, "lo")
    assert home(Seat(1, 4, 1, 2, 0, 2), None) == groups.Home(0, None)


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
        with one, other:
            yield one, other


@LINUX
def test_only_connections_of_the_block_are_cut() -> None:
    lines = Lines()
    with connected() as (old, far):
        with lines.noted():
            context = connected()
            new, _ = context.__enter__()
        lines.cut()
        new.settimeout(10)
        assert new.recv(1) == b"", "who waits is told"
        old.send(b"x")
        assert far.recv(1) == b"x"
        lines.forget()
        context.__exit__(None, None, None)


@LINUX
def test_connections_to_silent_machines_are_ended_by_the_system() -> None:
    with connected() as (one, _):
        end_when_silent()
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
        for handle in connections():
            handle.close()


def until(holds: object) -> None:
    end = time.monotonic() + 30
    while not holds() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.01)


def test_a_node_that_falls_silent_is_given_up_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.02)
    store, one = HashStore(), ProcessGroup.joined(HashStore(), 0, 1, device=CPU)
    try:
        with Heartbeat(lambda: store, 0, {2: "the node two"}, silent_s=1.0) as first:
            with Heartbeat(lambda: store, 2, {0: "the first process"}, silent_s=60.0) as other:
                until(lambda: store.check(["beat/2"]))
                time.sleep(1.5)
                assert first.lost is other.lost is None
                assert not groups.is_abandoned()
            until(groups.is_abandoned)
        assert first.lost == "the node two has not answered for 1 s"
        with pytest.raises(groups.ProcessLost):
            replace(one, size=2).meet()
    finally:
        one.leave()
        groups._lost.clear()


def test_who_waits_for_a_third_one_hears_that_the_run_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.02)
    store = HashStore()
    try:
        with Heartbeat(lambda: store, 3, {0: "the first process"}, silent_s=60.0) as other:
            store.set(OVER, LOST)
            until(groups.is_abandoned)
            assert other.lost == "another process"
    finally:
        groups._lost.clear()


def test_a_parcel_that_arrives_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process is both ends, block after block: what is broadcast is put down, and taken up."""
    sent: list[torch.Tensor] = []
    one = ProcessGroup.joined(HashStore(), 0, 1, device=CPU)
    made, pulses = table([20, 25]), []
    try:
        part = one.part([0])
        assert part is not None
        with shared(("a name", made)) as parcel:
            monkeypatch.setattr("mofore.stages.distributed.parcel.BLOCK_BYTES", 1000)
            broadcast = "mofore.stages.distributed.parcel._broadcast"
            monkeypatch.setattr(broadcast, lambda tensor, _: sent.append(tensor.clone()))
            send(parcel, part, lambda: pulses.append(1))
            assert len(pulses) == len(sent) - 1 == -(-parcel.size // 1000), "and the digest"
            coming = iter(sent)
            monkeypatch.setattr(broadcast, lambda tensor, _: tensor.copy_(next(coming)))
            with received(parcel, part) as place:
                assert place.path != parcel.path
                name, got = place.open()
            assert name == "a name"
            assert (got.features_ND == made.features_ND).all()
            assert got.ids == made.ids
            sent[1][3] += 1
            coming = iter(sent)
            with pytest.raises(StageError, match="what arrived is not what was sent"), received(parcel, part):
                pass
    finally:
        one.leave()
