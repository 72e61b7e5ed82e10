#!/usr/bin/env bash
# PyAV 18.1.0: one object as `frame.opaque` of two frames is lost to both when the first frame is freed.
#
# PyAV keeps such objects under their address and drops the entry when a frame that has it is freed. The second frame
# then answers None, though nobody took the object from it. Equal objects that are not the same one are kept.
#
# Exit code 0 while this is so.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import av


def seen_by_second(*notes: list) -> object:
    first, second = av.VideoFrame(64, 64, "yuv420p"), av.VideoFrame(64, 64, "yuv420p")
    first.opaque, second.opaque = notes
    assert (first.opaque, second.opaque) == notes
    del first
    return second.opaque


note = ["scene 1"]
shared, apart = seen_by_second(note, note), seen_by_second(["scene 1"], ["scene 1"])
print("PyAV", av.__version__, "the second frame's opaque, shared:", shared, "- equal, not shared:", apart)
assert shared is None and apart == ["scene 1"], "shared objects are kept now"
PYTHON
