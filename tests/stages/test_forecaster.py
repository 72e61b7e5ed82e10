import torch
from mofore.data.settings import FitSettings
from mofore.stages.forecaster import make_forecaster

SETTINGS = FitSettings(embedding_width=6, hidden_width=5)


def test_the_teacher_is_the_moving_average_of_equation_6() -> None:
    forecaster = make_forecaster(4, SETTINGS)
    before = [parameter.clone() for parameter in forecaster.teacher.parameters()]
    with torch.no_grad():
        for parameter in forecaster.student.parameters():
            parameter.add_(1.0)
    forecaster.update_teacher(0.7)
    for old, student, teacher in zip(
        before, forecaster.student.parameters(), forecaster.teacher.parameters(), strict=True
    ):
        assert torch.allclose(teacher, 0.7 * old + 0.3 * student)
        assert not torch.equal(teacher, old)


def test_the_teacher_starts_as_the_student_and_is_not_trained() -> None:
    forecaster = make_forecaster(4, SETTINGS)
    assert float(forecaster.teacher_drift()) == 0.0
    assert not any(parameter.requires_grad for parameter in forecaster.teacher.parameters())
    trained = {id(parameter) for parameter in forecaster.trained_parameters()}
    assert not trained & {id(parameter) for parameter in forecaster.teacher.parameters()}


def test_drift_is_a_relative_distance() -> None:
    forecaster = make_forecaster(4, SETTINGS)
    with torch.no_grad():
        for parameter in forecaster.teacher.parameters():
            parameter.mul_(0.9)
    assert torch.isclose(forecaster.teacher_drift(), torch.tensor(0.1))


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = make_forecaster(4, SETTINGS).state_dict()
    torch.manual_seed(2)
    again = make_forecaster(4, SETTINGS).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_mean_cannot_see_the_order_of_frames() -> None:
    forecaster = make_forecaster(4, SETTINGS)
    clips = torch.randn(3, 8, 4)
    assert torch.allclose(forecaster.forecast(clips), forecaster.forecast(clips.flip(1)), atol=1e-6)
