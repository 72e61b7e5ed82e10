#!/usr/bin/env bash
# PyAV 18.1.0: a frame whose `side_data` was looked at is not freed when it is let go.
#
# The container of side data that PyAV makes refers to the frame, and the frame to the container. With Python's collector
# of circles switched off, none of 50 decoded frames is freed after `frame.side_data` was asked for (an empty one), and
# every one is without. A loop over large pictures grows until that collector comes by, which counts objects, not bytes.
#
# Exit code 0 while this is so.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import gc

import av
import numpy as np

with av.open("film.mp4", "w") as film:
    stream = film.add_stream("mpeg4", rate=25)
    stream.width, stream.height = 320, 240
    for level in range(50):
        film.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((240, 320, 3), level, np.uint8), "rgb24")))
    film.mux(stream.encode())


def left_alive(looks: bool) -> int:
    with av.open("film.mp4") as film:
        for frame in film.decode(video=0):
            if looks:
                assert not frame.side_data.get("DISPLAYMATRIX")
    del frame
    return sum(type(found) is av.VideoFrame for found in gc.get_objects())


gc.collect()
gc.disable()
plain, looked = left_alive(False), left_alive(True)
print("PyAV", av.__version__, "frames alive after the loop:", plain, "- with side_data looked at:", looked)
gc.collect()
after = sum(type(found) is av.VideoFrame for found in gc.get_objects())
print("after gc.collect():", after)
assert (plain, looked, after) == (0, 50, 0), "frames are freed otherwise now"
PYTHON
