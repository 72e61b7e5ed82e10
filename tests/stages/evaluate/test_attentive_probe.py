import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from mofore.data.arrays import Float32, Int64
from mofore.stages.evaluate.attentive_probe import attended, attentive_probe, centered
from mofore.stages.evaluate.ranking import Sides

GALLERY, QUERIES = np.arange(300), np.arange(300, 400)


def one_telling_part(mark: float) -> tuple[Float32, Int64]:
    """400 videos of 12 parts, of which one drawn part has the class, and a mark that says that it is this one."""
    rng = np.random.default_rng(0)
    class_V, place_V = rng.integers(0, 4, 400), rng.integers(0, 12, 400)
    parts = 0.3 * rng.standard_normal((400, 12, 32))
    parts[np.arange(400), place_V] += np.eye(4, 32)[class_V] + mark * np.eye(32)[10]
    return (parts / np.linalg.norm(parts, axis=2, keepdims=True)).astype(np.float32), class_V


def sides(class_V: Int64) -> Sides:
    nothing = np.empty((0, 0), np.float32)
    return Sides(nothing, nothing, class_V[QUERIES], class_V[GALLERY])


def test_the_query_finds_the_part_that_tells() -> None:
    parts, classes = one_telling_part(mark=1.0)
    found = attentive_probe(parts, sides(classes), (QUERIES, GALLERY), 0)
    assert found is not None
    assert found.right_Q.mean() > 0.85 > 0.6 > found.mean_right_Q.mean()


def test_where_all_parts_are_alike_it_is_the_linear_probe() -> None:
    parts, classes = one_telling_part(mark=1.0)
    same = np.repeat(parts.mean(axis=1, keepdims=True), 12, axis=1)
    same /= np.linalg.norm(same, axis=2, keepdims=True)
    found = attentive_probe(same, sides(classes), (QUERIES, GALLERY), 0)
    assert found is not None
    flat = centered(same, GALLERY)[:, 0]
    reference = LogisticRegression(C=found.c, max_iter=5000, tol=1e-8).fit(flat[GALLERY], classes[GALLERY])
    expected = (reference.predict(flat[QUERIES]) == classes[QUERIES]).mean()
    assert found.mean_right_Q.mean() == pytest.approx(expected, abs=0.02)
    assert found.right_Q.mean() == pytest.approx(expected, abs=0.02)


def test_attention_is_a_softmax_of_likenesses() -> None:
    parts, query = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)), torch.arange(4.0)
    weights = torch.stack([torch.softmax(each @ query, dim=0) for each in parts])
    expected = torch.stack([(weight[:, None] * each).sum(dim=0) for weight, each in zip(weights, parts, strict=True)])
    assert torch.allclose(attended(parts, query), expected, atol=1e-6)
    assert torch.allclose(attended(parts, torch.zeros(4)), parts.mean(dim=1), atol=1e-6), "it begins as the mean"


def test_one_class_has_no_probe() -> None:
    parts, classes = one_telling_part(mark=1.0)
    assert attentive_probe(parts, sides(0 * classes), (QUERIES, GALLERY), 0) is None
