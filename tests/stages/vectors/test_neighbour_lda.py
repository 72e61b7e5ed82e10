"""The closed form against the equations written out."""

import numpy as np
import pytest
import torch

from mofore.data.arrays import Float32, Float64
from mofore.stages.vectors.neighbour_lda import NeighbourLda, nearest_others, neighbour_count
from mofore.stages.vectors.normalize import l2_normalize


def grouped(groups: int, each: int, width: int, noise: float = 0.6, seed: int = 0) -> Float32:
    """Unit vectors around group centres of four dimensions, noise in all."""
    rng = np.random.default_rng(seed)
    centers_GD = np.zeros((groups, width))
    centers_GD[:, :4] = rng.standard_normal((groups, 4))
    rows_ND = centers_GD.repeat(each, axis=0) + noise * rng.standard_normal((groups * each, width))
    return l2_normalize((rows_ND - rows_ND.mean(axis=0)).astype(np.float32))


def slow_neighbours(rows_NE: Float64, k: int) -> list[list[int]]:
    unit_NE = rows_NE / np.linalg.norm(rows_NE, axis=1, keepdims=True)
    cosine_NN = unit_NE @ unit_NE.T
    order = [np.argsort(-cosine_N, kind="stable").tolist() for cosine_N in cosine_NN]
    return [[other for other in others if other != row][:k] for row, others in enumerate(order)]


def slow_fit(rows_ND: Float32, k: int) -> tuple[Float64, Float64]:
    """Eigenvalues above 1 and weighted directions: pairs one by one, and the eigenvalues of a matrix as it stands."""
    x_ND = rows_ND.astype(np.float64) - rows_ND.mean(axis=0, dtype=np.float64)
    width, space_NE = x_ND.shape[1], x_ND
    total_DD = sum(np.outer(x, x) for x in x_ND) / len(x_ND)
    for _ in range(2):
        near = slow_neighbours(space_NE, k)
        pairs = [x_ND[row] - x_ND[other] for row, others in enumerate(near) for other in others]
        within_DD = sum(np.outer(d, d) for d in pairs) / (2 * len(pairs))
        within_DD += 0.3 * np.trace(within_DD) / width * np.eye(width)
        value_D, vector_DD = (part.real for part in np.linalg.eig(np.linalg.inv(within_DD) @ total_DD))
        order = [n for n in np.argsort(-value_D) if value_D[n] > 1]
        scaled = [vector_DD[:, n] / np.sqrt(vector_DD[:, n] @ within_DD @ vector_DD[:, n]) for n in order]
        weighted_DE = np.stack([v * (value_D[n] - 1) / value_D[n] for n, v in zip(order, scaled, strict=True)], axis=1)
        space_NE = x_ND @ weighted_DE[:, :64]
    return value_D[order], weighted_DE


@pytest.mark.parametrize(("groups", "each", "width"), [(6, 15, 10), (5, 6, 40)], ids=["more rows", "more dimensions"])
def test_fit_is_the_equations_written_out(groups: int, each: int, width: int) -> None:
    rows_ND = grouped(groups, each, width)
    found = NeighbourLda.fit(rows_ND, 4)
    value_E, directions_DE = slow_fit(rows_ND, 4)
    assert found.eigenvalues_E == pytest.approx(value_E, rel=1e-4), "float32 rows"
    signs_E = np.sign((found.directions_DE * directions_DE).sum(axis=0))
    assert np.abs(found.directions_DE * signs_E - directions_DE).max() < 2e-3 * np.abs(directions_DE).max()
    unseen_MD = grouped(3, 4, width, seed=1)
    expected_ME = (unseen_MD - rows_ND.mean(axis=0)) @ (directions_DE * signs_E)
    assert found.transform(unseen_MD) == pytest.approx(expected_ME, abs=2e-3 * np.abs(expected_ME).max())


def test_unseen_vectors_of_a_group_come_closer() -> None:
    rows_ND = grouped(40, 20, 32)
    group_N, seen = np.arange(40).repeat(20), np.arange(800) % 2 == 0
    mapped_NE = l2_normalize(NeighbourLda.fit(rows_ND[seen], 8).transform(rows_ND))

    def nearest_right(vectors_NE: Float32) -> float:
        best_M = (vectors_NE[~seen] @ vectors_NE[seen].T).argmax(axis=1)
        return float((group_N[seen][best_M] == group_N[~seen]).mean())

    assert nearest_right(mapped_NE) > nearest_right(rows_ND) + 0.05


def test_equal_vectors_and_few_rows_have_an_outcome() -> None:
    pair_ND = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    assert NeighbourLda.fit(pair_ND).transform(pair_ND).shape == (2, 1)
    for width in (3, 7):
        same_ND = np.ones((5, width), np.float32)
        assert np.isfinite(NeighbourLda.fit(same_ND).transform(same_ND)).all()
    copies_ND = np.eye(3, dtype=np.float32).repeat(4, axis=0)
    assert len(np.unique(NeighbourLda.fit(copies_ND, 3).transform(copies_ND).round(3), axis=0)) == 3
    with pytest.raises(ValueError, match="1 neighbours of each of 1 vectors"):
        NeighbourLda.fit(pair_ND[:1])
    with pytest.raises(ValueError, match="5 neighbours of each of 5 vectors: from 1 to 4"):
        NeighbourLda.fit(same_ND, 5)


def test_neighbours_are_one_in_thirty_and_at_most_forty() -> None:
    assert [neighbour_count(rows) for rows in (2, 59, 60, 1341, 9537)] == [1, 1, 2, 40, 40]


def test_scaled_neighbours_are_the_formula_written_out() -> None:
    rows_ND, k = grouped(5, 8, 12), 4
    cosine_NN = l2_normalize(rows_ND) @ l2_normalize(rows_ND).T
    np.fill_diagonal(cosine_NN, -np.inf)
    crowding_N = np.sort(cosine_NN, axis=1)[:, -k:].mean(axis=1)
    scaled_NN = 2 * cosine_NN - crowding_N[:, None] - crowding_N
    found_NK = nearest_others(torch.from_numpy(rows_ND), k, scaled=True).numpy()
    assert (found_NK == np.argsort(-scaled_NN, axis=1)[:, :k]).all()


def test_scaled_neighbours_are_less_often_hubs() -> None:
    rng = np.random.default_rng(0)
    rows_ND = (rng.standard_normal((300, 30)) + 0.5).astype(np.float32)  # a common mean makes hubs
    most = [
        int(torch.bincount(nearest_others(torch.from_numpy(rows_ND), 10, scaled=scaled).flatten()).max())
        for scaled in (False, True)
    ]
    assert most[1] < 0.7 * most[0]


def test_further_rounds_find_neighbours_again() -> None:
    rows_ND = grouped(6, 15, 10)
    twice, thrice = (NeighbourLda.fit(rows_ND, 4, rounds=rounds) for rounds in (2, 3))
    assert np.array_equal(NeighbourLda.fit(rows_ND, 4).directions_DE, twice.directions_DE)
    assert thrice.eigenvalues_E[0] > twice.eigenvalues_E[0], "neighbours of a better space are closer in it"
