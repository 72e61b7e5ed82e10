"""Terms that several objectives share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(
    query_RE: Tensor, key_RE: Tensor, temperature: float, more_QE: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """InfoNCE (van den Oord et al. 2018, arXiv 1807.03748) with cosines: row i's positive is key i.

    Args:
        query_RE: R queries.
        key_RE: their keys; of one query the positive, of the others negatives.
        temperature: of the cosines.
        more_QE: further negatives of all.

    Returns:
        The mean over R, and the logits (R, R + Q) whose diagonal holds the positives.
    """
    query_RE, key_RE = functional.normalize(query_RE, dim=1), functional.normalize(key_RE, dim=1)
    logits_RN = query_RE @ key_RE.T
    if more_QE is not None and len(more_QE):
        logits_RN = torch.cat([logits_RN, query_RE @ more_QE.T], dim=1)
    logits_RN = logits_RN / temperature
    return functional.cross_entropy(logits_RN, torch.arange(len(logits_RN), device=logits_RN.device)), logits_RN


def accuracy(logits_RN: Tensor, answer_R: Tensor | None = None) -> Tensor:
    """Share of rows whose largest logit is the answer's; without answers, the diagonal's."""
    if answer_R is None:
        answer_R = torch.arange(len(logits_RN), device=logits_RN.device)
    return (logits_RN.argmax(dim=1) == answer_R).float().mean()


def cosine_distance(one_RE: Tensor, other_RE: Tensor) -> Tensor:
    """Mean of 2 - 2 cos, the squared distance of unit vectors (BYOL, arXiv 2006.07733)."""
    return 2.0 - 2.0 * functional.cosine_similarity(one_RE, other_RE, dim=-1).mean()


def skill(error: Tensor, trivial: Tensor) -> Tensor:
    """1 - error / error of a trivial answer."""
    return 1.0 - error.detach() / trivial.detach().clamp_min(1e-12)


def classified(logits_RC: Tensor, answer_R: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of a choice among C, and the share of right answers."""
    return functional.cross_entropy(logits_RC, answer_R), accuracy(logits_RC, answer_R)


def nt_xent(one_BE: Tensor, other_BE: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """NT-Xent (SimCLR, arXiv 2002.05709): of 2 B views each has one positive and 2 B - 2 negatives.

    Returns:
        The mean over the views, and logits (2 B, 2 B), minus infinity on the diagonal; view i's positive is i +- B.
    """
    views_RE = functional.normalize(torch.cat([one_BE, other_BE]), dim=1)
    itself_RR = torch.eye(len(views_RE), dtype=torch.bool, device=views_RE.device)
    logits_RR = (views_RE @ views_RE.T / temperature).masked_fill(itself_RR, float("-inf"))
    return functional.cross_entropy(logits_RR, partner(len(views_RE), views_RE.device)), logits_RR


def partner(views: int, device: torch.device) -> Tensor:
    """Of each of 2 B views, B of either kind one after another, where the other of its video is."""
    return torch.arange(views, device=device).roll(views // 2)


def matched(one_BE: Tensor, other_BE: Tensor) -> Tensor:
    """Share of rows that are nearest, by cosine, to the same row of the others."""
    one_BE, other_BE = functional.normalize(one_BE, dim=1), functional.normalize(other_BE, dim=1)
    return accuracy((one_BE @ other_BE.T).detach())


def variance(z_BE: Tensor) -> Tensor:
    """How far the standard deviations fall short of 1, mean over the width (VICReg, arXiv 2105.04906)."""
    return torch.relu(1.0 - (z_BE.var(dim=0) + 1e-4).sqrt()).mean()


def covariance(z_BE: Tensor) -> Tensor:
    """Squared covariances between dimensions, over their number (VICReg)."""
    z_BE = z_BE - z_BE.mean(dim=0)
    cov_EE = z_BE.T @ z_BE / (len(z_BE) - 1)
    return (cov_EE.square().sum() - cov_EE.diagonal().square().sum()) / len(cov_EE)


def energy_score(made_BSF: Tensor, wanted_BF: Tensor) -> Tensor:
    """E |X - y| - E |X - X'| / 2 of S samples, mean over B: least if they are drawn as y is.

    Gneiting and Raftery 2007, Strictly proper scoring rules: the energy score with exponent 1; unbiased.
    """
    samples = made_BSF.shape[1]
    apart_B = torch.cdist(made_BSF, made_BSF).sum(dim=(1, 2)) / (samples * (samples - 1))
    error_B = torch.linalg.vector_norm(made_BSF - wanted_BF[:, None], dim=2).mean(dim=1)
    score: Tensor = (error_B - apart_B / 2).mean()
    return score
