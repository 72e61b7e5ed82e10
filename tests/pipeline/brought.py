"""Features that somebody brings, in whichever form."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

CLASSES, GROUPS, FRAMES, WIDTH = ("Jump", "Run", "Swim"), 5, 13, 6


@dataclass(frozen=True)
class Brought:
    """The arrays that somebody brings."""

    features: np.ndarray
    lengths: np.ndarray
    ids: np.ndarray

    def write(self, path: Path, **further: Any) -> Path:
        """As HDF5 or .npz, by the suffix of ``path``; ``further`` arrays are added, or take the place of others."""
        arrays = {**vars(self), **further}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npz":
            np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
            return path
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                if array is not None:
                    file[name] = np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array
        return path

    def write_folder(self, root: Path) -> Path:
        """As one .npy for each video."""
        starts = np.concatenate([[0], np.cumsum(self.lengths)])
        for name, start, end in zip(self.ids, starts, starts[1:], strict=False):
            path = root / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, self.features[start:end])
        return root

    def changed(self, video: int, by: float = 1.0) -> "Brought":
        """Other features for one of the videos."""
        start = int(self.lengths[:video].sum())
        table = self.features.copy()
        table[start : start + self.lengths[video]] += by
        return replace(self, features=table)

    def without(self, video: int) -> "Brought":
        """All but one of the videos."""
        rows = np.repeat(np.arange(len(self.ids)), self.lengths) != video
        return Brought(self.features[rows], np.delete(self.lengths, video), np.delete(self.ids, video))


def make() -> Brought:
    """Videos of 13 or 14 frames, in no order; the feature says the class, loudly."""
    rng = np.random.default_rng(0)
    names = [f"v_{label}_g{group:02d}_c01" for label in CLASSES for group in range(1, GROUPS + 1)]
    rng.shuffle(names)
    lengths = np.array([FRAMES + len(name) % 2 for name in names])
    direction = np.array([CLASSES.index(name.split("_")[1]) for name in names])
    table = rng.standard_normal((int(lengths.sum()), WIDTH)) + 4 * np.eye(WIDTH)[np.repeat(direction, lengths)]
    return Brought(table.astype(np.float32), lengths, np.array(names))
