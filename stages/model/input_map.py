"""The map before the projection: closed form, fitted on the training videos without labels, and not trained on."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.fit_settings import POOLED, FitSettings
from ..frames.memory import FrameTensors
from ..frames.neighbours import Neighbours
from ..vectors.neighbour_lda import NeighbourLda, nearest_others, neighbour_count
from .aggregators import LEAST_VARIANCE

ROUNDS = 4  # solutions of the discriminant, each with the neighbours of the one before
KEPT_VARIANCE = 0.955  # share of it that principal directions keep before: the rest is noise that the graph would fit


class InputMap(nn.Module):
    """Pooled features (B, P) to coordinates (B, width), in which look-alikes are near.

    Mean and standard deviation are each made unit, centred and made unit again; then a linear map. What it was fitted
    to is in buffers, so that it is saved with the networks.
    """

    center_KD: Tensor
    mean_P: Tensor
    directions_PE: Tensor

    def __init__(self, features: int, pooled: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("center_KD", torch.zeros(pooled, features))
        self.register_buffer("mean_P", torch.zeros(pooled * features))
        self.register_buffer("directions_PE", torch.eye(pooled * features, width))

    def standard(self, pooled_BP: Tensor) -> Tensor:
        """The parts, unit, centred and unit, side by side."""
        parts_BKD = functional.normalize(pooled_BP.unflatten(1, self.center_KD.shape), dim=2)
        return functional.normalize(parts_BKD - self.center_KD, dim=2).flatten(1)

    def forward(self, pooled_BP: Tensor) -> Tensor:
        """Coordinates (B, width); over the videos it was fitted on they have a mean square length of 1."""
        mapped_BE: Tensor = (self.standard(pooled_BP) - self.mean_P) @ self.directions_PE
        return mapped_BE


def fit_input_map(settings: FitSettings, memory: FrameTensors, trained_V: Tensor) -> InputMap:
    """Fit on whole training videos: principal directions, then :class:`NeighbourLda` with neighbours free of hubs."""
    pooled_VP = pool_whole(memory.some(trained_V), settings).cpu()
    input_map = InputMap(memory.width, POOLED[settings.aggregator], settings.mapped_width(memory.width))
    parts_VKD = functional.normalize(pooled_VP.view(len(pooled_VP), *input_map.center_KD.shape), dim=2)
    input_map.center_KD.copy_(parts_VKD.mean(dim=0))
    standard_VP = input_map.standard(pooled_VP)
    mean_P, axes_PR = _principal(standard_VP)
    found = NeighbourLda.fit(((standard_VP - mean_P) @ axes_PR).numpy(), rounds=ROUNDS, scaled=True)
    directions_PE = axes_PR @ torch.from_numpy(found.directions_DE[:, : input_map.width])
    input_map.mean_P.copy_(mean_P)
    input_map.directions_PE.zero_()
    input_map.directions_PE[:, : directions_PE.shape[1]] = directions_PE
    length = input_map(pooled_VP).square().sum(dim=1).mean().sqrt()
    input_map.directions_PE /= length.clamp(min=1e-12)
    return input_map


def neighbours_in(
    input_map: InputMap, settings: FitSettings, memory: FrameTensors, trained_V: Tensor
) -> Neighbours | None:
    """The training videos' neighbours in the map, where the sampler asks for any."""
    if not settings.neighbours and settings.negatives != "lookalike":
        return None
    mapped_VE = input_map(pool_whole(memory.some(trained_V), settings).cpu())
    count = min(settings.neighbours or 1, neighbour_count(len(trained_V)))
    mapped_VE = mapped_VE - mapped_VE.mean(dim=0)
    nearest_VK = nearest_others(mapped_VE, count, scaled=True)
    return Neighbours.given(trained_V, mapped_VE, nearest_VK, settings.neighbours)


def pool_whole(memory: FrameTensors, settings: FitSettings) -> Tensor:
    """All frames of each video pooled at once (V, P), as the aggregator mean or mean_sd pools a clip's."""
    mean_VD = memory.mean_pool()
    if settings.aggregator == "mean":
        return mean_VD
    return torch.cat([mean_VD, (memory.sd_pool().square() + LEAST_VARIANCE).sqrt()], dim=1)


def _principal(rows_NP: Tensor) -> tuple[Tensor, Tensor]:
    """The mean, and the fewest principal directions (P, R) that hold :data:`KEPT_VARIANCE`; one at least."""
    mean_P = rows_NP.mean(dim=0)
    centered_NP = (rows_NP - mean_P).double()
    if len(rows_NP) > rows_NP.shape[1]:
        variance_R, axes_PR = (found.flip(-1) for found in torch.linalg.eigh(centered_NP.T @ centered_NP))
    else:
        _, length_R, axes_RP = torch.linalg.svd(centered_NP, full_matrices=False)
        variance_R, axes_PR = length_R.square(), axes_RP.T
    held_R = variance_R.clamp(min=0).cumsum(dim=0)
    kept = int(torch.searchsorted(held_R, KEPT_VARIANCE * held_R[-1])) + 1
    return mean_P, axes_PR[:, :kept].float()
