#!/usr/bin/env bash
# PyAV 18.1.0 (libavformat 62.12.102): opening a fragmented MP4 goes through all of its fragments.
#
# Guessed before: that, as of an MP4 whose table stands at the beginning, only the beginning is read until the first
# packet is asked for. Seen: FFmpeg jumps from fragment to fragment up to the end of the file. Over a network, or from
# a store of objects that is read in blocks, opening such a file costs a read in every block of it.
#
# Exit code 0 while this is so.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$work"
cat > look.py <<'PYTHON'
import io
from pathlib import Path

import av
import numpy as np

SECONDS, BLOCK = 20, 64 << 10


class Counted(io.BytesIO):
    """A file that notes which of its blocks were read."""

    def __init__(self, content):
        super().__init__(content)
        self.blocks = set()

    def read(self, size=-1):
        begin = self.tell()
        found = super().read(size)
        self.blocks |= {at // BLOCK for at in range(begin, begin + len(found), 4096)}
        return found


def drawn(**options):
    noise = np.random.default_rng(0)
    with av.open("drawn.mp4", "w", format="mp4", options=options) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.gop_size, stream.bit_rate = 320, 240, 25, 4_000_000
        for _ in range(25 * SECONDS):
            picture = noise.integers(0, 256, (240, 320, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return Path("drawn.mp4").read_bytes()


print("PyAV", av.__version__, "libavformat", ".".join(map(str, av.library_versions["libavformat"])))
forms = {
    "table first": {"movflags": "faststart"},
    "fragmented": {"movflags": "empty_moov+default_base_moof", "frag_duration": "1000000"},
}
read = {}
for name, options in forms.items():
    content = drawn(**options)
    file = Counted(content)
    with av.open(file):
        pass
    blocks = (len(content) - 1) // BLOCK + 1
    fragments = [at // BLOCK for at in range(len(content) - 4) if content[at : at + 4] == b"moof"]
    read[name] = (len(file.blocks), sum(block in file.blocks for block in fragments), len(fragments))
    print(
        f"{name}: {len(content):,} bytes; opened with reads in {len(file.blocks)} of {blocks} blocks of "
        f"{BLOCK >> 10} KiB; of {len(fragments)} fragments the beginnings of {read[name][1]}"
    )
assert read["table first"][0] == 1, read
assert read["fragmented"][1] == read["fragmented"][2] >= SECONDS, read
PYTHON
"$work/venv/bin/python" look.py
