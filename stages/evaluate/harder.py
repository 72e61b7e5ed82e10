"""Views that are harder than retrieval, on cached features: of what is learnt, and beside it of the raw features.

Measured where ``evaluate.harder`` is set, since all of them embed clips of their own; chirality where
``evaluate.chiral_pairs`` names classes. docs/evaluation.md says what each figure is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ...data.arrays import Float32, Float64, Int64
from ...data.blocks import blocks
from ...data.chiral_pairs import OPPOSITE, chiral_pair
from ...data.clips import spread_views
from ...data.fit_settings import FitSettings
from ...data.further_figures import AttentiveProbe, Chirality, Harder, Score
from ...data.settings import EvaluateSettings
from ...data.types import Video
from ..frames.memory import FrameTensors
from ..model.embedding import BLOCK_BYTES, FramesMean, embed_views
from ..vectors.normalize import l2_normalize
from .attentive_probe import attentive_probe
from .direction import BothWays, FramesDifference, arrow_of_time, reversal
from .linear_probe import probe
from .protocol import EvaluationSplit
from .resampling import Resampling, intervals, paired

PARTS = 16  # of a video: windows that are embedded, or frames
RAW, DIFFERENCE = "raw_mean_pool", "raw_difference"


@dataclass(frozen=True, slots=True)
class HarderInputs:
    """What harder views are taken of.

    Attributes:
        videos: V of them.
        memory: their frames.
        embedders: of clips, by name; without the raw features, which are added.
        embeddings: of whole videos (V, E), unit vectors, by name: those that chirality is asked of.
        fit: settings that clips are cut by.
        settings: of the evaluation.
        protocol: the split.
        sides: positions of the training side and of the test side, with classes or without.
    """

    videos: tuple[Video, ...]
    memory: FrameTensors
    embedders: Mapping[str, nn.Module]
    embeddings: Mapping[str, Float32]
    fit: FitSettings
    settings: EvaluateSettings
    protocol: EvaluationSplit
    sides: tuple[Int64, Int64]

    def score(self, right_Q: Float64, rows: Int64, chance: float) -> Score:
        """A score of the videos ``rows``, with intervals."""
        videos, groups = self.resamplings(rows)
        sure = intervals(right_Q, videos, groups, scale=100)
        return Score(accuracy=100.0 * float(right_Q.mean()), chance=chance, n=len(right_Q), intervals=sure)

    def resamplings(self, rows: Int64) -> tuple[Resampling, Resampling | None]:
        """Resamplings of some of the videos, and of their recordings."""
        group_V, settings = self.protocol.group_V, self.settings
        groups = None if group_V is None else Resampling(settings.resamples, settings.seed, group_V[rows])
        return Resampling(settings.resamples, settings.seed), groups


def harder(inputs: HarderInputs) -> Harder | None:
    """All that is asked for; None if nothing is.

    Raises:
        ConfigError: if a chiral pair names a class that is not there.
    """
    settings = inputs.settings
    pairs = [chiral_pair(text, inputs.protocol.classes) for text in settings.chiral_pairs]
    if not settings.harder and not pairs:
        return None
    raw_VPD = raw_parts(inputs.memory)
    one_class = not inputs.protocol.several
    return Harder(
        attentive_probe=_attentive(inputs, raw_VPD) if settings.harder and one_class else {},
        arrow_of_time=_arrow_of_time(inputs) if settings.harder else {},
        reversal=_reversal(inputs) if settings.harder else {},
        chirality=_chirality(inputs, raw_VPD, pairs) if one_class else {},
    )


@torch.inference_mode()
def raw_parts(memory: FrameTensors) -> Float32:
    """Unit features (V, P, D) of evenly spread frames of each video, in order."""
    video_B, windows = spread_views(memory.frames_V, span=1, views=PARTS)
    rows_B1 = memory.first_V[video_B][:, None] + windows.start_B[:, None]
    size = max(1, BLOCK_BYTES // (4 * memory.width))
    frames = (memory.clips(rows_B1[part]).features[:, 0] for part in blocks(len(rows_B1), size))
    unit_BD = torch.cat([functional.normalize(part_BD, dim=1) for part_BD in frames])
    return unit_BD.view(len(memory.frames_V), PARTS, -1).cpu().numpy()


def _attentive(inputs: HarderInputs, raw_VPD: Float32) -> dict[str, AttentiveProbe]:
    protocol = inputs.protocol
    rows, found = (protocol.queries, protocol.gallery), {}
    chance = _majority(protocol.class_V[protocol.gallery], protocol.class_V[protocol.queries])
    videos, groups = inputs.resamplings(protocol.queries)
    for name, embedder in [*inputs.embedders.items(), (RAW, None)]:
        parts_VPE = raw_VPD
        if embedder is not None:
            parts_VPE = embed_views(embedder, inputs.memory, inputs.fit, views=PARTS).cpu().numpy()
        probed = attentive_probe(parts_VPE, protocol.sides(parts_VPE[:, 0], centered=False), rows, inputs.settings.seed)
        if probed is not None:
            found[name] = AttentiveProbe(
                score=inputs.score(probed.right_Q, protocol.queries, chance),
                mean=100.0 * float(probed.mean_right_Q.mean()),
                against_mean=paired(probed.right_Q, probed.mean_right_Q, videos, groups, scale=100),
                c=probed.c,
            )
    return found


def _both_ways(inputs: HarderInputs, rows: Int64) -> Iterator[tuple[str, BothWays]]:
    """Windows of some videos forwards and backwards, by each embedder and by two that cost no training."""
    memory = inputs.memory.some(torch.from_numpy(rows))
    for name, embedder in {**inputs.embedders, RAW: FramesMean(), DIFFERENCE: FramesDifference()}.items():
        yield name, BothWays.of(embedder, memory, inputs.fit)


def _arrow_of_time(inputs: HarderInputs) -> dict[str, Score]:
    """Fitted on the training videos of recordings that are not tested."""
    train, test = inputs.sides
    group_V = np.arange(len(inputs.videos)) if inputs.protocol.group_V is None else inputs.protocol.group_V
    train = train[~np.isin(group_V[train], group_V[test])]
    if not len(test) or not len(train):
        return {}
    both = np.concatenate([train, test])
    fitted, tested = np.arange(len(train)), np.arange(len(train), len(both))
    return {
        name: inputs.score(
            arrow_of_time(ways[fitted], ways[tested], group_V[train], inputs.settings.seed), test, chance=50.0
        )
        for name, ways in _both_ways(inputs, both)
    }


def _reversal(inputs: HarderInputs) -> dict[str, Score]:
    """Of the test videos (of all, where there are none) that hold two windows without a common frame."""
    train, test = inputs.sides
    rows = test if len(test) else train
    extent_V = inputs.memory.pair_extent_V(inputs.fit.unit).cpu().numpy()
    rows = rows[extent_V[rows] >= 2 * inputs.fit.span]
    if not len(rows):
        return {}
    return {name: inputs.score(reversal(ways), rows, chance=50.0) for name, ways in _both_ways(inputs, rows)}


def _chirality(inputs: HarderInputs, raw_VPD: Float32, pairs: Sequence[tuple[str, str]]) -> dict[str, Chirality]:
    """A linear probe of each pair of classes, fitted on the gallery's videos of the two."""
    if not pairs:
        return {}
    half = PARTS // 2
    difference_VD = l2_normalize(raw_VPD[:, half:].mean(axis=1) - raw_VPD[:, :half].mean(axis=1))
    found = {}
    for name, embeddings_VE in {**inputs.embeddings, DIFFERENCE: difference_VD}.items():
        scores = {f"{one} {OPPOSITE} {other}": _one_pair(inputs, embeddings_VE, one, other) for one, other in pairs}
        known = {pair: score for pair, score in scores.items() if score is not None}
        if known:
            accuracy, chance = (
                float(np.mean([getattr(score, what) for score in known.values()])) for what in ("accuracy", "chance")
            )
            found[name] = Chirality(accuracy=accuracy, chance=chance, pairs=known)
    return found


def _one_pair(inputs: HarderInputs, embeddings_VE: Float32, one: str, other: str) -> Score | None:
    """None where a class is missing on a side."""
    protocol = inputs.protocol
    codes = [protocol.classes.index(name) for name in (one, other)]
    queries, gallery = (rows[np.isin(protocol.class_V[rows], codes)] for rows in (protocol.queries, protocol.gallery))
    if any(len(np.unique(protocol.class_V[rows])) < 2 for rows in (queries, gallery)):
        return None
    sides = replace(protocol, queries=queries, gallery=gallery, train=gallery).sides(embeddings_VE, centered=True)
    chance = 100.0 * float(np.bincount(sides.class_Q).max()) / len(queries)
    return inputs.score(probe(sides, inputs.settings.seed).right_Q, queries, chance)


def _majority(class_N: Int64, class_Q: Int64) -> float:
    """Percent of the queries that are of the gallery's most frequent class."""
    return 100.0 * float((class_Q == np.bincount(class_N).argmax()).mean()) if len(class_N) and len(class_Q) else 0.0
