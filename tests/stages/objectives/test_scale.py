from pathlib import Path

import torch

from .steps import step_of
from .trained import learnt


def test_hidden_pieces_are_told_better_than_by_the_mean_of_those_seen() -> None:
    found = learnt("scale", hidden_width=64, lr=0.006, steps=130, lr_schedule="constant")
    assert found.before == 0.0  # it begins as that mean
    assert found.after > 0.06


def test_the_halves_share_no_piece_and_make_the_video(tmp_path: Path) -> None:
    _, step = step_of("scale", tmp_path, steps=0)
    place_BN = (step.batch.labels["when"] * 16).round().long().flatten(1)
    assert torch.equal(place_BN.sort(dim=1).values, torch.arange(16).expand_as(place_BN))
    assert (step.batch.labels["when"].diff(dim=2) > 0).all()
    assert step.batch.frames.shape[1:3] == (2, 8)


def test_the_error_is_that_of_the_other_half(tmp_path: Path) -> None:
    scale, step = step_of("scale", tmp_path, options={"contrast": 0.0})
    frames_BKLD, when_BKL = step.batch.frames, step.batch.labels["when"]
    with torch.no_grad():
        loss, masked, _, _, pretext = scale.loss(step)
        z_BKE = step.student()
        errors, trivial = [], []
        for seen, hidden in ((0, 1), (1, 0)):
            mean_B1D = frames_BKLD[:, seen].mean(dim=1, keepdim=True)
            told_BLD = mean_B1D + step.heads(z_BKE[:, seen], when_BKL[:, hidden] - when_BKL[:, seen, :1])
            errors.append((told_BLD - frames_BKLD[:, hidden]).square().mean())
            trivial.append((mean_B1D - frames_BKLD[:, hidden]).square().mean())
    torch.testing.assert_close(loss, sum(errors) / sum(trivial))
    torch.testing.assert_close(masked, loss)
    torch.testing.assert_close(pretext, 1 - loss)
