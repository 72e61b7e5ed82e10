#!/usr/bin/env bash
# fsspec 2026.9.0, memory://: the same field of the same file has another type in a listing than by itself.
#
# Guessed before: that find(detail=True) and info() describe a file alike, as those of file:// do. Seen: `created` is a
# number of seconds in a listing and a datetime from info(), so that what tells versions of a file by it takes one that
# did not change for another.
#
# Exit code 0 while this is so.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check fsspec==2026.9.0
cd "$work"
cat > look.py <<'PYTHON'
import os

import fsspec

print("fsspec", fsspec.__version__)
kinds = {}
for protocol, folder in (("file", os.getcwd()), ("memory", "/box")):
    store = fsspec.filesystem(protocol)
    store.pipe_file(f"{folder}/b.txt", b"two")
    listed = store.find(folder, detail=True)[f"{folder}/b.txt"]["created"]
    alone = store.info(f"{folder}/b.txt")["created"]
    kinds[protocol] = [type(listed).__name__, type(alone).__name__]
    print(f"{protocol}://  in a listing: {kinds[protocol][0]}, from info(): {kinds[protocol][1]}")
assert kinds["file"][0] == kinds["file"][1]
assert kinds["memory"] == ["float", "datetime"], kinds
PYTHON
"$work/venv/bin/python" look.py
