"""What a fit leaves: the trained networks, as everybody else reads them."""

from __future__ import annotations

from pathlib import Path

from ...cache.checkpoint import load_checkpoint
from ...data.earlier_settings import present_name
from ...data.fit_settings import FitSettings
from .forecaster import Forecaster

MODEL, DESCRIPTION = "model.safetensors", "model.json"


def load_forecaster(folder: Path) -> tuple[Forecaster, FitSettings]:
    """The trained networks of a fit folder, on the CPU, in evaluation mode.

    Raises:
        StoreError: if the model file is damaged or missing.
    """
    tensors, meta = load_checkpoint(folder / MODEL)
    given = {present_name("fit", key).removeprefix("fit."): value for key, value in meta["settings"].items()}
    settings = FitSettings(**given)
    forecaster = Forecaster(meta["width"], settings)
    forecaster.load_state_dict(tensors)
    return forecaster.eval(), settings
