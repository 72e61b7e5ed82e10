from pathlib import Path

import torch

from .steps import step_of
from .trained import learnt


def test_past_and_future_are_told_apart() -> None:
    found = learnt("bidirectional")
    assert found.after > 0.63
    assert found.before < 0.56


def test_the_loss_is_info_nce_with_every_pair_swapped_too(tmp_path: Path) -> None:
    objective, step = step_of("bidirectional", tmp_path, temperature=0.5)
    loss, found, direction = objective.loss(step)
    past_BE, present_BE, future_BE = step.student().unbind(1)
    of_present, of_pair = step.heads
    cosine = torch.nn.functional.cosine_similarity
    losses, right, preferred = [], [], []
    for b in range(8):
        both_ways = [of_pair(torch.cat(way)) for way in zip(past_BE, future_BE, strict=True)]
        both_ways += [of_pair(torch.cat(way)) for way in zip(future_BE, past_BE, strict=True)]
        cosine_N = torch.stack([cosine(of_present(present_BE[b]), pair_W, dim=0) for pair_W in both_ways])
        losses.append(-torch.log_softmax(cosine_N / 0.5, dim=0)[b])
        right.append(float(cosine_N.argmax() == b))
        preferred.append(float(cosine_N[b] > cosine_N[8 + b]))
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    torch.testing.assert_close(found, torch.tensor(right).mean())
    torch.testing.assert_close(direction, torch.tensor(preferred).mean())
