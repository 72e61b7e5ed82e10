from pathlib import Path

import numpy as np
import pytest

from mofore.data.errors import UsageError
from mofore.data.sampling import Span
from mofore.stages.queries import ImageFile, IndexedVideo, Names, Phrase, VideoFile, read_query, refuse_phrase
from mofore.stages.vector_index import Items

IDS = ("Run/v_Run_g01_c01.avi", "Run/same.avi", "Walk/same.avi", "Walk/odd name, \udcff.mkv", "plain")
NAMES = Names(Items(tuple({"id": video_id} for video_id in IDS), np.arange(len(IDS))))
SPAN = Span(1.0, 2.0)


@pytest.mark.parametrize(
    ("text", "video"),
    [
        ("Run/v_Run_g01_c01.avi", 0),
        ("v_Run_g01_c01.avi", 0),
        ("v_Run_g01_c01", 0),
        ("Walk/same.avi", 2),
        ("odd name, \udcff", 3),
        ("plain", 4),
    ],
)
def test_a_video_of_the_index_goes_by_id_and_by_name(text: str, video: int) -> None:
    assert read_query(text, NAMES) == IndexedVideo(IDS[video], video)
    assert read_query(text, NAMES, span=SPAN) == IndexedVideo(IDS[video], video, SPAN)


def test_a_name_of_several_videos_is_refused() -> None:
    with pytest.raises(UsageError, match=r"name of 2 videos \(Run/same.avi, Walk/same.avi\): give one with its folder"):
        read_query("same", NAMES)


def test_files_are_videos_or_images(tmp_path: Path) -> None:
    for name in ("clip.mp4", "clip.PNG", "frames.jpg/f_1.jpg", "frames.jpg/f_2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert read_query(str(tmp_path / "clip.mp4"), NAMES, span=SPAN) == VideoFile(tmp_path / "clip.mp4", SPAN)
    assert read_query(str(tmp_path / "clip.PNG"), NAMES) == ImageFile(tmp_path / "clip.PNG")
    assert read_query(str(tmp_path / "frames.jpg"), NAMES) == VideoFile(tmp_path / "frames.jpg")
    with pytest.raises(UsageError, match=r"clip\.PNG has no seconds"):
        read_query(str(tmp_path / "clip.PNG"), NAMES, span=SPAN)


def test_a_text_is_put_into_the_template() -> None:
    assert read_query("text: a man {runs}", NAMES) == Phrase("a video of a man {runs}.")
    assert read_query("text:x", NAMES, template="{}") == Phrase("x")
    for text, template, message in (
        ("text: ", "{}", "without a text"),
        ("text: x", "no place", "one {}, where the text goes"),
        ("text: x", "{} and {}", "one {}, where the text goes"),
    ):
        with pytest.raises(UsageError, match=message):
            read_query(text, NAMES, template=template)
    with pytest.raises(UsageError, match="has no seconds: --from and --to"):
        read_query("text: x", NAMES, span=SPAN)


@pytest.mark.parametrize("text", ["v_Run_g01_c02", "x" * 5000, "a\0b", ""])
def test_what_stands_for_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="neither a video of the index"):
        read_query(text, NAMES)


def test_near_names_are_suggested() -> None:
    with pytest.raises(UsageError, match="did you mean v_Run_g01_c01"):
        read_query("v_Run_g01_c02", NAMES)


def test_texts_need_a_text_tower_and_the_space_of_frames() -> None:
    refuse_phrase("open_clip:ViT-B-32/openai", "frames")
    with pytest.raises(UsageError, match="timm:resnet50 knows pictures alone"):
        refuse_phrase("timm:resnet50", "frames")
    with pytest.raises(UsageError, match="not in the space 'mofore': leave out --space"):
        refuse_phrase("open_clip:ViT-B-32/openai", "mofore")
