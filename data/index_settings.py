"""Settings of the index: embeddings, and the FAISS indexes over them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import ConfigError
from .section import Settings, setting

SPACES = ("mofore", "frames", "predict")
LEVELS = ("video", "clip")
FACTORY = re.compile(r"(IDMap|OPQ|PCA|PCAR|L2norm|RR|ITQ|IVF|IMI|HNSW|NSG|Flat|SQ|PQ|LSH|Pad)[A-Za-z0-9_,()]*")
INDEX_KINDS = ("flat", "ivf", "hnsw", "ivfpq", "auto")


@dataclass(frozen=True, kw_only=True)
class IndexSettings(Settings):
    """Embeddings (Figure 1) and the FAISS indexes over them."""

    section = "index"

    kind: str = setting(
        "flat",
        "FAISS index: flat (exact), ivf, hnsw, ivfpq, auto (by size, memory and latency), or any FAISS factory string; "
        "inner product of unit vectors. Metrics are always taken with exact search",
    )
    recall: float = setting(
        0.95,
        "share of the exact 10 nearest that an approximate index must find; nprobe or efSearch follow",
        low=0.0,
        high=1.0,
    )
    size_mb: int = setting(0, "most memory of an index in MB, for auto; 0 = half of the machine's", low=0)
    latency_ms: float = setting(10.0, "longest time of one query in ms, for auto", low=0.001)
    part_mb: int = setting(
        0,
        "make an index with lists (ivf, ivfpq) in parts of so many MB of vectors, merged on disk and searched there, "
        "for what does not fit into memory; 0 = in memory",
        low=0,
        later=True,
    )
    spaces: str = setting(
        "mofore, frames, predict",
        "what is indexed, with commas: mofore (embed_from), frames (raw mean-pooled features), predict (the forecast "
        "at the mean gap), fit:KEY (the teacher of another fit of this work folder)",
    )
    levels: str = setting(
        "video", "video (one vector each), clip (every window, to find moments), or both with a comma"
    )
    clip_hop: float = setting(0.5, "from window to window of the level clip, in clips", low=0.01, high=100.0)
    embed_from: str = setting(
        "teacher",
        "whose output embeds a video: teacher (the paper's Figure 1), student, or predictor (forecast at the mean gap)",
        choices=("teacher", "student", "predictor"),
    )
    views: int = setting(
        12, "temporal views of a video whose embeddings are averaged (open in the paper)", low=1, high=10_000
    )
    center: bool = setting(True, "subtract the gallery's mean from every embedding before cosines")
    seed: int = setting(0, "seed of k-means and of the vectors that an approximate index is tuned with", low=0)
    device: str = setting(
        "auto",
        "where indexes are built and searched: auto (cuda where there is one), cpu, or cuda",
        choices=("auto", "cpu", "cuda"),
        identity=False,
    )

    def __post_init__(self) -> None:
        for key in ("spaces", "levels"):  # lists are taken as well, as other settings have them
            given: Any = getattr(self, key)
            if isinstance(given, list | tuple) and all(isinstance(name, str) for name in given):
                object.__setattr__(self, key, ", ".join(given))
        super().__post_init__()
        self._check_list("spaces", self.space_names(), lambda name: name in SPACES or _another_fit(name))
        self._check_list("levels", self.level_names(), lambda name: name in LEVELS)
        if self.kind not in INDEX_KINDS and not FACTORY.fullmatch(self.kind):
            raise ConfigError(
                f"index.kind = {self.kind!r}: one of {', '.join(INDEX_KINDS)}, or a FAISS factory string such as "
                "IVF256,Flat is needed"
            )

    def space_names(self) -> tuple[str, ...]:
        """The spaces, in order."""
        return tuple(name.strip() for name in self.spaces.split(",") if name.strip())

    def level_names(self) -> tuple[str, ...]:
        """The levels, in order."""
        return tuple(name.strip() for name in self.levels.split(",") if name.strip())

    def _check_list(self, key: str, names: tuple[str, ...], allowed: Callable[[str], bool]) -> None:
        wrong = [name for name in names if not allowed(name)]
        if wrong or not names or len({*names}) < len(names):
            known = (*SPACES, "fit:KEY") if key == "spaces" else LEVELS
            what = f"{wrong[0]!r} is none of them" if wrong else "each of them once at most, and one at least"
            raise ConfigError(f"index.{key} = {getattr(self, key)!r}: {', '.join(known)} with commas; {what}")

    def embedding(self) -> dict[str, Any]:
        """The settings that decide the embeddings of whole videos, by their full names."""
        return {f"index.{name}": getattr(self, name) for name in ("spaces", "embed_from", "views", "center")}


def _another_fit(name: str) -> bool:
    return re.fullmatch(r"fit:[0-9a-f]+", name) is not None
