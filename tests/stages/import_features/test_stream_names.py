"""Names and shapes alone say which files are of one video."""

import pytest

from mofore.data.errors import FeaturesError
from mofore.stages.import_features.stream_names import common_ending, find_streams

TD, SCALAR, TIMES = (60, 128), (), (60,)


def found(*stems: str, wanted: tuple[str, ...] = (), **odd: tuple[int, ...]) -> object:
    return find_streams({**dict.fromkeys(stems, TD), **odd}, wanted)


def test_plain_names_are_videos() -> None:
    assert found("a", "b") is None
    assert found("a_rgb", "b_rgb") is None, "one stream alone may be a part of the id"
    assert found("a_fps", "b_timestamps_ms") is None, "arrays (T, D) of unlucky names"
    assert found("a_rgb", "a_flow", *map(str, range(9))) is None, "most names come without"


def test_pairs_are_one_video_each() -> None:
    streams = found("x/a_flow", "x/a_rgb", "b_rgb", "b_flow")
    assert streams.streams == ("rgb", "flow")
    assert streams.files == {"x/a": ("x/a_rgb", "x/a_flow"), "b": ("b_rgb", "b_flow")}
    assert streams.unused == ()


def test_rates_and_times_are_no_videos_and_say_what_the_stream_is() -> None:
    streams = found("a_resnet50", "b_c_resnet50", a_fps=SCALAR, b_c_timestamps_ms=TIMES, d_fps=SCALAR)
    assert streams.streams == ("resnet50",)
    assert streams.files == {"a": ("a_resnet50",), "b_c": ("b_c_resnet50",)}
    assert (streams.rates, streams.times) == ({"a": "a_fps"}, {"b_c": "b_c_timestamps_ms"})
    assert streams.unused == ("d_fps",)


def test_a_video_without_rate_is_found_by_the_stream_of_the_others() -> None:
    streams = found("a_rgb", "a_b_rgb", "other", a_fps=SCALAR)
    assert streams.files == {"a": ("a_rgb",), "a_b": ("a_b_rgb",)}
    assert streams.unused == ("other",)


def test_rates_beside_names_without_ending() -> None:
    streams = found("a", "b", a_fps=SCALAR, b_fps=SCALAR)
    assert (streams.streams, dict(streams.files)) == (("",), {"a": ("a",), "b": ("b",)})


def test_a_video_called_like_a_stream() -> None:
    streams = found("my_flow_rgb", "my_flow_flow")
    assert streams.files == {"my_flow": ("my_flow_rgb", "my_flow_flow")}


def test_streams_are_chosen_in_order() -> None:
    names = ("a_rgb", "a_flow", "a_fps_rgb")
    assert found(*names[:2], wanted=("flow",)).files == {"a": ("a_flow",)}
    assert found(*names[:2], wanted=("flow",)).unused == ()
    assert found(*names[:2], wanted=("flow", "rgb")).files == {"a": ("a_flow", "a_rgb")}
    assert found("a_clip", wanted=("clip",)).files == {"a": ("a_clip",)}


def test_a_lacking_stream_is_named() -> None:
    with pytest.raises(FeaturesError, match=r"'b' has no _flow\.npy \(and 1 more videos lack one\), but _rgb\.npy"):
        found("a_rgb", "a_flow", "b_rgb", "c_rgb", "d_rgb", "d_flow")
    with pytest.raises(FeaturesError, match=r"--streams depth: no name ends so; names end in flow, rgb"):
        found("a_rgb", "a_flow", wanted=("depth",))


def test_the_ending_of_all_names() -> None:
    assert common_ending(["a_clip", "b_clip"]) == "clip"
    assert common_ending(["a_clip", "b"]) is None
    assert common_ending([]) is None
