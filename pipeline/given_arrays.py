"""Arrays that are given as queries: checked, and as the search has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..data.errors import UsageError
from ..stages.search.queries import GivenFrames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..data.arrays import Float32

    Floats = NDArray[np.floating[Any]]
FRAME_S = 0.04  # from frame to frame of features that are given without times


def given_frames(given_TD: Floats, times_s: Floats | None) -> GivenFrames:
    """Features as a query.

    Raises:
        UsageError: if one is not finite, or the times are not one for each frame, or do not rise.
    """
    import numpy as np

    from ..data.frame_times import is_rising

    frames = len(given_TD)
    with np.errstate(over="ignore"):
        features_TD = given_TD.astype(np.float16)
    if not np.isfinite(features_TD).all():
        raise UsageError("a feature that was given is not finite, or float16 cannot hold it")
    seconds_T = (np.arange(frames) * FRAME_S if times_s is None else np.asarray(times_s)).astype(np.float64)
    if seconds_T.shape != (frames,) or not is_rising(seconds_T):
        raise UsageError(f"times_s, of shape {seconds_T.shape}: {frames:,} times in seconds that rise are needed")
    return GivenFrames(features_TD, seconds_T)


def unit_vector(vector_E: Any) -> Float32:
    """The vector in unit length.

    Raises:
        UsageError: if it has none.
    """
    import numpy as np

    length = float(np.linalg.norm(vector_E))
    if not 0.0 < length < np.inf:
        raise UsageError(f"the vector that was given has the length {length:g}: it points nowhere")
    return np.asarray(vector_E / length, np.float32)
