"""A GPU that is pretended on the processor, so that the code for one runs, and its mistakes are found, without one.

A tensor "on the GPU" is an ordinary one whose storage is marked; ``device``, ``is_cuda``, ``to`` and the factories are
answered accordingly, and every operation is watched. What is found, as a :class:`Fault`, which no ``except
RuntimeError`` catches and which is raised once more at the end:

- tensors of two devices in one operation, generators of another device, ``numpy`` of what is on the GPU;
- anything that a capture forbids: waiting for the GPU, pageable copies, work of another thread;
- a stream that reads or overwrites what another one has not finished, without having waited for it;
- pinned memory that is overwritten before the copy from it has ended. What is copied to pinned memory without waiting
  arrives when it is waited for, and is NaN (or 255) until then;
- memory that is unregistered and was not registered.

Counted, for :meth:`Pretended.counted` to hold under a ceiling: launches, bytes that kernels read and write, host
synchronisations and where, compilations (one for each new shape and layout), captures and replays, and the bytes
held. A replay repeats what was recorded on the very same memory, whatever Python would do now.

Not seen: speed; rounding of the GPU's own kernels (TF32, split sums, atomics); whether a kernel exists for an operation
or fits into shared memory; what torch.compile makes (it is only counted); memory beyond the tensors' own, and its
fragmentation; memory that the allocator gives to another stream too early; several GPUs and NCCL; FAISS; processes that
are started; hazards between two streams that touch different parts of one storage (they are told as if they were one
part); operations whose C++ never comes to Python, as in a fused optimiser's inside.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

CPU = torch.device("cpu")
# They give their result to the host, or its size.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim", "unique_consecutive"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
MIXING = INDEXING | {"copy_", "_to_copy", "set_", "detach", "alias"}  # take tensors of two devices
NO_SCALARS = {"mm", "bmm", "addmm", "baddbmm", "index_select", "gather", "cat", "scatter"}  # not even of no dimension


class Fault(AssertionError):
    """A mistake that a GPU would punish."""


@dataclass(slots=True)
class Spent:
    """What was done within a block."""

    launches: int = 0
    bytes: int = 0
    compiled: int = 0
    captured: int = 0
    replayed: int = 0
    syncs: list[str] = field(default_factory=list)

    def since(self, before: Spent) -> Spent:
        """The difference to an earlier state."""
        counts = (getattr(self, name) - getattr(before, name) for name in ("launches", "bytes", "compiled"))
        more = (self.captured - before.captured, self.replayed - before.replayed)
        return Spent(*counts, *more, self.syncs[len(before.syncs) :])


class Pretended:
    """The state of a pretended GPU.

    Args:
        memory: bytes that it has; more raise torch's out-of-memory error. None: no end of it.
        capability: as (major, minor).
        pins: whether memory can be registered.
        captures: whether graphs can be captured.
        compiles: whether torch.compile works.
        kind: "cuda", or "mps" (Apple's), which has neither streams nor graphs nor pinned memory.
    """

    def __init__(
        self,
        *,
        memory: int | None = None,
        capability: tuple[int, int] = (9, 0),
        pins: bool = True,
        captures: bool = True,
        compiles: bool = True,
        kind: str = "cuda",
    ) -> None:
        self.device = torch.device(kind, 0)
        self.memory, self.capability, self.pins, self.captures, self.compiles = (
            memory,
            capability,
            pins,
            captures,
            compiles,
        )
        self.spent, self.faults, self.peak = Spent(), list[Fault](), 0
        self.marks = dict[int, StorageWeakRef]()
        self.sizes = dict[int, int]()
        self.held = 0
        self.pinned = dict[int, int]()  # registered ranges
        self.pinned_storages = dict[int, StorageWeakRef]()
        self.forced: torch.device | None = None  # device of what a factory is making
        self.quiet = False
        self.capturing: Graph | None = None
        self.capturer = 0
        self.main = Stream()
        self.current = threading.local()
        self.use = dict[int, dict[str, dict[Stream, int]]]()  # storage -> "read" or "written" -> when, by stream
        self.tried_shapes = set[tuple[Any, ...]]()

    # what is where

    def on(self, tensor: Tensor) -> bool:
        """Whether a tensor is on the GPU."""
        try:
            key = tensor.untyped_storage()._cdata
        except (RuntimeError, NotImplementedError):
            return False
        found = self.marks.get(key)
        return found is not None and not found.expired()

    def mark(self, tensor: Tensor) -> None:
        """Put a tensor's storage onto the GPU."""
        storage = tensor.untyped_storage()
        if storage._cdata in self.marks:
            return
        if self.memory is not None:
            self.sweep()
            if self.held + storage.nbytes() > self.memory:
                raise torch.OutOfMemoryError(
                    f"CUDA out of memory (pretended). Tried to allocate {storage.nbytes()} bytes"
                )
        elif len(self.marks) % 64 == 0:
            self.sweep()
        self.marks[storage._cdata], self.sizes[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.held += storage.nbytes()
        self.peak = max(self.peak, self.held)

    def sweep(self) -> None:
        """Forget what has been freed."""
        for key in [key for key, found in self.marks.items() if found.expired()]:
            del self.marks[key]
            self.held -= self.sizes.pop(key)
            self.use.pop(key, None)

    def is_pinned(self, tensor: Tensor) -> bool:
        """Whether a tensor of the host lies in registered memory."""
        storage = tensor.untyped_storage()
        found = self.pinned_storages.get(storage._cdata)
        if found is not None and not found.expired():
            return True
        begin = tensor.data_ptr()
        return any(first <= begin and begin + tensor.nbytes <= first + size for first, size in self.pinned.items())

    def pin(self, tensor: Tensor) -> None:
        """Register a tensor's storage."""
        storage = tensor.untyped_storage()
        self.pinned_storages[storage._cdata] = StorageWeakRef(storage)

    # what happens

    def fault(self, what: str) -> None:
        """Tell a mistake, and remember it in case somebody catches it."""
        self.faults.append(Fault(f"{what}: {_where()}"))
        raise self.faults[-1]

    def sync(self, what: str) -> None:
        """The host waits for the GPU."""
        if self.quiet:
            return
        if self.capturing is not None:
            self.fault(f"{what} while a graph is captured")
        self.spent.syncs.append(f"{what}: {_where()}")
        self.stream.finish()

    @property
    def stream(self) -> Stream:
        """The current stream of this thread."""
        found: Stream = getattr(self.current, "stream", self.main)
        return found

    def touch(self, reads: list[Tensor], writes: list[Tensor]) -> None:
        """An operation on the current stream; tells what it should have waited for."""
        stream = self.stream
        stream.issued += 1
        for tensors, kinds in ((reads, ("written",)), (writes, ("written", "read"))):
            for tensor in tensors:
                of = self.use.get(tensor.untyped_storage()._cdata, {})
                for kind in kinds:
                    for other, when in of.get(kind, {}).items():
                        if other is not stream and stream.seen(other) < when:
                            self.fault(f"a stream uses what another one has {kind}, without waiting for it")
        for tensors, kind in ((reads, "read"), (writes, "written")):
            for tensor in tensors:
                self.use.setdefault(tensor.untyped_storage()._cdata, {}).setdefault(kind, {})[stream] = stream.issued

    @contextlib.contextmanager
    def forcing(self, device: torch.device | None) -> Iterator[None]:
        """Let tensors that are made come to lie on a device."""
        before, self.forced = self.forced, device
        try:
            yield
        finally:
            self.forced = before

    @contextlib.contextmanager
    def counted(self) -> Iterator[Spent]:
        """What is spent within the block; filled in at its end."""
        now = self.spent
        before = Spent(now.launches, now.bytes, now.compiled, now.captured, now.replayed, [*now.syncs])
        found = Spent()
        try:
            yield found
        finally:
            difference = self.spent.since(before)
            for name in Spent.__slots__:
                setattr(found, name, getattr(difference, name))


class Stream:
    """A stream: how much was issued, what it has waited for, and copies to the host that have not arrived."""

    known_to_host: dict[Stream, int] = {}  # noqa: RUF012 - one host; emptied by `pretended_gpu`

    def __init__(self, *_: Any, **__: Any) -> None:
        self.issued = 0
        self.waited = dict[Stream, int]()
        self.arriving: list[tuple[int, Callable[[], None]]] = []

    def seen(self, other: Stream) -> int:
        """How much of another stream is certain to be over before what comes next here."""
        return max(self.waited.get(other, 0), Stream.known_to_host.get(other, 0))

    def wait_stream(self, other: Stream) -> None:
        """Everything issued to the other one comes before what comes next here."""
        self._after(other, other.issued, other.waited)

    def wait_event(self, event: Event) -> None:
        """What the event stands for comes before what comes next here."""
        if event.of is not None:
            self._after(event.of, event.when, event.waited)

    def record_event(self, event: Event | None = None) -> Event:
        """An event that stands for all that was issued here."""
        event = event or Event()
        event.record(self)
        return event

    def synchronize(self) -> None:
        """The host waits for all that was issued here."""
        NOW[-1].sync("stream.synchronize()")
        self.finish()

    def finish(self, when: int | None = None) -> None:
        """All that was issued here (up to a moment) is over, and the host knows."""
        when = self.issued if when is None else when
        Stream.known_to_host[self] = max(Stream.known_to_host.get(self, 0), when)
        due = [each for each in self.arriving if each[0] <= when]
        self.arriving = [each for each in self.arriving if each[0] > when]
        for _, arrive in due:
            arrive()

    def _after(self, other: Stream, when: int, waited: dict[Stream, int]) -> None:
        for stream, count in ((other, when), *waited.items()):
            self.waited[stream] = max(self.waited.get(stream, 0), count)


class Event:
    """A moment of a stream. A query says no once, so that both answers are met."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.of: Stream | None = None
        self.when, self.asked, self.waited = 0, 0, dict[Stream, int]()

    def record(self, stream: Stream | None = None) -> None:
        """Stand for all that was issued to a stream."""
        self.of = stream or NOW[-1].stream
        self.when, self.asked, self.waited = self.of.issued, 0, dict(self.of.waited)

    def wait(self, stream: Stream | None = None) -> None:
        """Let a stream wait."""
        (stream or NOW[-1].stream).wait_event(self)

    def query(self) -> bool:
        """Whether it is over."""
        if NOW[-1].capturing is not None:
            NOW[-1].fault("event.query() while a graph is captured")
        self.asked += 1
        if self.of is not None and self.asked > 1:
            self._over()
        return self.of is None or self.asked > 1

    def synchronize(self) -> None:
        """The host waits."""
        if NOW[-1].capturing is not None:
            NOW[-1].fault("event.synchronize() while a graph is captured")
        self._over()

    def elapsed_time(self, _other: Event) -> float:
        """Milliseconds; there is no clock here."""
        return 1.0

    def _over(self) -> None:
        if self.of is not None:
            self.of.finish(self.when)
            for stream, count in self.waited.items():
                stream.finish(count)


class Graph:
    """What was launched while it was captured, on the memory that was there."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.tape: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def replay(self) -> None:
        """Launch it all again."""
        gpu = NOW[-1]
        gpu.spent.replayed += 1
        gpu.spent.launches += 1
        launches = gpu.spent.launches
        for func, args, kwargs, out in self.tape:
            with torch.inference_mode():  # what it was recorded in does not matter any more
                again = func(*args, **kwargs)
            with torch._C._DisableTorchDispatch(), torch.inference_mode():
                for old, new in zip(tree_iter(out), tree_iter(again), strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)
        gpu.spent.launches = launches

    def reset(self) -> None:
        """Let its memory go."""
        self.tape.clear()


@contextlib.contextmanager
def _capture(graph: Graph, stream: Stream | None = None, **_: Any) -> Iterator[None]:
    """Record; what is on the GPU is put back afterwards, since a capture computes nothing."""
    gpu = NOW[-1]
    if not gpu.captures:
        raise torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing (pretended)")
    gpu.sweep()
    with torch._C._DisableTorchDispatch():
        kept = [(store, store.clone()) for found in gpu.marks.values() if (store := _alive(found)) is not None]
    side = stream or Stream()
    side.wait_stream(gpu.stream)
    gpu.capturing, gpu.capturer = graph, threading.get_ident()
    gpu.spent.captured += 1
    try:
        with _current(side):
            yield
    finally:
        gpu.capturing = None
        gpu.stream.wait_stream(side)
        with torch._C._DisableTorchDispatch():
            for store, before in kept:
                store.copy_(before)


def _alive(found: StorageWeakRef) -> torch.UntypedStorage | None:
    return None if found.expired() else torch.UntypedStorage._new_with_weak_ptr(found.cdata)


class _Operations(TorchDispatchMode):
    """Watches what is launched."""

    def __init__(self, gpu: Pretended) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, gpu = kwargs or {}, self.gpu
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # in inference mode nobody has taken it apart
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        name = func._schema.name.partition("::")[2]
        given = [each for each in tree_iter((args, kwargs)) if isinstance(each, Tensor)]
        there = [gpu.on(each) for each in given]
        if not any(there) and gpu.forced != gpu.device:
            return func(*args, **kwargs)
        if gpu.quiet:
            out = func(*args, **kwargs)
        else:
            self._refuse(name, func, args, kwargs, given, there)
            out = func(*args, **kwargs)
            if name == "copy_" and there[0] != there[-1]:
                self._copied(*given[:2], non_blocking=bool(args[2:] and args[2]) or kwargs.get("non_blocking", False))
            else:
                self._launched(func, given, out)
        if not (name == "copy_" or gpu.forced == CPU):
            for each in tree_iter(out):
                if isinstance(each, Tensor):
                    gpu.mark(each)
        if gpu.capturing is not None and not _is_view(func):
            gpu.capturing.tape.append((func, args, kwargs, out))
        return out

    def _refuse(self, name: str, func: Any, args: Any, kwargs: Any, given: list[Tensor], there: list[bool]) -> None:
        gpu = self.gpu
        if gpu.capturing is not None and threading.get_ident() != gpu.capturer:
            gpu.fault(f"{name} in another thread while a graph is captured")
        if name not in MIXING and any(there):
            least = 0 if name in NO_SCALARS else 1
            strange = [tuple(t.shape) for t, on in zip(given, there, strict=True) if not on and t.dim() >= least]
            if strange:
                gpu.fault(f"{name}: tensors on cuda:0 and, of shapes {strange}, on cpu")
        if any(isinstance(each, torch.Generator) for each in tree_iter((args, kwargs))):
            gpu.fault(f"{name}: a generator of the processor for a tensor on the GPU")
        by_tensor = name == "repeat_interleave" and func._overloadname == "Tensor" and kwargs.get("output_size") is None
        if name in WAITING or by_tensor:
            gpu.sync(name)
        if name in INDEXING and there[0]:
            for index, on in zip(given[1:], there[1:], strict=True):
                if (
                    index.dtype in (torch.bool, torch.uint8)
                    and on
                    and name in ("index", "index_put_", "_index_put_impl_")
                ):
                    gpu.sync(f"{name} with a mask")
                if not on and index.dim():
                    gpu.sync(f"{name} with indices on the cpu")

    def _copied(self, to: Tensor, source: Tensor, *, non_blocking: bool) -> None:
        self.gpu.spent.launches += 1
        _copied_between(self.gpu, to, source, non_blocking=non_blocking)

    def _launched(self, func: Any, given: list[Tensor], out: Any) -> None:
        if _is_view(func) or func._schema.name == "aten::set_":
            return
        results = [each for each in tree_iter(out) if isinstance(each, Tensor)]
        changed = _written(func, given)
        gpu = self.gpu
        gpu.spent.launches += func._schema.name not in ("aten::empty", "aten::empty_strided", "aten::empty_like")
        if "empty" not in func._schema.name:
            gpu.spent.bytes += sum(_bytes(each) for each in given) + sum(_bytes(each) for each in results)
            on = [each for each in given if gpu.on(each)]
            gpu.touch(on, [*changed, *results])


def _written(func: Any, given: list[Tensor]) -> list[Tensor]:
    """Tensors that an operation changes, as its schema says; as near as its flat arguments tell."""
    return given[:1] if func._schema.is_mutable else []


def _bytes(tensor: Tensor) -> int:
    """Bytes that a kernel reads or writes; what is only repeated by strides of 0 is there once."""
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    total = tensor.element_size()
    for size in sizes:
        total *= size
    return total if tensor.numel() else 0


def _is_view(func: Any) -> bool:
    """Whether an operation only looks at the same memory in another way."""
    returns = [alias for each in func._schema.returns if (alias := each.alias_info) is not None]
    views = bool(returns) and not any(alias.is_write for alias in returns)
    return views or func._schema.name in ("aten::detach", "aten::_unsafe_view", "aten::lift_fresh")


def _copied_between(gpu: Pretended, to: Tensor, source: Tensor, *, non_blocking: bool) -> None:
    """A copy between host and GPU that has been made; tells what is wrong with when."""
    host, up = (source, True) if gpu.on(to) else (to, False)
    direct = non_blocking and gpu.is_pinned(host)
    gpu.spent.bytes += _bytes(source) + _bytes(to)
    gpu.touch(*(([], [to]) if up else ([source], [])))
    if not direct:
        gpu.sync(("host to GPU" if up else "GPU to host") + (" from pageable memory" if non_blocking else ""))
        return
    if gpu.capturing is not None:
        gpu.fault("a copy between host and GPU while a graph is captured")
    with torch._C._DisableTorchDispatch():
        value = source.clone()
        if not up:
            to.view(-1).view(torch.uint8).fill_(255) if to.is_contiguous() else to.zero_()

    def arrive() -> None:
        with torch._C._DisableTorchDispatch(), torch.inference_mode():
            if not up:
                to.copy_(value)
            elif not torch.equal(source.reshape(-1).view(torch.uint8), value.reshape(-1).view(torch.uint8)):
                gpu.fault("pinned memory was overwritten before the copy from it had ended")

    gpu.stream.arriving.append((gpu.stream.issued, arrive))


class _Interface(TorchFunctionMode):
    """Answers what Python asks of tensors and where they are."""

    def __init__(self, gpu: Pretended) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, gpu = dict(kwargs or {}), self.gpu
        name = getattr(func, "__name__", "")
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if name == "__get__" and first is not None:
            return self._property(func, first, args)
        if first is not None and name in ("to", "cpu", "cuda"):
            return self._moved(name, first, [*args[1:]], kwargs)
        if first is not None and name in ("numpy", "__array__", "tolist") and gpu.on(first):
            if name != "tolist":
                gpu.fault(f"{name}() of a tensor on cuda:0")
            gpu.sync("tolist")
        if name in ("pin_memory", "is_pinned") and first is not None:
            if name == "is_pinned":
                return gpu.is_pinned(first)
            pinned = first.clone()
            gpu.pin(pinned)
            return pinned
        if name == "record_stream":
            return None
        return self._made(func, name, args, kwargs)

    def _property(self, func: Any, tensor: Tensor, args: Any) -> Any:
        if func == Tensor.device.__get__:
            return self.gpu.device if self.gpu.on(tensor) else func(*args)
        if func in (Tensor.is_cuda.__get__, Tensor.is_cpu.__get__):
            return self.gpu.on(tensor) == (func == Tensor.is_cuda.__get__)
        return func(*args)

    def _made(self, func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        """Calls with a device; others go through."""
        gpu, device = self.gpu, kwargs.get("device")
        pinned = kwargs.pop("pin_memory", False)
        places = [each for each in args if isinstance(each, torch.device)]
        wanted = next((torch.device(each) for each in (device, *places) if each is not None), None)
        if wanted is None or name in ("_parse_to", "__set__"):
            out = func(*args, **kwargs)
        else:
            kwargs |= {"device": CPU} if device is not None else {}
            args = tuple(CPU if isinstance(each, torch.device) else each for each in args)
            generator = kwargs.get("generator")
            if wanted.type == gpu.device.type and generator is not None:
                gpu.fault(f"{name}: a generator of the processor for a tensor on the GPU")
            host_made = wanted.type == gpu.device.type and name in ("tensor", "as_tensor")
            with gpu.forcing(CPU if host_made or wanted.type != gpu.device.type else gpu.device):
                out = func(*args, **kwargs)
            if wanted.type == gpu.device.type:
                if host_made:
                    gpu.sync(f"torch.{name} onto the GPU")
                for each in tree_iter(out):
                    if isinstance(each, Tensor):
                        gpu.mark(each)
        if pinned and isinstance(out, Tensor):
            gpu.pin(out)
        return out

    def _moved(self, name: str, tensor: Tensor, args: list[Any], kwargs: dict[str, Any]) -> Tensor:
        gpu, there = self.gpu, self.gpu.on(tensor)
        wanted: Any = {"cpu": CPU, "cuda": gpu.device}.get(name)
        if name != "to":
            args, kwargs = [CPU], {"non_blocking": bool(kwargs.get("non_blocking", args and args[-1] is True))}
        elif args and isinstance(args[0], Tensor):
            wanted, args[0] = (gpu.device if gpu.on(args[0]) else CPU), args[0].dtype
        elif args and isinstance(args[0], str | torch.device):
            wanted, args[0] = args[0], CPU
        elif kwargs.get("device") is not None:
            wanted, kwargs["device"] = kwargs["device"], CPU
        to = there if wanted is None else torch.device(wanted).type == gpu.device.type
        flags = [each for each in args if isinstance(each, bool)]
        non_blocking = bool(kwargs.get("non_blocking", flags[0] if flags else False))
        if to == there:
            return Tensor.to(tensor, *args, **kwargs)
        before, gpu.quiet = gpu.quiet, True
        try:
            with gpu.forcing(CPU):
                moved = Tensor.to(tensor, *args, **kwargs)
                moved = moved.clone() if moved.untyped_storage()._cdata == tensor.untyped_storage()._cdata else moved
        finally:
            gpu.quiet = before
        if to:
            gpu.mark(moved)
        gpu.spent.launches += 1
        _copied_between(gpu, moved, tensor, non_blocking=non_blocking)
        return moved


class _Runtime:
    """Calls of CUDA's own library."""

    def __init__(self, gpu: Pretended) -> None:
        self.gpu = gpu

    def cudaHostRegister(self, pointer: int, size: int, _flags: int) -> int:
        """0, or the error of containers that may not."""
        if self.gpu.pins:
            self.gpu.pinned[pointer] = size
        return 0 if self.gpu.pins else 1

    def cudaHostUnregister(self, pointer: int) -> int:
        """0; what was not registered is a mistake."""
        if pointer not in self.gpu.pinned:
            self.gpu.fault("memory is unregistered that was not registered")
        del self.gpu.pinned[pointer]
        return 0


NOW: list[Pretended] = []  # the one at work


def _check_error(code: int) -> None:
    if code:
        raise torch.AcceleratorError(f"CUDA error {code}: operation not supported (pretended)")


@contextlib.contextmanager
def _current(stream: Stream | None) -> Iterator[None]:
    gpu = NOW[-1]
    before, gpu.current.stream = gpu.stream, stream or gpu.stream
    try:
        yield
    finally:
        gpu.current.stream = before


def _compiled(gpu: Pretended, model: Any = None, **_: Any) -> Any:
    """In place of torch.compile: the model itself, and a count of what would have been compiled."""

    def run(*args: Any, **kwargs: Any) -> Any:
        if not gpu.compiles:
            raise RuntimeError("no compiler (pretended)")
        given = [each for each in tree_iter((args, kwargs)) if isinstance(each, Tensor)]
        shapes = tuple((tuple(each.shape), each.stride(), each.dtype, gpu.on(each)) for each in given)
        if (id(model), shapes) not in gpu.tried_shapes:
            gpu.tried_shapes.add((id(model), shapes))
            gpu.spent.compiled += 1
        return model(*args, **kwargs)

    return run


def _where() -> str:
    """The innermost places of the code that is watched."""
    places, frame = list[str](), sys._getframe(2)
    while frame is not None and len(places) < 3:
        path = frame.f_code.co_filename
        if "/stages/" in path or "/benchmarks/" in path:
            places.append(f"{path.rsplit('/', 1)[-1]}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return " <- ".join(places)


@contextlib.contextmanager
def pretended_gpu(**given: Any) -> Iterator[Pretended]:
    """Pretend that this machine has one GPU; the arguments are those of :class:`Pretended`.

    Raises:
        Fault: also at the end, if one was caught meanwhile.
    """
    gpu = Pretended(**given)
    Stream.known_to_host.clear()
    total = gpu.memory or 80 << 30
    run, autocast = threading.Thread.run, torch.autocast
    cuda: dict[str, Any] = {
        "is_available": lambda: gpu.device.type == "cuda",
        "is_initialized": lambda: True,
        "device_count": lambda: int(gpu.device.type == "cuda"),
        "current_device": lambda: 0,
        "set_device": lambda _device: None,
        "get_device_capability": lambda *_: gpu.capability,
        "get_device_name": lambda *_: "pretended",
        "is_bf16_supported": lambda *_, **__: gpu.capability >= (8, 0),
        "mem_get_info": lambda *_: (total - gpu.held, total),
        "max_memory_allocated": lambda *_: gpu.peak,
        "memory_allocated": lambda *_: gpu.sweep() or gpu.held,
        "reset_peak_memory_stats": lambda *_: setattr(gpu, "peak", gpu.held),
        "empty_cache": lambda: None,
        "synchronize": lambda *_: gpu.sync("torch.cuda.synchronize()"),
        "Stream": Stream,
        "Event": Event,
        "CUDAGraph": Graph,
        "graph": _capture,
        "stream": _current,
        "current_stream": lambda *_: gpu.stream,
        "default_stream": lambda *_: gpu.main,
        "cudart": lambda: _Runtime(gpu),
        "check_error": _check_error,
        "_lazy_init": lambda: None,
        "get_rng_state": lambda *_: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda *_: None,
    }

    def watched(thread: threading.Thread) -> None:
        with _Operations(gpu), _Interface(gpu):
            run(thread)

    with contextlib.ExitStack() as stack:
        for name, value in cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        on_mps = gpu.device.type == "mps"
        stack.enter_context(mock.patch.object(torch.backends.mps, "is_available", return_value=on_mps))
        stack.enter_context(mock.patch.object(torch.backends.cudnn, "is_acceptable", return_value=False))
        stack.enter_context(mock.patch.object(torch.Tensor, "record_stream", return_value=None))
        stack.enter_context(
            mock.patch.object(torch, "compile", lambda *args, **kwargs: _compiled(gpu, *args, **kwargs))
        )
        stack.enter_context(
            mock.patch.object(torch, "autocast", lambda _kind, *args, **kwargs: autocast("cpu", *args, **kwargs))
        )
        stack.enter_context(mock.patch.object(threading.Thread, "run", watched))
        stack.enter_context(_Operations(gpu))
        stack.enter_context(_Interface(gpu))
        NOW.append(gpu)
        try:
            yield gpu
        finally:
            NOW.pop()
    if gpu.faults:
        raise gpu.faults[0]
