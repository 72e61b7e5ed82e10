from pathlib import Path

import pytest

from mofore.data.catalog import scan
from mofore.data.errors import StageError
from mofore.data.motion import Start, appearance, draw, write_video
from mofore.data.settings import ExtractSettings
from mofore.data.types import Video
from mofore.stages.extract import estimate

SETTINGS = ExtractSettings(backbone="random:test_efficientnet", device="cpu")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    for number in range(20):
        write_video(root / f"{number:02}.avi", draw("Bounce", appearance(number), Start(0.0, 0.0, 0.5, 2.0), 30))
    return root


def test_the_number_of_frames_is_scaled_up_from_a_few_videos(clips: Path) -> None:
    found = estimate.run(SETTINGS, clips, scan(clips).videos, None)
    assert found.frames == pytest.approx(20 * 30, rel=0.1)
    assert 0 < found.measured_frames <= 32  # as many as fit into a second
    assert found.frames_per_s > 0
    assert found.seconds == pytest.approx(found.frames / found.frames_per_s)
    assert found.store_bytes % (2 * found.frames) == 0
    assert found.devices[0].type == "cpu"


def test_sampling_fewer_frames_is_counted(clips: Path) -> None:
    settings = ExtractSettings(backbone="random:test_efficientnet", device="cpu", stride=3)
    assert estimate.run(settings, clips, scan(clips).videos, None).frames == pytest.approx(20 * 10, rel=0.1)


def test_videos_that_cannot_be_read_leave_no_estimate(tmp_path: Path) -> None:
    (tmp_path / "no.avi").write_bytes(b"nothing of a video" * 40)
    videos: tuple[Video, ...] = scan(tmp_path).videos
    with pytest.raises(StageError, match="no frame could be read from 1 of the videos"):
        estimate.run(SETTINGS, tmp_path, videos, None)
