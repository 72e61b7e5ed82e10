"""Damage of every kind is found and named, and the next run makes anew what is lost and nothing else."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import Result

from mofore.cache.ledger import Ledger
from mofore.cache.lock import exclusive
from mofore.data.errors import StoreError
from mofore.data.progress import Silent
from mofore.pipeline.commands.verify import verify
from mofore.pipeline.workspace import Workspace

Command = Callable[..., Result]


def shard_of(work: Path) -> Path:
    (shard,) = work.glob("features/*/*.h5")
    return shard


def features(work: Path) -> dict[str, tuple[bytes, bytes]]:
    """Every video's features and times, as they lie in the sound shards."""
    found = {}
    for path in work.glob("features/*/*.h5"):
        with h5py.File(path) as file:
            for row, name in enumerate(file["video_id"].asstr()[:]):
                rows = slice(*file["offsets"][row : row + 2])
                found[name] = (file["features"][rows].tobytes(), file["times_s"][rows].tobytes())
    return found


def flip(path: Path, at: int) -> None:
    """Change one byte, and neither the size nor the time of the file."""
    state, content = path.stat(), bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def place(shard: Path, table: str, row: int) -> tuple[int, str]:
    """Where in the file a video's frames begin, and the video."""
    with h5py.File(shard) as file:
        first, video = int(file["offsets"][row]), file["video_id"].asstr()[row]
        width = file[table].dtype.itemsize * int(np.prod(file[table].shape[1:]))
        return file[table].id.get_offset() + first * width, video


def check(mofore: Command, work: Path) -> dict[str, object]:
    result = mofore("verify", "--json", "-w", work)
    findings: dict[str, object] = json.loads(result.stdout)
    assert result.exit_code == (0 if findings["sound"] else 1)
    return findings


def damage(mofore: Command, work: Path) -> list[dict[str, object]]:
    return check(mofore, work)["damage"]  # type: ignore[return-value]


def test_a_sound_folder_is_said_to_be_and_nothing_changes(mofore: Command, work: Path) -> None:
    before = {p: p.read_bytes() for p in work.rglob("*") if p.is_file() and p.name != ".mofore.lock"}
    result = mofore("verify", "-w", work)
    assert result.exit_code == 0
    assert result.stdout == "all sound: 1 shard with 20 sound videos, 26 outputs\n"
    assert check(mofore, work)["next"] is None
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.parametrize("table", ["features", "times_s"])
def test_a_flipped_byte_costs_its_video_alone(mofore: Command, work: Path, finished: Path, table: str) -> None:
    shard = shard_of(work)
    at, video = place(shard, table, 7)
    flip(shard, at + 3)
    (found,) = damage(mofore, work)
    assert (found["videos"], found["kept"]) == ([video], 19)
    assert found["path"] == shard.relative_to(work).as_posix()
    assert shard.with_name(f"{shard.name}.damaged").exists()
    assert len(features(work)) == 19
    result = mofore("run", "-w", work)
    assert "done       1 video, 24 frames" in result.stderr
    assert result.stderr.count("up to date") == 4, "the features are the same: nothing below runs"
    assert features(work) == features(finished)
    assert check(mofore, work)["sound"]


def test_a_zeroed_range_costs_the_videos_in_it(mofore: Command, work: Path, finished: Path) -> None:
    shard = shard_of(work)
    begin, end = place(shard, "features", 4)[0] + 2, place(shard, "features", 6)[0] + 2
    with shard.open("r+b") as file:
        file.seek(begin)
        file.write(bytes(end - begin))
    lost = [place(shard, "features", row)[1] for row in (4, 5, 6)]
    assert damage(mofore, work)[0]["videos"] == lost
    assert "done       3 videos, 72 frames" in mofore("run", "-w", work).stderr
    assert features(work) == features(finished)


def test_a_truncated_shard_is_redone_as_a_whole(mofore: Command, work: Path, finished: Path) -> None:
    os.truncate(shard_of(work), 5000)
    (found,) = damage(mofore, work)
    assert (len(found["videos"]), found["kept"]) == (20, 0)  # type: ignore[arg-type]
    assert "done       20 videos" in mofore("run", "-w", work).stderr
    assert features(work) == features(finished)


def test_a_shard_over_which_hdf5_never_ends_is_given_up(
    mofore: Command, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mofore.cache.probe.probe.__defaults__", (1.0,))
    shard = shard_of(work)
    at = shard.read_bytes().index(b"GCOL") + 16
    with shard.open("r+b") as file:  # a heap of strings: its first object now is free space of size 0
        file.seek(at)
        file.write(bytes(64))
    (found,) = damage(mofore, work)
    assert "HDF5" in str(found["complaint"])
    assert len(found["videos"]) == 20  # type: ignore[arg-type]


def test_a_shard_that_is_gone_is_named_once(mofore: Command, work: Path) -> None:
    shard_of(work).unlink()
    (found,) = damage(mofore, work)
    assert (found["complaint"], len(found["videos"])) == ("the shard is gone", 20)  # type: ignore[arg-type]
    assert check(mofore, work)["sound"]
    assert json.loads(mofore("status", "--json", "-w", work).stdout)["stages"]["extract"]["todo"] == 20


def test_garbage_among_the_shards_is_put_aside(mofore: Command, work: Path) -> None:
    garbage = shard_of(work).with_name("garbage.h5")
    garbage.write_bytes(os.urandom(3000))
    (found,) = damage(mofore, work)
    assert str(found["path"]).endswith("garbage.h5")
    assert not garbage.exists()
    assert mofore("run", "-w", work).stderr.count("up to date") == 5


def test_a_model_with_a_flipped_bit_is_made_again(mofore: Command, work: Path, finished: Path) -> None:
    (model,) = work.glob("fit/*/model.safetensors")
    flip(model, model.stat().st_size // 2)
    assert mofore("run", "-w", work).stderr.count("up to date") == 5, "size and time are trusted"
    (found,) = damage(mofore, work)
    assert found["path"] == model.relative_to(work).as_posix()
    ledger = Ledger.open(work / "ledger.jsonl")
    ledger.lines = 10_000
    ledger.compact()
    status = json.loads(mofore("status", "--json", "-w", work).stdout)["stages"]
    assert status["fit"]["reasons"] == [f"output missing or changed: {found['path']}"]
    assert mofore("run", "-w", work).exit_code == 0
    assert model.read_bytes() == (finished / str(found["path"])).read_bytes()
    assert check(mofore, work)["sound"]


def test_a_good_copy_put_back_is_accepted(mofore: Command, work: Path) -> None:
    (path,) = work.glob("index/*/mofore.video/embeddings.safetensors")
    content = path.read_bytes()
    flip(path, 2000)
    assert mofore("verify", "-w", work).exit_code == 1
    path.write_bytes(content)
    assert check(mofore, work)["sound"]
    assert mofore("run", "-w", work).stderr.count("up to date") == 5


def test_outputs_that_were_deleted_on_purpose_are_named_once(mofore: Command, work: Path) -> None:
    assert mofore("index", "-w", work, "--set", "index.views=2").exit_code == 0
    before = {path.name for path in (work / "index").iterdir()}
    newest = Ledger.open(work / "ledger.jsonl").latest("index")
    assert newest is not None
    for name in newest.outputs:
        (work / name).unlink()
    assert len(damage(mofore, work)) == len(newest.outputs)
    assert check(mofore, work)["sound"]
    assert len(before) == 2


@pytest.mark.parametrize("content", [None, b"{", b"{}"])
def test_the_encoder_is_put_back_from_the_shards(mofore: Command, work: Path, content: bytes | None) -> None:
    (path,) = work.glob("features/*/encoder.json")
    before = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    (found,) = damage(mofore, work)
    assert str(found["complaint"]).endswith("put back from the shards")
    assert json.loads(path.read_text()) == json.loads(before)
    assert check(mofore, work)["sound"]


def test_what_to_run_next_is_said(mofore: Command, work: Path) -> None:
    os.truncate(shard_of(work), 5000)
    result = mofore("verify", "-w", work)
    assert result.exit_code == 1
    assert f"mofore run -w {work}" in result.stdout
    assert "20 videos to redo: " in result.stdout


def test_verification_waits_for_no_run(mofore: Command, work: Path) -> None:
    with exclusive(work / ".mofore.lock"):
        assert mofore("verify", "-w", work).exit_code == 2


def test_a_verification_killed_after_any_step_goes_on_to_the_same_end(
    mofore: Command, work: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = shard_of(work)
    flip(shard, place(shard, "features", 7)[0] + 3)

    def killed(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    steps = ("store.FeatureStore.rewrite", "ledger.Ledger.add_shard", "ledger.Ledger.drop_shards")
    for step in steps:
        with monkeypatch.context() as patch:
            patch.setattr(f"mofore.cache.{step}", killed)
            with pytest.raises(KeyboardInterrupt):
                verify(Workspace(work), Silent())
        assert Ledger.open(work / "ledger.jsonl").lines, "the journal is whole"
    mofore("verify", "-w", work)
    assert "done       1 video, 24 frames" in mofore("run", "-w", work).stderr
    assert features(work) == features(finished)
    assert mofore("verify", "-w", work).exit_code == 0


def test_damage_is_not_merged_into_a_sound_shard(mofore: Command, work: Path) -> None:
    shard = shard_of(work)
    flip(shard, place(shard, "features", 7)[0] + 3)
    (work / "videos/Bounce/v_Bounce_g01_c02.avi").write_bytes(
        (work / "videos/Bounce/v_Bounce_g01_c01.avi").read_bytes()
    )
    result = mofore("extract", "-w", work)
    assert result.exit_code == StoreError.exit_code
    assert "see `mofore verify`" in result.stderr
