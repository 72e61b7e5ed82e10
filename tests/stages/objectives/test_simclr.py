import pytest
import torch
from torch.nn.functional import cosine_similarity

from mofore.stages.objectives.losses import nt_xent

from .packages import lightly_loss
from .trained import learnt


def test_clips_of_a_video_find_each_other() -> None:
    found = learnt("simclr", aggregator="conv", projection="linear", options={"projector": 32})
    assert found.after > 20 * found.chance
    assert found.after > found.before + 0.15


def test_the_loss_is_that_of_the_equation() -> None:
    one_BE, other_BE = torch.randn(2, 4, 6, generator=torch.manual_seed(0)).unbind()
    views = [*one_BE, *other_BE]
    cosine = [[float(cosine_similarity(a, b, dim=0)) for b in views] for a in views]
    terms = []
    for i in range(8):
        others = sum(pow(2.718281828, cosine[i][k] / 0.5) for k in range(8) if k != i)
        terms.append(-cosine[i][(i + 4) % 8] / 0.5 + float(torch.tensor(others).log()))
    assert float(nt_xent(one_BE, other_BE, 0.5)[0]) == pytest.approx(sum(terms) / 8, rel=1e-5)


def test_the_loss_is_that_of_lightly() -> None:
    one_BE, other_BE = torch.randn(2, 16, 8, generator=torch.manual_seed(0)).unbind()
    theirs = lightly_loss().NTXentLoss(temperature=0.2)(one_BE, other_BE)
    torch.testing.assert_close(nt_xent(one_BE, other_BE, 0.2)[0], theirs)
