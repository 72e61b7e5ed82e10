from pathlib import Path

import pytest
import torch

from .steps import loss_of, step_of, unit
from .trained import learnt


def test_a_clip_is_told_from_itself_with_its_time_broken() -> None:
    found = learnt("iic", options={"projector": 32})
    assert found.chance == 0.5
    assert found.after > 0.8


@pytest.mark.parametrize("broken", ["shuffle", "repeat"])
def test_the_broken_clip_has_the_frames_of_the_first(broken: str, tmp_path: Path) -> None:
    _, step = step_of("iic", tmp_path, steps=0, options={"broken": broken})
    first_BLD, _, broken_BLD = step.batch.frames.unbind(dim=1)
    whence_BL = torch.cdist(broken_BLD, first_BLD).argmin(dim=2)
    torch.testing.assert_close(first_BLD.gather(1, whence_BL[..., None].expand_as(first_BLD)), broken_BLD)
    ordered_BL = torch.arange(6).expand_as(whence_BL)
    if broken == "shuffle":
        assert torch.equal(whence_BL.sort(dim=1).values, ordered_BL)
        assert not torch.equal(whence_BL, ordered_BL)
    else:
        assert torch.equal(whence_BL, whence_BL[:, :1].expand_as(whence_BL))


def test_the_loss_has_broken_clips_as_further_negatives(tmp_path: Path) -> None:
    iic, step = step_of("iic", tmp_path, temperature=0.2)
    with torch.no_grad():
        clip_BP, other_BP, broken_BP = unit(step.heads(step.student().flatten(0, 1))).view(8, 3, -1).unbind(dim=1)
    terms = []
    for query_BP, key_BP in ((clip_BP, other_BP), (other_BP, clip_BP)):
        for i in range(8):
            logits_N = torch.cat([key_BP, broken_BP]) @ query_BP[i] / 0.2
            terms.append(-logits_N[i] + logits_N.exp().sum().log())
    torch.testing.assert_close(loss_of(iic, step), torch.stack(terms).mean(), rtol=1e-4, atol=1e-5)
