"""Database augmentation and query expansion against loops."""

import numpy as np
import pytest

from mofore.stages.evaluate.expansion import expanded
from mofore.stages.vectors.normalize import l2_normalize

UNIT = l2_normalize(np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32))
GALLERY = np.array([0, 2, 3, 5, 7, 8, 11, 12, 15, 19])


@pytest.mark.parametrize("queries", [False, True])
def test_vectors_are_means_with_their_nearest_of_the_gallery(queries: bool) -> None:
    found = expanded(UNIT, GALLERY, 3, queries=queries)
    for row in range(len(UNIT)):
        expected = UNIT[row]
        if queries or row in GALLERY:
            others = sorted((n for n in GALLERY.tolist() if n != row), key=lambda n: -float(UNIT[row] @ UNIT[n]))
            expected = (UNIT[row] + UNIT[others[:3]].sum(axis=0)) / 4
            expected = expected / np.linalg.norm(expected)
        assert found[row] == pytest.approx(expected, abs=1e-6), row


def test_a_gallery_smaller_than_the_neighbours_gives_what_it_has() -> None:
    found = expanded(UNIT, GALLERY[:2], 5, queries=True)
    assert found[0] == pytest.approx(found[2], abs=1e-6), "each the mean of both"
    assert np.array_equal(expanded(UNIT, GALLERY[:1], 5, queries=True), UNIT), "nothing to average"
    assert np.array_equal(expanded(UNIT, GALLERY[:0], 5, queries=True), UNIT)
