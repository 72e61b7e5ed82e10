import pytest

from mofore.data.schedules import curriculum_gap, learning_rate, momentum, weight_decay
from mofore.data.settings import FitSettings


def rounded(function: object, settings: FitSettings, steps: tuple[int, ...] = (0, 50, 100)) -> list[float]:
    return [round(function(step, settings), 3) for step in steps]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("function", "settings", "expected"),
    [
        (learning_rate, {"lr": 1.0}, [1.0, 1.0, 1.0]),
        (learning_rate, {"lr": 1.0, "lr_schedule": "cosine"}, [1.0, 0.5, 0.0]),
        (learning_rate, {"lr": 1.0, "warmup_steps": 99}, [0.01, 0.51, 1.0]),
        (weight_decay, {"weight_decay": 0.1, "weight_decay_end": 0.5}, [0.1, 0.1, 0.1]),
        (
            weight_decay,
            {"weight_decay": 0.1, "weight_decay_end": 0.5, "weight_decay_schedule": "cosine"},
            [0.1, 0.3, 0.5],
        ),
        (momentum, {"momentum": 0.9}, [0.9, 0.9, 0.9]),
        (momentum, {"momentum": 0.9, "momentum_schedule": "cosine"}, [0.9, 0.95, 1.0]),
    ],
)
def test_schedules(function: object, settings: dict[str, float], expected: list[float]) -> None:
    assert rounded(function, FitSettings(steps=100, **settings)) == expected  # type: ignore[arg-type]


def test_the_curriculum_reaches_the_largest_gap_at_half_time() -> None:
    settings = FitSettings(gap_min=2, gap_max=10, gap_distribution="curriculum")
    assert [curriculum_gap(share, settings) for share in (0.0, 0.25, 0.5, 1.0)] == [2, 6, 10, 10]
    assert curriculum_gap(0.0, FitSettings(gap_min=2, gap_max=10)) == 10
