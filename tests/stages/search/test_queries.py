from pathlib import Path

import pytest

from mofore.data.errors import UsageError
from mofore.data.sampling import Span
from mofore.stages.search.queries import ImageFile, IndexedVideo, Names, Phrase, VideoFile, read_query, refuse_phrase

IDS = ("Run/v_Run_g01_c01.avi", "Run/same.avi", "Walk/same.avi", "Walk/odd name, \udcff.mkv", "plain")
NAMES = Names(IDS)
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


SEGMENTS = Names(["in/a.b.mp4#t=0,1.5", "in/a.b.mp4#t=0,1", "in/a.b.mp4#t=2.5", "in/c.mp4#t=1,2", "out/c.mp4#t=1,2"])


@pytest.mark.parametrize(
    ("text", "video"),
    [
        ("in/a.b.mp4#t=0,1.5", 0),
        ("a.b.mp4#t=0,1.5", 0),
        ("a.b#t=0,1.5", 0),
        ("a.b#t=0.0,1.50", 0),
        ("a.b#t=,1.50", 0),
        ("a.b.mp4#t=0,1", 1),
        ("a.b#t=2.50", 2),
        ("out/c.mp4#t=1.0,2", 4),
    ],
)
def test_a_segment_goes_by_its_file_and_its_seconds(text: str, video: int) -> None:
    assert read_query(text, SEGMENTS) == IndexedVideo(SEGMENTS.ids[video], video)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.b#t=0,2", r"its 3 segments are: give one of in/a.b.mp4#t=0,1.5, in/a.b.mp4#t=0,1, in/a.b.mp4#t=2.5"),
        ("in/a.b.mp4", "its 3 segments are"),
        ("a.b", "its 3 segments are"),
        ("a", "is neither a video of the index"),
        ("a.b#t=x", "is neither a video of the index"),
        ("c#t=1,2", "the name of 2 videos"),
    ],
)
def test_a_file_that_is_there_in_segments_names_them(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_query(text, SEGMENTS)


def test_a_file_that_is_there_comes_before_its_segments(tmp_path: Path) -> None:
    (tmp_path / "c.mp4").touch()
    assert read_query(str(tmp_path / "c.mp4"), Names([f"{tmp_path}/c.mp4#t=0,1"])) == VideoFile(tmp_path / "c.mp4")
