import numpy as np
import pytest

from mofore.pipeline.stages.report import has_tsne
from mofore.stages.report.maps import pca_map, tsne_map


def drawn(videos: int, width: int) -> np.ndarray:
    vectors_VE = np.random.default_rng(0).normal(size=(videos, width)) * np.linspace(3, 0.1, width)
    return (vectors_VE / np.linalg.norm(vectors_VE, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("videos", "width"), [(50, 8), (8, 50)])
def test_the_map_shows_the_directions_of_most_variance(videos: int, width: int) -> None:
    vectors_VE = drawn(videos, width)
    found = pca_map("mofore", vectors_VE)
    about_VE = vectors_VE - vectors_VE.mean(axis=0)
    left_VR, length_R, _ = np.linalg.svd(about_VE, full_matrices=False)
    for axis in range(2):
        correlation = np.corrcoef(found.places_V2[:, axis], left_VR[:, axis])[0, 1]
        assert abs(correlation) == pytest.approx(1, abs=1e-4)
    share = (length_R[:2] ** 2).sum() / (length_R**2).sum()
    assert f"{100 * share:.0f} %" in found.how


def test_the_map_fills_the_unit_square_and_keeps_its_shape() -> None:
    places_V2 = pca_map("mofore", drawn(50, 8)).places_V2
    assert places_V2.min() >= 0
    assert places_V2.max() <= 1
    assert (places_V2.max(axis=0) - places_V2.min(axis=0)).max() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "vectors_VE", [np.ones((1, 4), np.float32), np.ones((3, 1), np.float32), np.ones((5, 4), np.float32)]
)
def test_videos_that_do_not_differ_lie_in_the_middle(vectors_VE: np.ndarray) -> None:
    assert np.allclose(pca_map("mofore", vectors_VE).places_V2, 0.5)


@pytest.mark.skipif(not has_tsne(), reason="openTSNE is not installed: pip install 'mofore[map]'")
def test_t_sne_keeps_two_clusters_apart_and_is_the_same_again() -> None:
    generator = np.random.default_rng(0)
    vectors_VE = generator.normal(size=(40, 6)).astype(np.float32) * 0.05
    vectors_VE[:20, 0] += 1
    first, again = tsne_map("mofore", vectors_VE), tsne_map("mofore", vectors_VE)
    assert np.array_equal(first.places_V2, again.places_V2)
    centre = [first.places_V2[:20].mean(axis=0), first.places_V2[20:].mean(axis=0)]
    spread = max(first.places_V2[:20].std(), first.places_V2[20:].std())
    assert np.linalg.norm(centre[0] - centre[1]) > 2 * spread
