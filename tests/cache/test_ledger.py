import errno
import json
from pathlib import Path

import pytest

from mofore.cache.ledger import PARTS, Ledger, ShardRecord, StageRecord, StoredVideo
from mofore.data.errors import StageError, StoreError
from mofore.data.types import Failure, FileState

STATE = FileState(3, 4, "ab")


def shard(name: str, *videos: str) -> ShardRecord:
    return ShardRecord("enc", name, 10, 20, tuple(StoredVideo(video, STATE, 7, "dd") for video in videos))


def stage(fingerprint: str) -> StageRecord:
    return StageRecord("fit", fingerprint, 1, {"lr": 0.1}, "up", {"fit/x/model": STATE}, 1.5)


def test_what_was_added_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path)
    ledger.add_shard(shard("a.h5", "x/1.avi", "caf\udce9.avi"))
    ledger.add_failure("enc", Failure("bad.avi", STATE, "no video stream"))
    ledger.add_files({"file:/w": STATE})
    ledger.add_stage(stage("f1"))
    again = Ledger.open(path)
    assert (again.shards, again.failures, again.files, again.stages) == (
        ledger.shards, ledger.failures, ledger.files, ledger.stages,
    )  # fmt: skip
    assert again.find("fit", "f1") == stage("f1")


def test_a_torn_last_line_is_passed_over_and_cut_off_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path)
    ledger.add_shard(shard("a.h5", "1"))
    whole = path.read_bytes()
    ledger.add_shard(shard("b.h5", "2"))
    full = path.read_bytes()
    for end in range(len(whole), len(full)):
        path.write_bytes(full[:end])
        torn = Ledger.open(path)
        assert set(torn.shards["enc"]) == {"a.h5"}
        torn.add_shard(shard("c.h5", "3"))
        assert set(Ledger.open(path).shards["enc"]) == {"a.h5", "c.h5"}


def test_a_journal_torn_in_its_first_line_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"kind":"led')
    ledger = Ledger.open(path)
    ledger.add_shard(shard("a.h5", "1"))
    assert set(Ledger.open(path).shards["enc"]) == {"a.h5"}


def test_damage_elsewhere_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger.open(path).add_shard(shard("a.h5", "1"))
    path.write_bytes(b"garbage\n" + path.read_bytes())
    with pytest.raises(StoreError, match="damaged in line 1"):
        Ledger.open(path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"kind":"ledger","version":99}\n')
    with pytest.raises(StoreError, match="version 99"):
        Ledger.open(path)


def test_the_latest_stage_is_the_one_added_last(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    for fingerprint in ("f1", "f2", "f1"):
        ledger.add_stage(stage(fingerprint))
    latest = ledger.latest("fit")
    assert latest is not None
    assert latest.fingerprint == "f1"
    assert len(ledger.stages["fit"]) == 2


def test_a_video_that_is_stored_at_last_has_no_failure(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    ledger.add_failure("enc", Failure("1", STATE, "damaged"))
    ledger.add_shard(shard("a.h5", "1"))
    assert ledger.failures["enc"] == {}


def test_compaction_keeps_what_counts(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path)
    for number in range(200):
        ledger.add_shard(shard(f"{number}.h5", str(number)))
        ledger.drop_shards("enc", [f"{number}.h5"])
    ledger.add_stage(stage("f1"))
    ledger.compact()
    assert len(path.read_bytes().splitlines()) == 2
    assert Ledger.open(path).latest("fit") == stage("f1")


def test_a_forgotten_stage_stays_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path)
    for fingerprint in ("f1", "f2"):
        ledger.add_stage(stage(fingerprint))
    ledger.drop_stage(stage("f2"))
    for again in (ledger, Ledger.open(path)):
        assert again.find("fit", "f2") is None
        assert again.latest("fit") == stage("f1")
    ledger.lines = 1000
    ledger.compact()
    assert Ledger.open(path).stages == {"fit": {"f1": stage("f1")}}


def test_an_older_journal_is_read_and_says_its_version_before_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path)
    ledger.add_stage(stage("f1"))
    path.write_bytes(path.read_bytes().replace(b'"version":2}', b'"version":1}', 1))
    older = Ledger.open(path)
    assert older.version == 1
    older.add_stage(stage("f2"))
    assert Ledger.open(path).version == 1, "what an older mofore can read stays readable"
    older.drop_stage(stage("f1"))
    older.drop_stage(stage("f2"))
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["kind"] for line in lines] == ["ledger", "stage", "stage", "ledger", "forget", "forget"]
    assert Ledger.open(path).version == 2


def test_a_distrusted_output_keeps_its_content_and_the_order_of_the_stages(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path)
    for fingerprint in ("f1", "f2"):
        ledger.add_stage(stage(fingerprint))
    ledger.distrust(stage("f1"), ["fit/x/model"])
    for again in (ledger, Ledger.open(path)):
        assert again.latest("fit") == stage("f2")
        found = again.find("fit", "f1")
        assert found is not None
        state = found.outputs["fit/x/model"]
        assert (state.sha256, state.looks_like(STATE.size, STATE.mtime_ns)) == (STATE.sha256, False)


def part(folder: Path, name: str) -> Ledger:
    """The ledger as a part of an extraction has it."""
    (folder / PARTS).mkdir(exist_ok=True)
    ledger = Ledger.open(folder / "ledger.jsonl")
    ledger.path = folder / PARTS / f"{name}.jsonl"
    return ledger


def test_what_parts_say_is_known_at_once_and_said_in_the_ledger_when_it_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger.open(path).add_failure("enc", Failure("1", STATE, "no video stream"))
    before = path.read_bytes()
    part(tmp_path, "1-of-2").add_shard(shard("a.h5", "1"))
    part(tmp_path, "2-of-2").add_failure("enc", Failure("2", STATE, "torn"))
    (tmp_path / PARTS / "1-of-2.lock").touch()
    assert path.read_bytes() == before, "nobody but the holder of the lock writes there"
    ledger = Ledger.open(path)
    assert (ledger.parts, set(ledger.shards["enc"]), set(ledger.failures["enc"])) == (2, {"a.h5"}, {"2"})
    ledger.take_up_parts()
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.jsonl"]
    again = Ledger.open(path)
    assert (again.parts, again.shards, again.failures) == (0, ledger.shards, ledger.failures)


def test_lines_of_parts_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    ledger = part(tmp_path, "1-of-2")
    ledger.add_shard(shard("a.h5", "1"))
    with ledger.path.open("ab") as handle:
        handle.write(b"\0\0\0\0\n" + b'{"kind":"shard"}\n' + b'{"kind":"stage"}\n' + b"[1]\n")
    ledger.add_shard(shard("b.h5", "2"))
    with ledger.path.open("ab") as handle:
        handle.write(b'{"kind":"sha')
    again = Ledger.open(tmp_path / "ledger.jsonl")
    assert set(again.shards["enc"]) == {"a.h5", "b.h5"}
    again.take_up_parts()
    assert set(Ledger.open(tmp_path / "ledger.jsonl").shards["enc"]) == {"a.h5", "b.h5"}


def test_lines_of_another_process_stop_who_did_not_write_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger.open(path).add_shard(shard("a.h5", "1"))
    first, second = Ledger.open(path), Ledger.open(path)
    first.add_shard(shard("b.h5", "2"))
    with pytest.raises(StageError, match="was changed by another process"):
        second.add_shard(shard("c.h5", "3"))
    first.add_shard(shard("d.h5", "4"))
    assert set(Ledger.open(path).shards["enc"]) == {"a.h5", "b.h5", "d.h5"}


def test_a_journal_on_a_lost_disk_is_not_taken_for_a_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger.open(tmp_path / "ledger.jsonl").add_shard(shard("a.h5", "1"))

    def lost(path: Path) -> bytes:
        raise OSError(errno.ESTALE, "Stale file handle", str(path))

    monkeypatch.setattr(Path, "read_bytes", lost)
    monkeypatch.setattr(Path, "exists", lambda _path: False)  # as newer Pythons answer
    with pytest.raises(OSError, match="Stale file handle"):
        Ledger.open(tmp_path / "ledger.jsonl")


def test_a_video_that_was_out_of_reach_is_not_recorded(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    ledger.add_failure("enc", Failure("a.avi", STATE, "cannot be read: Input/output error", passing=True))
    assert not ledger.failures
    assert not ledger.path.exists()
