"""An index that two processes make is the one that one would."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed import HashStore

from mofore.cache.checkpoint import load_arrays
from mofore.cache.store import FrameTable
from mofore.data.errors import StageError
from mofore.data.fit_settings import FitSettings
from mofore.data.index_settings import IndexSettings
from mofore.data.progress import Silent
from mofore.data.types import Split, Video
from mofore.stages.distributed.launch import Alone, Spawned, Team
from mofore.stages.distributed.order import FAILED
from mofore.stages.distributed.process_group import ProcessGroup, ProcessLost
from mofore.stages.distributed.tasks import Tasks
from mofore.stages.fit import stage as fit
from mofore.stages.index import sharing
from mofore.stages.index import stage as index
from mofore.stages.vectors.faiss_library import faiss
from mofore.stages.vectors.on_disk import LISTS
from mofore.tests.stages.memory import Listening, stored, table

WIDTH = 2048  # wide features and clips of many frames: few are embedded together
FIT = FitSettings(
    steps=2, batch_size=4, unit="seconds", clip_length=256, clip_stride=1e-3, gap_max=0.2, embedding_width=16,
    hidden_width=16, precision="fp32",
)  # fmt: skip
SETTINGS = IndexSettings(
    spaces="mofore, frames", kind="IVF4,Flat", part_mb=1, levels="video, clip", views=3, device="cpu"
)
TABLE = table([24] * 20, WIDTH)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared index")
    fit.run(FIT, TABLE, folder / "fit", progress=Silent())
    return folder


def inputs(fitted: Path, frames: FrameTable, team: Team) -> index.IndexInputs:
    videos = tuple(Video(name, "a", name, 1, 1) for name in TABLE.ids)
    split = Split("all", frozenset(TABLE.ids[::2]), frozenset(TABLE.ids[1::2]))
    return index.IndexInputs(
        videos, TABLE.ids, WIDTH, lambda: frames, split, fitted / "fit", {"store": "key"}, team=team
    )


def made(fitted: Path, folder: Path, team: Team, settings: IndexSettings = SETTINGS) -> dict[str, bytes]:
    """What is in each index, by its name: embeddings, and lists."""
    store, places = stored(folder, TABLE)
    listening = Listening()
    index.run(settings, inputs(fitted, store.attach(places), team), folder / "index", progress=listening)
    assert any("shared by 2 processes" in note for note in listening.notes) == (team.size == 2)
    assert not list(folder.rglob(".*.tmp")), "nothing is left of what was passed on"
    return {
        str(path.relative_to(folder / "index")): path.read_bytes()
        for path in (folder / "index").rglob("*")
        if path.name in ("embeddings.safetensors", LISTS)
    }


def test_two_processes_make_the_index_of_one(fitted: Path, tmp_path: Path) -> None:
    alone = made(fitted, tmp_path / "alone", Alone())
    shared = made(fitted, tmp_path / "shared", Spawned(2, torch.device("cpu")))
    assert sorted(alone) == sorted(shared)
    assert len(alone) == 8  # embeddings and lists, two spaces, two levels
    assert [name for name in alone if alone[name] != shared[name]] == []
    clips = load_arrays(tmp_path / "shared/index/mofore.clip/embeddings.safetensors", ["embeddings_NE"])
    count = len(clips["embeddings_NE"])
    space = index.open_space("mofore", SETTINGS, fitted / "fit", "key")
    rows = sharing.shares(count, space.clips_at_once(WIDTH), 2)
    assert all(share.stop > share.start for share in rows), "both had clips to embed"
    said = json.loads((tmp_path / "shared/index/mofore.clip/index.json").read_text())["why"]
    assert "made in 2 parts, merged on disk" in said


def test_an_index_in_memory_is_filled_by_the_first_one(fitted: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, kind="flat", part_mb=0, spaces="mofore", levels="clip")
    alone = made(fitted, tmp_path / "alone", Alone(), settings)
    assert made(fitted, tmp_path / "shared", Spawned(2, torch.device("cpu")), settings) == alone


def test_a_process_that_does_not_see_the_features_says_so(fitted: Path, tmp_path: Path) -> None:
    store, places = stored(tmp_path, TABLE)
    job = sharing.IndexJob(SETTINGS, store.attach(places), fitted / "fit", "key")
    for path in (tmp_path / "store").glob("*.h5"):
        path.unlink()
    store_of_team = HashStore()
    crew = sharing.Crew(job, ProcessGroup(0, 2, store=store_of_team))
    way_out = r"\.h5' is not there: .* without torchrun `mofore index` makes the index on one machine"
    with ThreadPoolExecutor(1) as executor:
        helping = executor.submit(_fail_openly, job, store_of_team)
        with pytest.raises(StageError, match=r"\.h5' is not there"):  # this process sees no more
            crew.meet(tmp_path / "index")
        with pytest.raises(StageError, match=way_out):
            helping.result(timeout=30)


@pytest.mark.parametrize(
    ("mark", "version", "message"),
    [
        (
            "elsewhere/mark",
            faiss().__version__,
            r"elsewhere' is not the folder that the first process writes into; wit",
        ),
        ("mark", "1.0.0", r"faiss .* is installed here, and 1\.0\.0 where the first process is: install the same"),
    ],
)
def test_a_process_that_differs_is_refused_before_anything_is_embedded(
    fitted: Path, tmp_path: Path, mark: str, version: str, message: str
) -> None:
    store, places = stored(tmp_path, TABLE)
    job, team = sharing.IndexJob(SETTINGS, store.attach(places), fitted / "fit", "key"), HashStore()
    (tmp_path / "mark").touch()
    with ThreadPoolExecutor(1) as executor:
        helping = executor.submit(sharing.assist, job, ProcessGroup(1, 2, store=team))
        Tasks(ProcessGroup(0, 1, store=team)).all_do(
            sharing.Begin(tmp_path / mark, version), lambda: None, lambda: None
        )
        with pytest.raises(StageError, match=message):
            helping.result(timeout=30)


def test_the_first_process_stops_at_its_share_when_another_one_fails(fitted: Path, tmp_path: Path) -> None:
    store, places = stored(tmp_path, TABLE)
    job, team = sharing.IndexJob(SETTINGS, store.attach(places), fitted / "fit", "key"), HashStore()
    crew = sharing.Crew(job, ProcessGroup(0, 2, store=team))
    team.set(FAILED, "the disk of the second is full")
    with pytest.raises(ProcessLost):
        crew.embedded(index.open_space("mofore", SETTINGS, fitted / "fit", "key"), "clip", tmp_path / "index")
    assert not list((tmp_path / "index").iterdir())


def _fail_openly(job: sharing.IndexJob, store: HashStore) -> None:
    """As :func:`...order.do_order` has it."""
    try:
        sharing.assist(job, ProcessGroup(1, 2, store=store))
    except StageError as error:
        store.set(FAILED, str(error))
        raise


def test_what_is_known_starts_nobody(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, places = stored(tmp_path, TABLE)
    settings = replace(SETTINGS, kind="flat", part_mb=0)
    index.run(settings, inputs(fitted, store.attach(places), Alone()), tmp_path / "index", progress=Silent())
    monkeypatch.setattr(Spawned, "at_work", lambda *_, **__: pytest.fail("started"))
    again = replace(inputs(fitted, TABLE, Spawned(2, torch.device("cpu"))), previous=tmp_path / "index")
    index.run(settings, again, tmp_path / "again", progress=Silent())
    for path in (tmp_path / "index").rglob("embeddings.safetensors"):
        assert (tmp_path / "again" / path.relative_to(tmp_path / "index")).read_bytes() == path.read_bytes()


@given(count=st.integers(0, 1000), at_once=st.integers(1, 200), size=st.integers(1, 9))
def test_shares_are_whole_blocks_in_order(count: int, at_once: int, size: int) -> None:
    shares = sharing.shares(count, at_once, size)
    assert len(shares) == size
    assert np.concatenate([np.arange(count)[share] for share in shares]).tolist() == [*range(count)]
    assert all(one.stop == other.start for one, other in pairwise(shares))
    assert all(share.stop % at_once == 0 or share.stop == count for share in shares)
    assert shares[0].stop > 0 or not count
    blocks = [-(-(share.stop - share.start) // at_once) for share in shares]
    assert max(blocks) - min(blocks) <= 1
