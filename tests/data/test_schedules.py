import pytest

from mofore.data.fit_settings import FitSettings
from mofore.data.schedules import curriculum_gap, fit_pace


def rounded(name: str, settings: FitSettings, steps: tuple[int, ...] = (0, 50, 100)) -> list[float]:
    return [round(getattr(fit_pace(step, settings), name), 3) for step in steps]


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("lr", {"lr": 1.0}, [1.0, 1.0, 1.0]),
        ("lr", {"lr": 1.0, "lr_schedule": "cosine"}, [1.0, 0.5, 0.0]),
        ("lr", {"lr": 1.0, "warmup_steps": 99}, [0.01, 0.51, 1.0]),
        ("weight_decay", {"weight_decay": 0.1, "weight_decay_end": 0.5}, [0.1, 0.1, 0.1]),
        (
            "weight_decay",
            {"weight_decay": 0.1, "weight_decay_end": 0.5, "weight_decay_schedule": "cosine"},
            [0.1, 0.3, 0.5],
        ),
        ("momentum", {"momentum": 0.9}, [0.9, 0.9, 0.9]),
        ("momentum", {"momentum": 0.9, "momentum_schedule": "cosine"}, [0.9, 0.95, 1.0]),
    ],
)
def test_schedules(name: str, settings: dict[str, float], expected: list[float]) -> None:
    assert rounded(name, FitSettings(steps=100, **settings)) == expected  # type: ignore[arg-type]


def test_the_curriculum_reaches_the_largest_gap_at_half_time() -> None:
    settings = FitSettings(gap_min=2, gap_max=10, gap_distribution="curriculum")
    assert [curriculum_gap(share, settings) for share in (0.0, 0.25, 0.5, 1.0)] == [2, 6, 10, 10]
    assert curriculum_gap(0.0, FitSettings(gap_min=2, gap_max=10)) == 10


def test_the_teacher_goes_toward_the_student_by_what_the_momentum_leaves() -> None:
    assert fit_pace(0, FitSettings(momentum=0.75)).toward == 0.25
