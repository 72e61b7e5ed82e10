from pathlib import Path

import torch

from mofore.stages.objectives.flow import carried
from mofore.stages.objectives.losses import energy_score

from .steps import step_of
from .trained import learnt


def test_futures_are_drawn_better_than_those_of_other_videos() -> None:
    found = learnt("flow", lr=1e-2, options={"layers": 1})
    assert found.after > 0.04
    assert found.after > found.before + 0.2


def test_the_straight_flow_carries_all_noise_to_its_end() -> None:
    torch.manual_seed(0)
    end_BLD, noise_BLD = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    for steps in (1, 7):
        made_BLD = carried(lambda x_BLD, time_B: (end_BLD - x_BLD) / (1 - time_B[:, None, None]), noise_BLD, steps)
        torch.testing.assert_close(made_BLD, end_BLD, rtol=1e-4, atol=1e-5)


def test_the_loss_is_that_of_flow_matching(tmp_path: Path) -> None:
    objective, step = step_of("flow", tmp_path)
    state = step.generator.get_state()
    loss = objective.loss(step)[0]
    step.generator.set_state(state)
    seen_BLD, coming_BLD = step.batch.frames.unbind(1)
    wanted_BLD = coming_BLD - seen_BLD.mean(dim=1, keepdim=True)
    wanted_BLD = wanted_BLD / wanted_BLD.square().mean().sqrt()
    noise_BLD, time_B = step.noise(8, 6, 64), torch.rand(8, generator=step.generator)
    z_BE = step.networks.student(step.batch.clip(0))
    errors = []
    for b in range(8):
        noised_1LD = (1 - time_B[b]) * noise_BLD[b : b + 1] + time_B[b] * wanted_BLD[b : b + 1]
        velocity_1LD = step.heads(noised_1LD, time_B[b : b + 1], z_BE[b : b + 1])
        errors.append((velocity_1LD[0] - (wanted_BLD[b] - noise_BLD[b])).square().mean())
    torch.testing.assert_close(loss, torch.stack(errors).mean(), rtol=1e-4, atol=1e-5)


def test_the_energy_score_is_its_double_sum_and_least_for_draws_of_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    made_BSF, wanted_BF = torch.randn(2, 3, 4, generator=generator), torch.randn(2, 4, generator=generator)
    scores = []
    for made_SF, wanted_F in zip(made_BSF, wanted_BF, strict=True):
        apart = sum((one - other).norm() for one in made_SF for other in made_SF) / 6
        scores.append(sum((one - wanted_F).norm() for one in made_SF) / 3 - apart / 2)
    torch.testing.assert_close(energy_score(made_BSF, wanted_BF), torch.stack(scores).mean())
    draws_BSF, truth_BF = torch.randn(4000, 4, 2, generator=generator), torch.randn(4000, 2, generator=generator)
    true, moved, narrow = (energy_score(made, truth_BF) for made in (draws_BSF, draws_BSF + 0.5, 0.5 * draws_BSF))
    assert true < moved
    assert true < narrow
