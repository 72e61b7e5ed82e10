#!/usr/bin/env bash
# PyAV 18.1.0: `frame.side_data` of a picture that carries EXIF.
#
# A JPEG is written by Pillow with the EXIF orientation 2 (mirrored). FFmpeg decodes it and attaches the EXIF block and a
# display matrix. Asking for `frame.side_data["DISPLAYMATRIX"]` raises ValueError, since the kind of the EXIF block (31)
# is not among PyAV's own; `frame.rotation` says -180, which is no mirroring. So the orientation cannot be had this way.
#
# Exit code 0 while this is so.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6 pillow==13.0.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import av
from PIL import Image

picture = Image.linear_gradient("L").convert("RGB")
exif = picture.getexif()
exif[0x0112] = 2
picture.save("mirrored.jpg", exif=exif)
with av.open("mirrored.jpg") as container:
    frame = next(container.decode(video=0))
try:
    said = str(frame.side_data["DISPLAYMATRIX"])
except ValueError as error:
    said = f"ValueError: {error}"
print("PyAV", av.__version__, "side_data:", said, "rotation:", frame.rotation)
assert said == "ValueError: 31 is not a valid Type", "side data can be had now"
assert abs(frame.rotation) == 180, "the rotation is another now"
PYTHON
