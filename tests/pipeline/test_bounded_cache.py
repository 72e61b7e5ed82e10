"""A work folder pulled without its shards: each is fetched once it is read, and few of them are here at a time."""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

import mofore as package
from mofore.cache import remote_objects, remote_shards
from mofore.cache.ledger import Ledger
from mofore.cache.lock import awaited
from mofore.cache.remote_shards import FOLDER
from mofore.cache.store import FeatureStore
from mofore.data import remote
from mofore.data.errors import StageError

from ..conftest import TINY

fsspec = pytest.importorskip("fsspec")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

Command = Callable[..., Result]
URL = "memory://bucket/runs/mine"
SHARDS = 5


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(remote, "PAUSES_S", (0.0,))
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture
def pushed(work: Path, mofore: Command) -> Path:
    """A finished folder with its 20 videos in five shards of one size, pushed."""
    assert mofore("extract", "-w", work, *TINY).exit_code == 0
    ledger = Ledger.open(work / "ledger.jsonl")
    (path,) = work.glob("features/*/*.h5")
    store = FeatureStore(path.parent)
    ids = [video.id for video in store.inspect(path).videos]
    rows = sorted(range(20), key=ids.__getitem__)  # stored as decoding ended, which a busy machine decides
    for first in range(0, 20, 20 // SHARDS):
        ledger.add_shard(store.rewrite(path, rows[first : first + 20 // SHARDS]))
    ledger.drop_shards(store.key, [path.name])
    path.unlink()
    assert mofore("run", "-w", work, "--no-report", *TINY).exit_code == 0
    assert mofore("push", URL, "-w", work).exit_code == 0
    return work


@pytest.fixture
def size(pushed: Path) -> int:
    """Bytes of the largest shard."""
    return max(path.stat().st_size for path in pushed.glob("features/*/*.h5"))


@pytest.fixture
def bounded(pushed: Path, size: int, tmp_path: Path, mofore: Command) -> Path:
    """Another machine's, which holds two shards at most."""
    folder = tmp_path / "bounded"
    pulled = mofore("pull", URL, "-w", folder, "--cache", f"{2 * size / 1000}KB")
    assert pulled.exit_code == 0, pulled.stderr
    assert "5 shards" in pulled.stderr + pulled.stdout
    shutil.copytree(pushed / "videos", folder / "videos")
    return folder


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the shards that were fetched."""
    names: list[str] = []
    real = remote_shards.fetch

    def watched(at: Any, path: Path, state: Any, **named: Any) -> None:
        names.append(path.name)
        real(at, path, state, **named)

    monkeypatch.setattr(remote_shards, "fetch", watched)
    return names


def here(folder: Path) -> int:
    """Bytes of all copies, counted while none comes or goes for room."""
    if not (folder / FOLDER).is_dir():
        return 0
    with awaited(folder / FOLDER / remote_shards.ROOM, alone=True):
        return sum(path.stat().st_size for path in (folder / FOLDER).rglob("*.h5"))


def test_what_only_looks_fetches_nothing(bounded: Path, mofore: Command, fetched: list[str]) -> None:
    assert not list(bounded.glob("features/*/*.h5"))
    status = json.loads(mofore("status", "--json", "-w", bounded, *TINY).stdout)
    assert {
        name: status["stages"][name]["action"] for name in ("extract", "fit", "evaluate", "index")
    } == dict.fromkeys(("extract", "fit", "evaluate", "index"), "skip")
    for command in (("run", "--no-report"), ("gc",), ("list",), ("verify",)):
        where = (bounded,) if command == ("list",) else ("-w", bounded)
        given = () if command in (("list",), ("verify",)) else TINY
        told = mofore(*command, *where, *given)
        assert told.exit_code == 0, told.stderr
    assert fetched == []


def test_damaged_copy_is_found_and_fetched_again(
    pushed: Path, bounded: Path, mofore: Command, fetched: list[str]
) -> None:
    run = package.open(bounded)
    first = next(iter(run.features))
    run.features[first]
    (copy,) = (bounded / FOLDER).rglob("*.h5")
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    told = mofore("verify", "-w", bounded)
    assert told.exit_code == 1
    assert "it is fetched again once it is read" in told.stdout
    assert "4 shards in memory://bucket/runs/mine alone" in told.stdout
    run.features[first]
    assert copy.read_bytes() == whole
    assert mofore("verify", "-w", bounded).exit_code == 0


def test_no_op_run_is_known_again_without_a_plan(
    bounded: Path, mofore: Command, monkeypatch: pytest.MonkeyPatch, fetched: list[str]
) -> None:
    assert mofore("run", "-w", bounded, "--no-report", *TINY).exit_code == 0
    run = package.open(bounded)
    run.features[next(iter(run.features))]
    assert len(fetched) == 1

    def no_ledger(path: Path) -> Ledger:
        raise AssertionError("a plan is made")

    monkeypatch.setattr(Ledger, "open", no_ledger)
    assert mofore("run", "-w", bounded, "--no-report", *TINY).exit_code == 0


@pytest.fixture
def most(bounded: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of all shards that are here, after each that was fetched."""
    found: list[int] = []
    real = remote_shards.fetch

    def watched(*given: Any, **named: Any) -> None:
        real(*given, **named)
        found.append(here(bounded))

    monkeypatch.setattr(remote_shards, "fetch", watched)
    return found


def test_every_row_is_read_within_the_bound(
    pushed: Path, bounded: Path, size: int, fetched: list[str], most: list[int]
) -> None:
    whole, part = package.open(pushed), package.open(bounded)
    for video_id in whole.features:
        assert np.array_equal(part.features[video_id].features, whole.features[video_id].features)
    assert sorted(fetched) == sorted(path.name for path in pushed.glob("features/*/*.h5"))  # each once, in order
    assert max(most) <= 2 * size
    assert here(bounded) > size


def test_fit_index_and_report_are_the_same_from_a_bounded_folder(
    pushed: Path, bounded: Path, size: int, mofore: Command
) -> None:
    other = (*TINY, "--set", "fit.steps=12")
    for folder in (pushed, bounded):
        told = mofore("run", "-w", folder, *other)
        assert told.exit_code == 0, told.stderr
    assert here(bounded) <= 2 * size
    models = [
        sorted(path.read_bytes() for path in folder.glob("fit/*/model.safetensors")) for folder in (pushed, bounded)
    ]
    assert models[0] == models[1]
    assert len(models[0]) == 2
    metrics = [json.loads((folder / "metrics.json").read_text())["retrieval"] for folder in (pushed, bounded)]
    assert metrics[0] == metrics[1]
    exported = [folder / "out.npy" for folder in (pushed, bounded)]
    for folder, path in zip((pushed, bounded), exported, strict=True):
        assert mofore("export", "features", path, "-w", folder, *other).exit_code == 0
    assert exported[0].read_bytes() == exported[1].read_bytes()


def test_fit_that_would_fetch_at_every_step_says_what_it_needs(bounded: Path, mofore: Command) -> None:
    with pytest.raises(StageError) as told:
        package.open(bounded, set={"fit.memory_gb": 1e-5, "fit.steps": 9}).fit()
    assert "a fit reads them in no order" in str(told.value)
    assert "mofore pull --cache" in str(told.value)
    assert "fit.memory_gb=0.1" in str(told.value)


def test_evaluation_and_index_go_through_more_than_memory_and_bound_hold(
    pushed: Path, bounded: Path, size: int, mofore: Command
) -> None:
    for folder in (pushed, bounded):
        assert mofore("fit", "-w", folder, *TINY, "--set", "fit.steps=12").exit_code == 0
        shutil.rmtree(folder / "index")
        given = (*TINY, "--set", "fit.steps=12", "--set", "fit.memory_gb=1e-5", "--set", "evaluate.pairs=50")
        told = mofore("index", "-w", folder, *given)
        assert told.exit_code == 0, told.stderr
    assert here(bounded) <= 2 * size
    found = [next(folder.glob("index/*/mofore.video/vectors.faiss")).read_bytes() for folder in (pushed, bounded)]
    assert found[0] == found[1]


def test_shards_made_here_are_never_deleted_for_room_and_pushed_with_the_others(
    pushed: Path, bounded: Path, tmp_path: Path, mofore: Command, drawn: Path
) -> None:
    new = bounded / "videos" / "Orbit" / "v_Orbit_g09_c01.avi"
    shutil.copy(next(drawn.rglob("*.avi")), new)
    assert mofore("extract", "-w", bounded, *TINY).exit_code == 0
    own = list(bounded.glob("features/*/*.h5"))
    assert len(own) == 1
    run = package.open(bounded)
    for video_id in run.features:
        run.features[video_id]
    assert list(bounded.glob("features/*/*.h5")) == own
    told = mofore("push", "-w", bounded)
    assert told.exit_code == 0, told.stderr
    third = tmp_path / "third"
    assert mofore("pull", URL, "-w", third).exit_code == 0
    assert len(list(third.glob("features/*/*.h5"))) == SHARDS + 1
    assert mofore("verify", "-w", third).exit_code == 0


def test_bound_is_changed_and_lifted_by_the_next_pull(
    pushed: Path, bounded: Path, size: int, mofore: Command, fetched: list[str]
) -> None:
    run = package.open(bounded)
    for video_id in run.features:
        run.features[video_id]
    assert mofore("pull", "-w", bounded, "--cache", f"{size / 1000}KB").exit_code == 0
    assert 0 < here(bounded) <= size
    assert mofore("pull", "-w", bounded, "--cache", "1KB").exit_code == 2
    assert mofore("pull", "-w", bounded, "--cache", "much").exit_code == 2
    assert mofore("pull", "-w", bounded, "--cache", "all").exit_code == 0
    names = sorted(path.name for path in pushed.glob("features/*/*.h5"))
    assert sorted(path.name for path in bounded.glob("features/*/*.h5")) == names
    assert here(bounded) == 0
    assert mofore("pull", "-w", bounded, "--cache", f"{3 * size / 1000}KB").exit_code == 0
    assert not list(bounded.glob("features/*/*.h5"))
    assert 2 * size < here(bounded) <= 3 * size


def test_without_the_bucket_what_is_here_works_and_the_rest_says_so(
    bounded: Path, mofore: Command, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = package.open(bounded)
    first, *_, last = run.features
    run.features[first]

    def lost(*_: Any, **__: Any) -> bytes:
        raise ConnectionResetError(104, "no route to host")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", lost)
    run.features[first]
    with pytest.raises(StageError, match=r"memory://bucket/.* cannot be fetched: no route to host.*goes on"):
        run.features[last]
    assert mofore("run", "-w", bounded, "--no-report", *TINY).exit_code == 0
    assert mofore("search", first, "-w", bounded, *TINY).exit_code == 0


def test_shard_that_is_gone_or_another_in_the_bucket_is_told_of(bounded: Path, bucket: Any) -> None:
    run = package.open(bounded)
    first, *_, last = run.features
    for name in bucket.find("/bucket/runs/mine/objects"):
        if bucket.info(name)["size"] > 10_000 and bucket.cat_file(name)[:4] == b"\x89HDF":
            bucket.pipe_file(name, bytes(bucket.info(name)["size"]))
    with pytest.raises(package.MoforeError, match="is not what was pushed"):
        run.features[first]
    for name in bucket.find("/bucket/runs/mine/objects"):
        bucket.rm_file(name)
    with pytest.raises(StageError, match=r"no longer in the bucket.*`mofore pull`"):
        run.features[last]


def test_several_readers_at_once_share_the_bound_and_get_their_rows(
    pushed: Path, bounded: Path, size: int, most: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads lock as processes do: each opens the lock files for itself."""
    monkeypatch.setattr(remote_shards, "ROOM_S", 0.005)
    whole = package.open(pushed).features
    expected = {video_id: whole[video_id].features for video_id in whole}

    def read(seed: int) -> bool:
        features = package.open(bounded).features
        ids = np.random.default_rng(seed).permutation(list(expected)).tolist()
        return all(np.array_equal(features[video_id].features, expected[video_id]) for video_id in ids)

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(read, range(4)))
    assert max(most) <= 2 * size
    assert not list((bounded / FOLDER).rglob("*.tmp"))


def test_shard_that_was_cut_off_goes_on_where_it_was(
    bounded: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_objects, "PIECE_BYTES", 4096)
    real, asked = MemoryFileSystem.cat_file, list[int]()

    def cut(self: Any, path: str, start: int | None = None, end: int | None = None, **given: Any) -> bytes:
        asked.append(start or 0)
        if len(asked) == 4:
            raise ConnectionResetError(104, "the line is cut")
        return bytes(real(self, path, start=start, end=end, **given))

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cut)
    monkeypatch.setattr(remote, "PAUSES_S", ())
    run = package.open(bounded)
    first = next(iter(run.features))
    with pytest.raises(StageError, match="the line is cut"):
        run.features[first]
    asked[:] = [0] * 5
    run.features[first]
    assert asked[5] == 3 * 4096
