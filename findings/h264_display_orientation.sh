#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8): H.264's own display orientation reaches the frame that carries the message, and no other.
#
# The message (SEI 47, H.264 D.2.27) is written before each key frame with display_orientation_repetition_period 1, which
# says that it holds for the pictures that follow too, until a new sequence begins. FFmpeg's decoder attaches a display
# matrix to the key frame alone: of 12 frames the first has rotation -180, eleven have 0.
#
# Exit code 0 while this is so.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import av
import numpy as np
from av.bitstream import BitStreamFilterContext

with av.open("plain.h264", "w") as film:
    stream = film.add_stream("libx264", rate=25)
    stream.width = stream.height = 64
    for level in range(12):
        film.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 9 * level, np.uint8), "rgb24")))
    film.mux(stream.encode())
with av.open("plain.h264") as film, open("turned.h264", "wb") as turned:
    noting = BitStreamFilterContext("h264_metadata=display_orientation=insert:rotate=180", film.streams.video[0])
    for packet in [*[packet for packet in film.demux() if packet.size], None]:
        turned.write(b"".join(bytes(noted) for noted in noting.filter(packet)))
with av.open("turned.h264") as film:
    rotations = [frame.rotation for frame in film.decode(video=0)]
print("PyAV", av.__version__, "libavcodec", av.library_versions["libavcodec"], "rotations:", rotations)
assert rotations == [-180] + [0] * 11, "the message is followed otherwise now"
PYTHON
