#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8's libavformat): the presentation times that it gives for MPEG-2 video in ASF.
#
# 40 frames at 25 a second are written without B-frames, then read. ASF keeps one time for each packet. The reader
# takes that for the decode time and makes presentation times of it: the first frame stays at 0 ms, the second is at
# 80 ms, and the last two share 1560 ms; so 40 frames have 39 different times, with a hole after the first. Decode times
# are whole: 0, 40, ... 1560 ms.
#
# Exit code 0 while this is so.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from fractions import Fraction
import av
import numpy as np

with av.open("film.asf", "w") as container:
    stream = container.add_stream("mpeg2video", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(40):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * number, np.uint8), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
with av.open("film.asf") as container:
    packets = [packet for packet in container.demux(video=0) if packet.size]
pts, dts = [packet.pts for packet in packets], [packet.dts for packet in packets]
print("PyAV", av.__version__, "pts", pts[:4], "...", pts[-3:], "dts", dts[:4], "...", dts[-3:])
assert pts[:4] == [0, 80, 120, 160] and pts[-2:] == [1560, 1560], "presentation times are others now"
assert dts == list(range(0, 1600, 40)), "decode times are others now"
PYTHON
