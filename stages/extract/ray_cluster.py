"""Extraction by the nodes of a Ray cluster: actors that extract into the shared work folder, and who drives them.

The protocol is that of several processes of one machine (:mod:`.many_devices`): actors decode, encode and publish
shards themselves, so that no feature goes over the wire; only the driver writes the ledger. What is another's here is
that actors may be lost. A shard speaks for itself: what a lost actor published is read from the folder, and only the
rest of its units is handed out anew (:mod:`.units`). Ray starts actors, says when one is lost, and carries what is
said; no object of it holds data. Rejected: features sent to the driver (its disk and its network would be the bound of
all), tasks of Ray (each would load the backbone), actors that Ray restarts (which node was lost would not be known).
"""

from __future__ import annotations

import pickle
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from ...cache.hold import make_folder
from ...cache.ledger import Ledger, ShardRecord
from ...cache.store import FeatureStore
from ...data.errors import MoforeError, StageError, StoreError
from ...data.progress import Progress
from ...data.types import Failure, FileState
from ...data.wording import counted
from ..machine.device import MOST_CPU_PARTS
from ..machine.installed import installed
from .many_devices import STOP, Member, Team
from .one_device import ExtractJob
from .ray_actor import DECIDING, RayActor
from .shard_writer import ExtractResult
from .units import DEATHS, Unit, Units

POLL_S = 0.5
LOOK_S = 5.0  # from one look at the nodes to the next
PATIENCE_S = 60.0  # that a first node, or another than the last one, is waited for
PARTING_S = 120.0  # that actors have to publish what they have, once it is to end
FALSE_STARTS = 3  # of actors on one node, before they took a video
ENDING_S = 5.0  # that the end of an actor is waited for
KILLS = f"the process that read it died {DEATHS} times, with no other video at hand"


@dataclass(frozen=True, slots=True)
class Seats:
    """How many actors a node has, and what each of them has of it."""

    count: int
    cpus: int
    gpus: int

    @classmethod
    def of(cls, resources: Mapping[str, float], *, gpu: bool, most: int) -> Seats:
        """One for each GPU; or groups of processor cores, as one machine has processes.

        Args:
            resources: of the node, as Ray counts them.
            gpu: whether actors need one each.
            most: of them on a node; 0 for as many as there can be.
        """
        cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        count = gpus if gpu else min(MOST_CPU_PARTS, cpus)
        count = min(most or count, count)
        return cls(count, cpus // count if count else 0, int(gpu))


@dataclass(slots=True)
class _Actor(Member):
    node: str = field(kw_only=True)  # its id
    host: str = field(kw_only=True)
    actor: Any = field(kw_only=True)
    ref: Any = field(kw_only=True)  # to what it is going to say; None while it is idle
    coming: bool = True  # until it has said that it can
    over: bool = False  # whether its process has said its last word
    first: Unit | None = None  # for when it asks for the first time
    units: list[Unit] = field(default_factory=list)
    shown: int = 0  # videos of this go that the user was told of as done ...
    told: int = 0  # ... and those that are safe, or failed


def extract_on_cluster(job: ExtractJob, *, ledger: Ledger, progress: Progress) -> ExtractResult:
    """Extract on the nodes of the cluster that this process is connected to.

    Args:
        job: what to do; its device is the one to compute on, "cpu" or "cuda".
        ledger: told of every shard and failure.
        progress: told how it goes.

    Raises:
        StageError: if a node has other versions or does not see the videos, if none is there, or none is left. What
            was published stays.
        MoforeError: what an actor raises; the others are stopped first.
    """
    mark = job.store.folder / f".cluster-{secrets.token_hex(6)}.tmp"  # goes with the leftovers of a run that is killed
    make_folder(mark.parent)
    mark.touch()
    cluster = _Cluster(_absolute(job), mark.absolute(), ledger, progress)
    try:
        while not cluster.is_over():
            cluster.listen()
    finally:  # nobody may go on writing once the work folder is free again
        cluster.kill()
        mark.unlink(missing_ok=True)
    cluster.tidy_up()
    if cluster.error is not None:
        raise cluster.error
    return cluster.total


def _absolute(job: ExtractJob) -> ExtractJob:
    """The same job for who stands elsewhere."""
    inputs, weights = job.inputs, job.inputs.weights
    inputs = replace(inputs, root=inputs.root.absolute(), weights=weights.absolute() if weights else None)
    return replace(job, inputs=inputs, store=FeatureStore(job.store.folder.absolute()))


class _Cluster(Team[_Actor]):
    """Actors of Ray, started on every node, and again where one is lost or a node is new."""

    def __init__(self, job: ExtractJob, mark: Path, ledger: Ledger, progress: Progress) -> None:
        self._ray: Any = import_module("ray")
        self._nodes = _nodes(self._ray, job)
        count = sum(seats.count for _, seats in self._nodes.values())
        super().__init__(job, ExtractResult(), max(count, 1), ledger, progress)
        self._bytes = job.inputs.bytes()
        self._units = Units(job.inputs.videos, self._count)
        self._versions, self._there = (
            installed(DECIDING),
            {"the work folder": mark.parent.parent.parent, "its mark": mark},
        )
        if job.inputs.root.exists():
            self._there["the folder of the videos"] = job.inputs.root
        self._false_starts: Counter[str] = Counter()  # by node
        self._noted: set[str] = set()
        self._rows = 0.0  # of runs that are over
        self._look_at, self._had, self._until = 0.0, time.monotonic(), float("inf")
        where = counted(len(self._nodes), "node")
        progress.note(f"shared by {counted(count, 'actor')} on {where} of the cluster, on {job.settings.device}")

    def is_over(self) -> bool:
        """Whether all is done, or all have ended that were to."""
        working = any(actor.ref is not None and not actor.coming for actor in self.members)
        if self.error is not None:
            return not working or time.monotonic() > self._until
        return not working and not self._units.waiting()

    def listen(self) -> None:
        """Take what the actors say, for a moment."""
        try:
            if self.error is None:
                self._progress.pulse()
                self._recruit()
                self._begin()
            refs = {actor.ref: actor for actor in self.members if actor.ref is not None}
            if not refs:
                time.sleep(POLL_S)
                return
            for ref in self._ray.wait(list(refs), timeout=POLL_S)[0]:
                self._hear(refs[ref])
        except KeyboardInterrupt as interrupt:
            if self.error is not None:  # asked again: at once
                self._until = 0.0
            self._stop(interrupt)
        except OSError as error:  # the ledger's disk is full, the terminal is gone
            self._stop(error)

    def kill(self) -> None:
        """End every actor, and wait until it is known to have ended."""
        for actor in self.members:
            self._ray.kill(actor.actor)
        for actor in self.members:
            if not actor.coming:
                with suppress(self._ray.exceptions.RayError):
                    self._ray.get(actor.actor.hear.remote(), timeout=ENDING_S)

    def tidy_up(self) -> None:
        """Take up what nobody told of, delete what was made twice, and what lost actors left half-done."""
        self._job.store.clean()
        for record in self._untold():
            self._stored(record)
        self.total.encoder = self._job.store.encoder() or {}
        self.total.row = "window" if self.total.encoder.get("windows") else "frame"

    def _recruit(self) -> None:
        """Look at the nodes now and then, and start actors where there are fewer than there can be."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at, self._nodes = now + LOOK_S, _nodes(self._ray, self._job)
        for node, (host, seats) in self._nodes.items():
            there = sum(actor.node == node for actor in self.members)
            for _ in range(seats.count - there if self._units.waiting() else 0):
                self._start(node, host, seats)
        if self._nodes:
            self._had = now
        elif now - self._had > PATIENCE_S:
            what = "GPU" if self._job.settings.device == "cuda" else "processor core"
            self._stop(StageError(f"for {PATIENCE_S:.0f} s the cluster had no node with a {what}: see `ray status`"))

    def _start(self, node: str, host: str, seats: Seats) -> None:
        strategies = import_module("ray.util.scheduling_strategies")
        actor = (
            self._ray.remote(RayActor)
            .options(
                num_cpus=seats.cpus,
                num_gpus=seats.gpus,
                scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(node, soft=False),
            )
            .remote()
        )
        ref = actor.complaint.remote(self._versions, self._there)
        self.members.append(_Actor(node=node, host=host, actor=actor, ref=ref))

    def _begin(self) -> None:
        """Have idle actors go on, as long as there is something for each."""
        for actor in self.members:
            if actor.ref is None and (unit := self._units.take(())) is not None:
                actor.first, actor.units = unit, [unit]
                settings = self._job.settings
                cores = self._nodes[actor.node][1].cpus if actor.node in self._nodes else 1
                job = replace(
                    self._job,
                    settings=replace(settings, decoders=settings.decoders or max(1, cores)),
                    inputs=replace(self._job.inputs, videos=(), told_bytes=self._bytes),
                )
                actor.actor.begin.remote(pickle.dumps((job, self._count)))
                actor.ref = actor.actor.hear.remote()

    def _hear(self, actor: _Actor) -> None:
        try:
            said = self._ray.get(actor.ref)
        except self._ray.exceptions.RayError as error:
            self._lose(actor, error)
            return
        if actor.coming:
            actor.coming, actor.ref = False, None
            if said:
                self._stop(StageError(said))
            return
        messages, ended = said
        try:
            for message in messages:
                self._take(actor, pickle.loads(message))
        finally:
            over = ended is not None or actor.over
            actor.ref = None if over else actor.actor.hear.remote()
        if over:
            self._end(actor, f"its process ended with exit code {ended}")

    def _take(self, member: _Actor, said: object) -> None:
        member.over |= isinstance(said, ExtractResult | BaseException)  # it has published all, and says nothing more
        match said:
            case MoforeError():
                said = type(said)(f"on the node {member.host}: {said}")
            case ("note", str(message)) if message in self._noted:  # as another has already
                return
            case ("note", str(message)):
                self._noted.add(message)
        super()._take(member, said)

    def _end(self, actor: _Actor, how: str) -> None:
        """A run of an actor's process is over, which may go on with another one."""
        if actor.result is None and self.error is None:
            self._lose_run(actor, how, blamed=True)
        self._rows += actor.figures.get("rows", 0)
        actor.figures, actor.result, actor.units, actor.first = {}, None, [], None
        actor.shown, actor.told, actor.over = 0, 0, False

    def _lose(self, actor: _Actor, error: Exception) -> None:
        """An actor is gone, perhaps with its node; another one takes its place when the nodes are looked at."""
        self.members.remove(actor)
        self._ray.kill(actor.actor)  # if it is only out of reach
        self._look_at, self._nodes = 0.0, _nodes(self._ray, self._job)
        if self.error is None:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self._lose_run(actor, lines[-1 if actor.coming else 0], blamed=actor.node in self._nodes)
        self._rows += actor.figures.get("rows", 0)

    def _lose_run(self, actor: _Actor, how: str, *, blamed: bool) -> None:
        """What an actor had been given and is not in the store is to be done anew."""
        for record in self._untold():
            self._stored(record)
        begun = not actor.coming and actor.first is None
        if blamed and not begun:
            self._false_starts[actor.node] += 1
            if self._false_starts[actor.node] >= FALSE_STARTS:
                self._stop(
                    StageError(f"the node {actor.host} lost {FALSE_STARTS} actors before they took a video: {how}")
                )
        left = sum(len(unit.left) for unit in actor.units)
        self._progress.advance(actor.told - actor.shown)
        self._progress.note(f"lost an actor on the node {actor.host} ({how}); it had {counted(left, 'video')}")
        for video in self._units.put_back(actor.units, blamed=blamed and begun):
            self._failed(Failure(video.id, FileState(video.size, video.mtime_ns, ""), KILLS))

    def _hand_out(self, member: _Actor) -> None:
        self._false_starts[member.node] = 0
        member.units = [unit for unit in member.units if unit.left]
        unit, member.first = member.first, None
        if unit is None and (unit := self._units.take(member.units)) is not None:
            member.units.append(unit)
        member.actor.tell.remote(() if unit is None else tuple(unit.left.values()))

    def _stop(self, error: BaseException) -> None:
        if self.error is None:
            self._until = time.monotonic() + PARTING_S
        super()._stop(error)

    def _tell_to_stop(self, member: _Actor) -> None:
        if member.ref is not None and not member.coming:
            member.actor.tell.remote(STOP)

    def _stored(self, record: ShardRecord) -> None:
        names = {video.id for video in record.videos}
        if record.name in self._ledger.shards.get(self._job.store.key, {}):
            return  # it was found when an actor was lost, before this one told of it
        if names <= self.total.done:  # of an actor that was lost, and went on for a moment; or of who did it again
            self._job.store.delete([record.name])
        else:
            super()._stored(record)
        self._through(names)

    def _failed(self, failure: Failure) -> None:
        super()._failed(failure)
        self._through({failure.video_id})

    def _through(self, names: set[str]) -> None:
        """Nobody has to do these videos any more."""
        self._units.strike(names)
        for actor in self.members:
            for unit in actor.units:
                for name in names & unit.left.keys():
                    del unit.left[name]
                    actor.told += 1

    def _untold(self) -> Iterator[ShardRecord]:
        """Sound shards of which nobody has told."""
        known = self._ledger.shards.get(self._job.store.key, {})
        for path in self._job.store.shard_files():
            if path.name not in known:
                with suppress(StoreError):  # the next run puts it aside
                    yield self._job.store.inspect(path)

    def _show(self, member: _Actor, done: int) -> None:
        member.shown += done
        told = [actor.figures for actor in self.members if actor.figures]
        self._progress.advance(
            done,
            rows=self._rows + sum(figures["rows"] for figures in told),
            row=member.figures["row"],
            failed=len(self.total.failures),
            bottleneck=member.figures["bottleneck"],
        )


def _nodes(ray: Any, job: ExtractJob) -> dict[str, tuple[str, Seats]]:
    """The nodes that have something to extract with, by id: host and seats."""
    gpu, most = job.settings.device == "cuda", job.settings.processes
    found = {}
    for node in ray.nodes():
        seats = Seats.of(node["Resources"], gpu=gpu, most=most)
        if node["Alive"] and seats.count:
            found[node["NodeID"]] = (node["NodeManagerHostname"], seats)
    return found
