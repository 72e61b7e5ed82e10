import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from mofore.cache.ledger import Ledger
from mofore.cache.shard import VideoFeatures
from mofore.cache.store import FeatureStore
from mofore.data.catalog import scan
from mofore.data.decode import decode
from mofore.data.errors import StageError, TooManyFailures, UsageError
from mofore.data.motion import write_video
from mofore.data.pictures import rgb
from mofore.data.progress import Silent
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone import openvino_engine
from mofore.stages.backbone.encoder import load_encoder
from mofore.stages.backbone.network import ComputeMode
from mofore.stages.decode.source import read_video
from mofore.stages.decode.worker import Reader
from mofore.stages.extract import stage as extract
from mofore.stages.extract.one_device import check_engine, pinned_mode
from mofore.tests.stages.faulty_readers import misbehaving

SETTINGS = ExtractSettings(backbone="random:test_efficientnet", precision="fp32", batch_size=16)


class Job:
    """Extract the videos of a folder into a store of its own."""

    def __init__(self, videos: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.catalog = scan(videos)
        self.store = FeatureStore(folder / "enc")
        self.ledger = Ledger.open(folder / "ledger.jsonl")

    def run(
        self,
        settings: ExtractSettings = SETTINGS,
        progress: Silent | None = None,
        reverse: bool = False,
        superseded: tuple[str, ...] = (),
        read: Reader = read_video,
    ) -> extract.ExtractResult:
        videos = self.catalog.videos[::-1] if reverse else self.catalog.videos
        inputs = extract.ExtractInputs(self.catalog.root, videos, None, superseded)
        progress = progress or Silent()
        return extract.run(settings, inputs, store=self.store, ledger=self.ledger, progress=progress, read=read)

    def features(self) -> dict[str, np.ndarray]:
        found = {}
        for path in self.store.shard_files():
            with h5py.File(path) as file:
                offsets = file["offsets"][:]
                for row, name in enumerate(file["video_id"].asstr()[:]):
                    found[name] = file["features"][offsets[row] : offsets[row + 1]]
        return found


@pytest.fixture(scope="module")
def whole(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = Job(drawn, tmp_path_factory.mktemp("whole"))
    job.run()
    return job


def test_every_decoded_frame_has_its_feature_and_time(whole: Job, drawn: Path) -> None:
    features = whole.features()
    assert set(features) == {video.id for video in whole.catalog.videos}
    name = whole.catalog.videos[3].id
    frames = list(decode(drawn / name))
    encoder = load_encoder(SETTINGS, None, torch.device("cpu"))
    pictures = torch.from_numpy(np.stack([rgb(frame) for frame, _ in frames]))
    expected = encoder.encode(encoder.preprocess(pictures)).numpy()
    assert features[name].shape == expected.shape
    assert np.allclose(features[name], expected, atol=2e-3)  # half precision of values around one
    with h5py.File(whole.store.shard_files()[0]) as file:
        row = list(file["video_id"].asstr()[:]).index(name)
        begin, end = file["offsets"][row : row + 2]
        assert np.allclose(file["times_s"][begin:end], [time_s for _, time_s in frames])


def test_features_do_not_depend_on_the_order_of_videos(whole: Job, drawn: Path, tmp_path: Path) -> None:
    job = Job(drawn, tmp_path)
    job.run(reverse=True)
    features, expected = job.features(), whole.features()
    assert all(np.array_equal(features[name], expected[name]) for name in expected)


def test_shards_are_merged_at_the_end(drawn: Path, tmp_path: Path) -> None:
    job = Job(drawn, tmp_path)
    job.run(ExtractSettings(backbone=SETTINGS.backbone, precision="fp32", shard_seconds=0.0))
    assert len(job.store.shard_files()) == 1
    assert len(job.ledger.shards["enc"]) == 1
    assert sum(len(record.videos) for record in job.ledger.shards["enc"].values()) == 20


def test_a_forced_run_leaves_the_new_features_alone(whole: Job, drawn: Path, tmp_path: Path) -> None:
    job = Job(drawn, tmp_path)
    job.run()
    (record,) = job.ledger.shards["enc"].values()
    zeros = [
        VideoFeatures(v.id, v.source, np.zeros((v.frames, 256), np.float16), np.arange(v.frames) / 25)
        for v in record.videos
    ]
    old = [job.store.publish(zeros[:10], {}), job.store.publish(zeros[10:], {})]
    job.ledger.drop_shards("enc", [record.name])
    job.store.delete([record.name])
    for stale in old:
        job.ledger.add_shard(stale)
    job.run(superseded=tuple(stale.name for stale in old))
    features, expected = job.features(), whole.features()
    assert len(job.store.shard_files()) == 1
    assert all(np.array_equal(features[name], expected[name]) for name in expected)


class Watched(Silent):
    """Remembers how many frames were encoded."""

    frames = 0

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
        self.frames = int(figures["rows"])


class StopsAfterFrames(Watched):
    """Ctrl-C once so many frames are encoded."""

    def __init__(self, frames: int) -> None:
        self.most = frames

    def pulse(self) -> None:
        if self.frames >= self.most:
            raise KeyboardInterrupt


class StopsAfter(Silent):
    """Ctrl-C once so many videos are done."""

    def __init__(self, videos: int) -> None:
        self.left = videos

    def advance(self, done: int, share: float | None = None, **figures: float | str) -> None:
        before, self.left = self.left, self.left - done
        if before > 0 >= self.left:  # once: a second time would mean at once
            raise KeyboardInterrupt


def test_an_interrupt_keeps_every_finished_video(drawn: Path, tmp_path: Path) -> None:
    job = Job(drawn, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        job.run(progress=StopsAfter(7))
    assert len(job.features()) == 7


def test_bad_files_are_recorded_with_a_reason_and_stop_nothing(videos: Path, tmp_path: Path) -> None:
    (videos / "Bounce" / "v_Bounce_g09_c01.avi").write_text("no video at all")
    (videos / "Orbit" / "v_Orbit_g09_c01.avi").touch()
    job = Job(videos, tmp_path / "work")
    result = job.run()
    assert result.videos == 20
    reasons = {failure.video_id: failure.reason for failure in result.failures}
    assert set(reasons) == {"Bounce/v_Bounce_g09_c01.avi", "Orbit/v_Orbit_g09_c01.avi"}
    assert all("not a readable video" in reason for reason in reasons.values())
    assert set(job.ledger.failures["enc"]) == set(reasons)


def test_a_video_that_breaks_off_is_not_stored_although_frames_of_it_were_encoded(videos: Path, tmp_path: Path) -> None:
    victim = "Bounce/breaks.avi"
    shutil.copy(videos / "Bounce/v_Bounce_g01_c01.avi", videos / victim)
    job = Job(videos, tmp_path / "work")
    result = job.run(read=misbehaving)
    assert {failure.video_id: failure.reason for failure in result.failures} == {victim: "damaged: made up"}
    assert set(job.features()) == {video.id for video in job.catalog.videos} - {victim}


def test_a_decoder_that_crashes_is_a_failure_of_that_video(videos: Path, tmp_path: Path) -> None:
    for name in ("crash", "crash_once"):
        shutil.copy(videos / "Bounce/v_Bounce_g01_c01.avi", videos / f"Bounce/{name}.avi")
    job = Job(videos, tmp_path / "work")
    result = job.run(read=misbehaving)
    assert [(f.video_id, f.reason) for f in result.failures] == [("Bounce/crash.avi", "the decoder crashed (SIGSEGV)")]
    features = job.features()
    assert len(features) == 21
    assert np.array_equal(features["Bounce/crash_once.avi"], features["Bounce/v_Bounce_g01_c01.avi"])


def test_features_do_not_depend_on_the_number_of_workers(whole: Job, drawn: Path, tmp_path: Path) -> None:
    job = Job(drawn, tmp_path)
    job.run(replace(SETTINGS, decoders=5))
    features, expected = job.features(), whole.features()
    assert all(np.array_equal(features[name], expected[name]) for name in expected)


def test_a_long_video_goes_on_where_it_was_interrupted(drawn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    pictures = [rgb(frame) for video in scan(drawn).videos for frame, _ in decode(drawn / video.id)]
    write_video(folder / "film.avi", np.stack(pictures))
    hurried = replace(SETTINGS, shard_seconds=0.0)
    whole, cut = Job(folder, tmp_path / "whole"), Job(folder, tmp_path / "cut")
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        cut.run(hurried, StopsAfterFrames(200))
    (rows,) = cut.store.partial_folder.glob("*.rows")
    kept = rows.stat().st_size // (8 + 2 * 256)
    assert 200 <= kept < 480
    watched = Watched()
    cut.run(hurried, watched)
    assert watched.frames == 480 - kept, "the first frames are not encoded again"
    assert np.array_equal(cut.features()["film.avi"], whole.features()["film.avi"])
    assert not cut.store.partial_folder.exists()


def test_a_forced_run_replaces_shards_although_some_other_video_cannot_be_read(videos: Path, tmp_path: Path) -> None:
    (videos / "broken.avi").write_text("no video")
    job = Job(videos, tmp_path / "work")
    job.run()
    (old,) = job.store.shard_files()
    result = job.run(superseded=(old.name,))
    assert [failure.video_id for failure in result.failures] == ["broken.avi"]
    assert not old.exists()
    assert len(job.features()) == 20


@pytest.mark.parametrize("trouble", ["crash_late_once", "touch_late_once"])
def test_a_long_video_whose_worker_fails_is_read_again_from_its_start(
    trouble: str, drawn: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    pictures = [rgb(frame) for video in scan(drawn).videos for frame, _ in decode(drawn / video.id)]
    write_video(folder / f"{trouble}.avi", np.stack(pictures[:200]))
    whole, tried = Job(folder, tmp_path / "whole"), Job(folder, tmp_path / "tried")
    whole.run()
    result = tried.run(replace(SETTINGS, shard_seconds=0.0), read=misbehaving)
    assert result.failures == []
    assert (folder / f"{trouble}.tried").exists()
    assert np.array_equal(tried.features()[f"{trouble}.avi"], whole.features()[f"{trouble}.avi"])


@pytest.mark.parametrize(("sampling", "expected"), [({"stride": 5}, 5), ({"fps": 5.0}, 5), ({"fps": 100.0}, 24)])
def test_fewer_frames_can_be_kept(
    sampling: dict[str, Any], expected: int, whole: Job, drawn: Path, tmp_path: Path
) -> None:
    job = Job(drawn, tmp_path)
    result = job.run(replace(SETTINGS, **sampling))
    assert result.frames == 20 * expected
    step = 1 if expected == 24 else 5
    assert all(np.array_equal(rows, whole.features()[name][::step]) for name, rows in job.features().items())


def test_more_failures_than_allowed_stop_the_run_with_the_reasons(videos: Path, tmp_path: Path) -> None:
    for number in range(30):
        (videos / f"broken{number:02d}.avi").write_text("no video")
    job = Job(videos, tmp_path / "work")
    with pytest.raises(TooManyFailures, match=r"extract\.max_failure_rate = 0\.1 .*\n +\d+  not a readable video"):
        job.run()
    assert Counter(type(f).__name__ for f in job.ledger.failures["enc"].values())["Failure"] < 30


def test_no_failure_is_tolerated_if_the_limit_is_zero(videos: Path, tmp_path: Path) -> None:
    (videos / "a_broken.avi").write_text("no video")
    with pytest.raises(TooManyFailures):
        Job(videos, tmp_path / "work").run(ExtractSettings(backbone=SETTINGS.backbone, max_failure_rate=0.0))


def test_nothing_readable_at_all_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "a.avi").write_text("no video")
    with pytest.raises(StageError, match="none of 1 videos could be read"):
        Job(folder, tmp_path / "work").run()


def test_a_file_that_keeps_changing_while_it_is_read_is_not_stored(videos: Path, tmp_path: Path) -> None:
    shutil.copy(videos / "Bounce/v_Bounce_g01_c01.avi", videos / "touch.avi")
    job = Job(videos, tmp_path / "work")
    result = job.run(read=misbehaving)
    assert [(f.video_id, "changed while it was read" in f.reason) for f in result.failures] == [("touch.avi", True)]
    assert "touch.avi" not in job.features()


def test_the_store_goes_on_in_the_precision_it_was_begun_with(videos: Path, tmp_path: Path) -> None:
    job = Job(videos, tmp_path / "work")
    job.run(replace(SETTINGS, backbone="random:test_vit", precision="bf16", image_size=32))
    pinned = job.store.encoder()
    assert pinned is not None
    assert pinned["precision"] == "bf16"
    assert 0.9 < pinned["measured"]["cosine_min"] <= 1.0
    first = job.features()
    job.run(replace(SETTINGS, backbone="random:test_vit", precision="auto", image_size=32))
    again = job.features()
    assert all(np.array_equal(first[name], again[name]) for name in first)


def begun_with_openvino(folder: Path) -> FeatureStore:
    store = FeatureStore(folder / "enc")
    store.begin({"precision": "fp32", "folded": True, "compiled": False, "engine": "openvino"})
    return store


def test_a_store_begun_with_openvino_goes_on_with_it_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "is_installed", lambda: True)
    store, cpu = begun_with_openvino(tmp_path), torch.device("cpu")
    check_engine(store, SETTINGS, cpu)
    with pytest.raises(StageError, match=r"begun with the engine openvino: go on with `--set extract.engine=auto`"):
        check_engine(store, replace(SETTINGS, engine="torch"), cpu)
    with pytest.raises(StageError, match=r"go on with `--set extract.device=cpu`, or move that folder away"):
        check_engine(store, SETTINGS, torch.device("mps"))
    monkeypatch.setattr(openvino_engine, "is_installed", lambda: False)
    with pytest.raises(StageError, match=r"install it \(pip install 'mofore\[openvino\]'\), or move that folder away"):
        check_engine(store, SETTINGS, cpu)


def test_openvino_that_is_asked_for_and_not_installed_is_refused_before_anything_is_loaded(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_engine, "is_installed", lambda: False)
    job = Job(videos, tmp_path / "work")
    with pytest.raises(UsageError, match=r"pip install 'mofore\[openvino\]', or --set extract.engine=torch"):
        job.run(replace(SETTINGS, engine="openvino"))
    assert job.store.encoder() is None


def test_compiling_is_nothing_to_a_store_of_openvino() -> None:
    pinned = {"precision": "fp32", "folded": True, "compiled": False, "engine": "openvino"}
    assert pinned_mode(pinned, replace(SETTINGS, compile="on")) == ComputeMode(folded=True, engine="openvino")


def test_features_of_openvino_are_torchs_and_the_same_when_the_store_goes_on(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    pytest.importorskip("openvino")
    by_torch, job = Job(videos, tmp_path / "torch"), Job(videos, tmp_path / "openvino")
    by_torch.run()
    job.run(replace(SETTINGS, engine="openvino"))
    pinned, first, wanted = job.store.encoder(), job.features(), by_torch.features()
    assert pinned is not None
    assert (pinned["engine"], pinned["measured"]["row_drift"]) == ("openvino", 0.0)
    assert all(np.allclose(first[name], wanted[name], rtol=2e-3, atol=2e-3) for name in wanted)  # float16
    job.run(SETTINGS, reverse=True)
    again = job.features()
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_other_weights_under_the_same_name_are_not_mixed_in(videos: Path, tmp_path: Path) -> None:
    job = Job(videos, tmp_path / "work")
    job.run()
    with pytest.raises(StageError, match="are not those that"):
        job.run(ExtractSettings(backbone=SETTINGS.backbone, seed=1))


def test_of_machines_that_begin_at_once_the_first_one_decides_the_arithmetic(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, seen = FeatureStore.begin, list[dict[str, Any]]()

    def second(store: FeatureStore, provenance: dict[str, Any]) -> dict[str, Any]:
        """Another machine, of plain arithmetic, is a moment earlier."""
        seen.append(provenance)
        begin(store, {**provenance, "folded": False})
        return begin(store, provenance)

    plain, raced = Job(videos, tmp_path / "plain"), Job(videos, tmp_path / "raced")
    with monkeypatch.context() as patched:
        patched.setattr("mofore.stages.backbone.precision.FOLD_FLOOR", 2.0)
        plain.run()
    monkeypatch.setattr(FeatureStore, "begin", second)
    result = raced.run()
    assert [each["folded"] for each in seen] == [True]
    assert result.encoder == raced.store.encoder()
    assert not result.encoder["folded"]
    features, expected = raced.features(), plain.features()
    assert all(np.array_equal(features[name], expected[name]) for name in expected)


def test_another_encoder_that_began_meanwhile_is_refused(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = FeatureStore.begin

    def second(store: FeatureStore, provenance: dict[str, Any]) -> dict[str, Any]:
        begin(store, {**provenance, "weights_sha256": "0" * 64})
        return begin(store, provenance)

    monkeypatch.setattr(FeatureStore, "begin", second)
    job = Job(videos, tmp_path)
    with pytest.raises(StageError, match="are not those that"):
        job.run()
    assert not job.store.shard_files()
