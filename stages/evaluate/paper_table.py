"""Table 2 of the paper (arXiv 2606.14765) as distributions, with its printed value and named pairs beside them.

The paper prints single pairs, which prove nothing: every row here is a mean, a standard deviation and the
number of pairs, on the videos of the evaluation side. Cosines are of embeddings as they are, not centred.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ...data.arrays import Float32, Float64, Int64
from ...data.figures import Distribution, NamedPair
from ...data.types import Video
from .video_classes import VideoClasses

PAPER = {
    "forecast_mse": 0.0039,
    "same_video": 0.9995,
    "same_class": 0.7901,
    "different_class": 0.5521,
    "temporal_consistency": 0.9223,
}
NAMED_PAIRS = {
    "same_video": ("v_YoYo_g19_c02", "v_YoYo_g19_c02"),
    "same_class": ("v_YoYo_g19_c02", "v_YoYo_g20_c01"),
    "different_class": ("v_YoYo_g19_c02", "v_SkyDiving_g06_c03"),
}


def distribution(values: Tensor | Float32 | Float64, paper: float | None = None) -> Distribution:
    """Mean, standard deviation and n; the two are None of an empty sample."""
    sample = np.asarray(values, np.float64)
    mean, sd = (float(sample.mean()), float(sample.std())) if len(sample) else (None, None)
    return Distribution(mean=mean, sd=sd, n=len(sample), paper=paper)


def similarity_rows(
    ends_2VE: tuple[Float32, Float32], embeddings_VE: Float32, same_P2: Int64, different_P2: Int64
) -> dict[str, Distribution]:
    """The rows same_video (first against last view, ``ends_2VE``), same_class and different_class."""
    samples = {
        "same_video": (ends_2VE[0] * ends_2VE[1]).sum(axis=1),
        "same_class": _cosines(embeddings_VE, same_P2),
        "different_class": _cosines(embeddings_VE, different_P2),
    }
    return {name: distribution(sample, PAPER[name]) for name, sample in samples.items()}


def named_pairs(
    videos: Sequence[Video], ends_2VE: tuple[Float32, Float32], embeddings_VE: Float32
) -> dict[str, NamedPair]:
    """The paper's own pairs, of those of its videos that are present."""
    place = {video.stem.lower(): row for row, video in enumerate(videos)}
    found = {}
    for name, pair in NAMED_PAIRS.items():
        first, second = (place.get(stem.lower()) for stem in pair)
        if first is None or second is None:
            continue
        same = first == second
        a, b = (ends_2VE[0][first], ends_2VE[1][first]) if same else embeddings_VE[[first, second]]
        found[name] = NamedPair(videos=pair, cosine=float(a @ b), paper=PAPER[name])
    return found


def different_pairs(videos: Sequence[Video], count: int, seed: int) -> Int64:
    """Up to ``count`` distinct pairs (P, 2) that share no class; of different groups, where no class is known."""
    rng = np.random.default_rng(seed)
    drawn_P2 = _drawn(len(videos), 4 * count, rng)
    classes = VideoClasses.of(videos)
    if classes.labelled_V.any():
        drawn_P2 = drawn_P2[classes.labelled_V[drawn_P2].all(axis=1)]
        return _thin(drawn_P2[~classes.shared(drawn_P2)], count, rng)
    code_V = _codes([video.group or video.id for video in videos])
    return _thin(drawn_P2[code_V[drawn_P2[:, 0]] != code_V[drawn_P2[:, 1]]], count, rng)


def same_class_pairs(videos: Sequence[Video], count: int, seed: int) -> Int64:
    """Up to ``count`` distinct pairs (P, 2) that share a class, from different groups where groups are known."""
    rng = np.random.default_rng(seed)
    classes = VideoClasses.of(videos)
    group_V = _codes([video.group or video.id for video in videos])
    pairs = [np.empty((0, 2), np.int64)]
    for number in range(len(classes.names)):
        member = classes.members(number)
        pair_P2 = member[_all_or_drawn(len(member), count, rng)]
        pairs.append(pair_P2[group_V[pair_P2[:, 0]] != group_V[pair_P2[:, 1]]])
    found_P2 = np.concatenate(pairs)
    return _thin(found_P2 if classes.member_VC is None else np.unique(found_P2, axis=0), count, rng)


def _all_or_drawn(members: int, count: int, rng: np.random.Generator) -> Int64:
    """Every pair of a small class; of a large one as many as can be needed."""
    if members * (members - 1) // 2 <= 4 * count:
        return np.stack(np.triu_indices(members, 1), axis=1)
    return _drawn(members, 4 * count, rng)


def _drawn(members: int, count: int, rng: np.random.Generator) -> Int64:
    """Distinct pairs (P, 2) among so many, up to ``count``."""
    drawn_P2 = np.sort(rng.integers(0, members, (count, 2)), axis=1)
    return np.unique(drawn_P2[drawn_P2[:, 0] < drawn_P2[:, 1]], axis=0)


def _codes(names: Sequence[str]) -> Int64:
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _thin(pairs_P2: Int64, count: int, rng: np.random.Generator) -> Int64:
    if len(pairs_P2) <= count:
        return pairs_P2
    return pairs_P2[np.sort(rng.choice(len(pairs_P2), count, replace=False))]


def _cosines(embeddings_VE: Float32, pairs_P2: Int64) -> Float32:
    return np.asarray((embeddings_VE[pairs_P2[:, 0]] * embeddings_VE[pairs_P2[:, 1]]).sum(axis=1), np.float32)
