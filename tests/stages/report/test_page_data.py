import base64
import json

import numpy as np
import pytest

from mofore.data.types import Split, Video
from mofore.stages.report.neighbours import Examples
from mofore.stages.report.page_data import packed, script, videos_json
from mofore.stages.report.thumbnails import Thumbnails


def value_of(text: bytes) -> object:
    assert text.startswith(b"window.mofore=window.mofore||{};window.mofore.name=")
    return json.loads(text.partition(b"name=")[2].rstrip(b";\n"))


@pytest.mark.parametrize(
    "name", ["</script><script>boom()</script>", "a\u2028b\u2029c", "\udcff.avi", 'quote"\\', "né"]
)
def test_no_name_ends_the_script_or_a_line_of_it(name: str) -> None:
    text = script("name", [name])
    assert b"<" not in text
    assert text.isascii()
    assert text.count(b"\n") == 1
    assert value_of(text) == [name]


def test_numbers_come_back() -> None:
    given = np.array([[-1, 2], [300, 4]])
    found = packed(given, "i2")
    assert np.frombuffer(base64.b64decode(found["base64"]), "<i2").tolist() == [-1, 2, 300, 4]


def test_what_is_not_known_of_a_video_is_no_name() -> None:
    videos = [Video("a", "Run", "g01", 1, 1, more_labels=("Jump",)), Video("b", None, None, 1, 1)]
    none = np.full(2, -1)
    split = Split("mine", frozenset("a"), frozenset("b"))
    data = videos_json(videos, split, {"b": 0.0}, Thumbnails((4, 3), (), none, none), Examples("", {}))
    names = {kind: found["names"] for kind, found in data["kinds"].items()}
    assert names == {
        "class": ["Run"],
        "group": ["Run/g01"],
        "side": ["test", "train"],
        "error": ["nearest is of another class"],
    }
    assert np.frombuffer(base64.b64decode(data["kinds"]["class"]["codes"]["base64"]), "<i2").tolist() == [0, -1]
    assert data["labels"] == {0: ["Run", "Jump"]}
