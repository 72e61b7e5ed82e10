#!/usr/bin/env bash
# faiss-cpu 1.15.1: IO_FLAG_SKIP_IVF_DATA reads an index whose lists have a file of their own, and no other.
#
# Guessed before: that it reads any IVF index without the contents of its lists, as its name says, so that their number
# and sizes can be looked at cheaply. Seen: of an index that was written with its lists, the usual way, read_index
# raises RuntimeError ("could not load ArrayInvertedLists"), whether the lists are empty or not. Of one whose lists are
# in a file of their own (OnDiskInvertedLists) it gives the index with their sizes, and maps nothing until do_mmap().
# Also seen: reading such an index with IO_FLAG_ONDISK_SAME_DIR, or making its file, prints on the standard output.
#
# Exit code 0 while this is so.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6
cd "$work"
cat > make.py <<'PYTHON'
import faiss
import numpy as np
from faiss.contrib.ondisk import merge_ondisk

vectors = np.random.default_rng(0).random((1000, 16), np.float32)
index = faiss.index_factory(16, "IVF4,Flat")
index.train(vectors)
faiss.write_index(index, "empty.index")
index.add(vectors)
faiss.write_index(index, "whole.index")
merged = faiss.read_index("empty.index")
merge_ondisk(merged, ["whole.index"], "merged.ivfdata")
faiss.write_index(merged, "merged.index")
PYTHON
cat > look.py <<'PYTHON'
import sys

import faiss
import numpy as np

print("faiss", faiss.__version__)
for name in ("empty", "whole"):
    try:
        faiss.read_index(f"{name}.index", faiss.IO_FLAG_SKIP_IVF_DATA)
    except RuntimeError as error:
        said = str(error).rpartition("cpp:")[2]
        print(f"{name}: RuntimeError ... {said}")
        assert "could not load ArrayInvertedLists" in said
    else:
        sys.exit(f"{name}: it was read")
merged = faiss.read_index("merged.index", faiss.IO_FLAG_SKIP_IVF_DATA | faiss.IO_FLAG_READ_ONLY)
lists = faiss.downcast_InvertedLists(merged.invlists)
sizes = [lists.list_size(number) for number in range(merged.nlist)]
print(f"merged: {type(lists).__name__}, {merged.ntotal} vectors, lists of {sizes}")
assert isinstance(lists, faiss.OnDiskInvertedLists)
assert sum(sizes) == merged.ntotal == 1000
lists.do_mmap()
vectors = np.random.default_rng(0).random((1000, 16), np.float32)
_, nearest = merged.search(vectors[:4], 1)
print(f"mapped: the nearest of the first vectors are rows {nearest[:, 0].tolist()}")
assert nearest[:, 0].tolist() == [0, 1, 2, 3]
PYTHON
cat > beside.py <<'PYTHON'
import faiss

faiss.read_index("merged.index", faiss.IO_FLAG_ONDISK_SAME_DIR)
PYTHON
"$work/venv/bin/python" make.py > making.txt
"$work/venv/bin/python" look.py
"$work/venv/bin/python" beside.py > reading.txt
for told in making reading; do
    echo "standard output while $told: $(sed "s#$work#...#g" "$told.txt" | head -1 | cut -c1-60)"
    test -s "$told.txt"
done
