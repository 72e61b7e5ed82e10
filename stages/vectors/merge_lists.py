"""Put the lists of several FAISS indexes together in one file. Run by its path, in a process of its own.

FAISS writes lists through a map of the file, so that a full disk kills who does it, and tells of them on the standard
output: neither is for the process that builds the index. See :mod:`.on_disk`.
"""

import sys

import faiss
from faiss.contrib.ondisk import merge_ondisk


def main(trained: str, data: str, *parts: str) -> None:
    """Give the trained, empty index in a file the lists of ``parts``; these come into ``data``."""
    index = faiss.read_index(trained)
    merge_ondisk(index, [*parts], data)
    faiss.write_index(index, trained)


if __name__ == "__main__":
    main(*sys.argv[1:])
