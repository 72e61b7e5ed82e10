import pytest

from mofore.stages.vectors.kinds import Limits, choose, code_bits, lists

ROOM = Limits(memory_bytes=12e9, latency_ms=10.0)


@pytest.mark.parametrize(
    ("kind", "count", "width", "factory"),
    [
        ("flat", 0, 512, "Flat"),
        ("flat", 10**7, 512, "Flat"),
        ("ivf", 0, 512, "Flat"),
        ("ivf", 1, 512, "IVF1,Flat"),
        ("ivf", 13_320, 512, "IVF256,Flat"),
        ("ivf", 10**7, 256, "IVF8192,Flat"),
        ("hnsw", 0, 512, "Flat"),
        ("hnsw", 13_320, 512, "HNSW32,Flat"),
        ("ivfpq", 623, 512, "Flat"),
        ("ivfpq", 624, 512, "IVF16,PQ64x4np"),
        ("ivfpq", 13_320, 512, "IVF256,PQ64x8np"),
        ("ivfpq", 13_320, 500, "Pad504,IVF256,PQ63x8np"),
        ("ivfpq", 13_320, 8, "IVF256,PQ1x8np"),
        ("OPQ16,IVF64,PQ16", 10, 512, "OPQ16,IVF64,PQ16"),
    ],
)
def test_a_kind_is_a_factory_string(kind: str, count: int, width: int, factory: str) -> None:
    assert choose(kind, count, width, ROOM).factory == factory


@pytest.mark.parametrize(
    ("count", "limits", "factory", "why"),
    [
        (13_320, ROOM, "Flat", "auto took flat: exact, 27.3 MB (of 12,000), about 2.7 ms a query (of 10)"),
        (100_000, ROOM, "HNSW32,Flat", "auto took hnsw: exact search would take about 20.5 ms a query (of 10)"),
        (100_000, Limits(220e6, 10.0), "IVF1024,Flat", "and a graph is too large (of 220)"),
        (10**6, ROOM, "IVF2048,Flat", "and a graph of 1,000,000 vectors too long to build"),
        (10**7, ROOM, "IVF8192,PQ64x8np", "auto took ivfpq: the vectors take 20,480 MB (of 12,000)"),
        (500, Limits(1e5, 10.0), "Flat", "auto took flat, although the vectors take 1 MB (of 0): exact: product"),
        (0, ROOM, "Flat", "auto took flat: exact"),
    ],
)
def test_auto_chooses_by_size_memory_and_latency_and_says_why(
    count: int, limits: Limits, factory: str, why: str
) -> None:
    choice = choose("auto", count, 512, limits)
    assert choice.factory == factory
    assert why in choice.why
    assert "\n" not in choice.why


def test_every_list_has_vectors_to_be_trained_on() -> None:
    for count in (1, 38, 39, 100, 5_000, 10**6):
        assert lists(count) == 1 or 39 * lists(count) <= count
        assert 39 * 2 ** code_bits(count) <= max(count, 39)
