"""Kinds of index: from a wish, the number of vectors and limits to a FAISS factory string, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...data.index_settings import INDEX_KINDS

LINKS = 32  # of a node of HNSW; twice as many on its ground floor
LINK_BYTES = 4 * 2 * LINKS + 16  # of a vector of HNSW, beside the vector
POINTS_PER_CENTROID = 39  # FAISS's own least for a sound k-means
LEAST_BITS, MOST_BITS = 4, 8  # of a code of product quantisation
DIMENSIONS_PER_CODE = 8
PLAIN = "np"  # without polysemous codes, which take long to train and serve no search here
SCAN_BYTES_PER_S = 10e9  # that one core reads of vectors lying in memory: assumed, to choose by
HNSW_MOST = 500_000  # vectors; one thread builds the graph, so that it is the same every time
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What an index chosen by ``auto`` may cost."""

    memory_bytes: float  # of the index
    latency_ms: float  # of one query


@dataclass(frozen=True, slots=True)
class Choice:
    """What FAISS is asked to build, and why, in one line."""

    factory: str
    why: str


def choose(kind: str, count: int, width: int, limits: Limits) -> Choice:
    """The factory string for ``count`` vectors of ``width``.

    Args:
        kind: flat, ivf, hnsw, ivfpq, auto, or a factory string, which is left as it is.
        count: N.
        width: E.
        limits: for auto.
    """
    if kind == "auto":
        return _automatic(count, width, limits)
    if kind not in INDEX_KINDS:
        return Choice(kind, "as asked for")
    return _named(kind, count, width)


def lists(count: int) -> int:
    """Inverted lists: a power of two, about 4 sqrt(N), with enough vectors for each to be trained."""
    most = min(4 * math.sqrt(count), count / POINTS_PER_CENTROID)
    return 1 << max(0, math.floor(math.log2(max(most, 1))))


def code_bits(count: int) -> int:
    """Bits of a code that ``count`` vectors can train; below :data:`LEAST_BITS` there are too few."""
    return min(MOST_BITS, math.floor(math.log2(max(count / POINTS_PER_CENTROID, 1))))


def flat_ms(count: int, width: int) -> float:
    """About how long one exact query takes."""
    return 4e3 * count * width / SCAN_BYTES_PER_S


def _named(kind: str, count: int, width: int) -> Choice:
    if kind == "flat" or not count:
        return Choice("Flat", "exact" if kind == "flat" else f"exact: there are no vectors for {kind}")
    if kind == "hnsw":
        return Choice(f"HNSW{LINKS},Flat", "as asked for")
    if kind == "ivf":
        return Choice(f"IVF{lists(count)},Flat", f"lists for {count:,} vectors: {lists(count)}")
    return _quantised(count, width)


def _quantised(count: int, width: int) -> Choice:
    bits, padded = code_bits(count), -(-width // DIMENSIONS_PER_CODE) * DIMENSIONS_PER_CODE
    if bits < LEAST_BITS:
        least = POINTS_PER_CENTROID << LEAST_BITS
        return Choice("Flat", f"exact: product quantisation needs {least:,} vectors to be trained, there are {count:,}")
    codes = padded // DIMENSIONS_PER_CODE
    pad = f"Pad{padded}," if padded != width else ""
    factory = f"{pad}IVF{lists(count)},PQ{codes}x{bits}{PLAIN}"
    return Choice(factory, f"lists for {count:,} vectors: {lists(count)}; {codes} codes of {bits} bits each")


def _automatic(count: int, width: int, limits: Limits) -> Choice:
    size, latency_ms = 4 * count * width, flat_ms(count, width)
    if size > limits.memory_bytes:
        return _because(_quantised(count, width), f"the vectors take {size / MB:,.0f} MB{_of_memory(limits)}", "ivfpq")
    if latency_ms <= limits.latency_ms:
        fits = f"{size / MB:,.3g} MB{_of_memory(limits)}, about {latency_ms:.2g} ms a query (of {limits.latency_ms:g})"
        return Choice("Flat", f"auto took flat: exact, {fits}")
    slow = f"exact search would take about {latency_ms:.3g} ms a query (of {limits.latency_ms:g})"
    ivf = _named("ivf", count, width)
    if count > HNSW_MOST:
        return _because(ivf, f"{slow}, and a graph of {count:,} vectors too long to build", "ivf")
    if size + count * LINK_BYTES > limits.memory_bytes:
        return _because(ivf, f"{slow}, and a graph is too large{_of_memory(limits)}", "ivf")
    return _because(_named("hnsw", count, width), slow, "hnsw")


def _because(choice: Choice, reason: str, kind: str) -> Choice:
    if choice.factory == "Flat":
        return Choice("Flat", f"auto took flat, although {reason}: {choice.why}")
    return Choice(choice.factory, f"auto took {kind}: {reason}")


def _of_memory(limits: Limits) -> str:
    return f" (of {limits.memory_bytes / MB:,.0f})"
