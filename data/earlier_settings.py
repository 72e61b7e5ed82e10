"""Settings of earlier versions: what is read in their place."""

from __future__ import annotations

REMOVED = {"fit.compile": "every step is torch's"}
"""Settings of earlier versions, each with what holds in its place: a file that still names one is read, with a note."""


RENAMED = {
    "data.splits": "data.lists",
    "extract.workers": "extract.decoders",
    "fit.validation": "fit.holdout",
    "fit.checkpoints": "fit.keep_checkpoints",
    "finetune.checkpointing": "finetune.recompute",
    "finetune.workers": "finetune.decoders",
    "index.memory_mb": "index.size_mb",
    "index.pairs": "evaluate.pairs",
    "index.resamples": "evaluate.resamples",
}
"""Settings that had other names in earlier versions: the old ones are read, with a note."""

MEANT = {
    "learning_rate": "lr",
    "epochs": "passes",
    "max_steps": "steps",
    "iterations": "steps",
    "bs": "batch_size",
    "tau": "temperature",
    "ema": "momentum",
    "dim": "embedding_width",
    "hidden_dim": "hidden_width",
    "num_workers": "decoders",
    "resolution": "image_size",
    "model": "backbone",
    "checkpoint": "weights",
    "path": "root",
    "videos": "root",
}
"""Keys of other programs, by what they are called here; who types one is told."""


def present_name(section: str, key: str) -> str:
    """``section.key`` of a setting that may have had another name once."""
    return RENAMED.get(f"{section}.{key}", f"{section}.{key}")
