"""What the output of a stage was made from, beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

INPUTS = "inputs.json"  # beside the output of a stage: which videos and what of other stages it was made from


def read_inputs(folder: Path) -> dict[str, Any] | None:
    """What the output in a folder was made from: digests of features by id ("videos"), keys of stages."""
    try:
        found: dict[str, Any] = json.loads((folder / INPUTS).read_text())
        return found if isinstance(found["videos"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
