"""Extraction with a clip backbone whose rows say which frames they were made from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from mofore.data.catalog import scan
from mofore.data.decode import decode
from mofore.data.motion import write_video
from mofore.data.pictures import rgb
from mofore.data.sampling import Span
from mofore.data.settings import ExtractSettings
from mofore.stages.backbone.encoder import load_encoder
from mofore.stages.extract import estimate
from mofore.tests.stages.backbone.own_backbones import FRAMES, HERE
from mofore.tests.stages.extract.test_stage import Job, StopsAfterFrames, Watched

SETTINGS = ExtractSettings(backbone=f"{HERE}:make_clips", precision="fp32", hop=4)


@pytest.fixture(scope="module")
def film(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one video of 200 frames."""
    folder = tmp_path_factory.mktemp("film")
    pictures = [rgb(frame) for video in scan(drawn).videos for frame, _ in decode(drawn / video.id)]
    write_video(folder / "film.avi", np.stack(pictures[:200]))
    return folder


def rows_of(job: Job) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By video: features, and start, middle and end of every row (3, T)."""
    found = {}
    for path in job.store.shard_files():
        with h5py.File(path) as file:
            times = np.stack([file[name][:] for name in ("times_s", "middle_s", "end_s")])
            offsets = file["offsets"][:]
            for row, name in enumerate(file["video_id"].asstr()[:]):
                rows = slice(*offsets[row : row + 2])
                found[name] = (file["features"][rows], times[:, rows])
    return found


def test_a_row_is_a_window_with_its_true_times(drawn: Path, tmp_path: Path) -> None:
    job = Job(drawn, tmp_path)
    result = job.run(SETTINGS)
    name = job.catalog.videos[3].id
    features, (start_s, middle_s, end_s) = rows_of(job)[name]
    frames = list(decode(drawn / name))
    loaded = load_encoder(SETTINGS, None, torch.device("cpu"))
    pictures = loaded.preprocess(torch.from_numpy(np.stack([rgb(frame) for frame, _ in frames])))
    times = np.array([time_s for _, time_s in frames])
    starts = [0, 4, 8, 12, 16, 20]  # of 24 frames; the last window has four of its own, and is filled up with the 23rd
    filled = torch.cat([pictures, pictures[-1:], pictures[-1:]])
    expected = loaded.encode(torch.stack([filled[first : first + FRAMES] for first in starts]))
    assert features.shape == (6, 3 * FRAMES)
    assert np.allclose(features, expected.numpy(), atol=5e-4), "half precision of values below one"
    assert np.allclose(start_s, times[starts])
    assert np.allclose(end_s[:5], times[starts[:5]] + FRAMES / 25)
    assert end_s[5] == pytest.approx(24 / 25)
    assert np.allclose(middle_s, (start_s + end_s) / 2)
    assert "120 windows" in result.summary(1.0)


def test_windows_of_a_segment_are_those_of_the_whole_video(film: Path, tmp_path: Path) -> None:
    """Bit for bit, times included, wherever the segment begins."""
    whole = Job(film, tmp_path / "whole")
    whole.run(replace(SETTINGS, hop=1, incomplete="refuse"))
    features, times = rows_of(whole)["film.avi"]
    parts = Job(film, tmp_path / "parts")
    spans = [Span(0.0, 1.0), Span(0.52, 2.0), Span(3.0, 3.3), Span(5.48, 8.0)]
    (video,) = parts.catalog.videos
    segments = tuple(replace(video, id=f"film.avi{s.fragment}", file="film.avi", span=s) for s in spans)
    parts.catalog = replace(parts.catalog, videos=segments)
    parts.run(replace(SETTINGS, incomplete="refuse"))
    found = rows_of(parts)
    assert len(found) == 4
    for segment, (rows, seconds) in found.items():
        place = np.searchsorted(times[0], seconds[0] - 0.001)
        assert len(place) >= 1, segment
        assert np.array_equal(rows, features[place]), segment
        assert np.allclose(seconds, times[:, place], atol=1e-9), segment


@pytest.mark.parametrize("hop", [2, 6, 9])
def test_a_long_video_goes_on_at_the_window_where_it_was_interrupted(hop: int, film: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, hop=hop, batch_size=4 * FRAMES)
    whole, part = Job(film, tmp_path / "whole"), Job(film, tmp_path / "cut")
    whole.run(settings)
    with pytest.raises(KeyboardInterrupt):
        part.run(replace(settings, shard_seconds=0.0), StopsAfterFrames(9))
    (rows,) = part.store.partial_folder.glob("*.rows")
    kept = rows.stat().st_size // (8 + 8 + 2 * 3 * FRAMES)
    total = len(rows_of(whole)["film.avi"][0])
    assert 9 <= kept < total
    watched = Watched()
    part.run(replace(settings, shard_seconds=0.0), watched)
    assert watched.frames == total - kept, "windows that are known are not made again"
    for before, after in zip(rows_of(whole)["film.avi"], rows_of(part)["film.avi"], strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize(("incomplete", "failed"), [("pad", 0), ("refuse", 1)])
def test_a_video_shorter_than_a_window_is_filled_up_or_refused(
    incomplete: str, failed: int, videos: Path, tmp_path: Path
) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (4, 48, 64, 3), np.uint8)
    write_video(videos / "short.avi", pictures)
    job = Job(videos, tmp_path / "work")
    result = job.run(replace(SETTINGS, incomplete=incomplete))
    reasons = {failure.video_id: failure.reason for failure in result.failures}
    assert reasons == ({"short.avi": f"shorter than a window of {FRAMES} frames"} if failed else {})
    if not failed:
        features, (start_s, _, end_s) = rows_of(job)["short.avi"]
        colours = features.reshape(FRAMES, 3)
        assert np.array_equal(colours[3:], np.repeat(colours[3:4], 3, axis=0)), "the last frame is repeated"
        assert (start_s.tolist(), end_s.tolist()) == ([0.0], [pytest.approx(4 / 25)])


def test_the_sampled_rate_decides_which_frames_a_window_has(drawn: Path, tmp_path: Path) -> None:
    job = Job(drawn, tmp_path)
    job.run(replace(SETTINGS, fps=12.5, hop=0))  # every second of 24 frames at 25 a second: two windows of six
    features, (start_s, _, end_s) = rows_of(job)[job.catalog.videos[0].id]
    assert len(features) == 2
    assert np.allclose([start_s, end_s], [[0.0, 0.48], [0.48, 0.96]])


def test_merged_and_rewritten_shards_keep_the_windows_ends(drawn: Path, tmp_path: Path) -> None:
    job = Job(drawn, tmp_path)
    job.run(replace(SETTINGS, shard_seconds=0.0))
    before = rows_of(job)
    (path,) = job.store.shard_files()
    record = job.store.rewrite(path, range(len(before)))
    job.store.delete([path.name])
    assert job.store.inspect(job.store.folder / record.name).videos == record.videos
    for name, kept in rows_of(job).items():
        assert all(np.array_equal(*pair) for pair in zip(kept, before[name], strict=True))


def test_an_estimate_counts_windows(drawn: Path) -> None:
    catalog = scan(drawn)
    found = estimate.run(SETTINGS, catalog.root, catalog.videos, None)
    expected: dict[str, Any] = {"frames": 20 * 24, "width": 3 * FRAMES}
    assert found.frames == pytest.approx(expected["frames"], rel=0.1)
    assert found.store_bytes == pytest.approx(2 * found.frames * expected["width"] / 4, rel=0.01)
