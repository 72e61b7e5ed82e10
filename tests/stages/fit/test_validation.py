import torch

from mofore.data.fit_settings import FitSettings
from mofore.stages.fit.validation import Key, SeenFrames, Validation, Validator, collapse
from mofore.stages.frames.memory import Clips, FrameTensors
from mofore.stages.model.forecaster import make_forecaster

from ..memory import table

SETTINGS = FitSettings(clip_length=4, gap_max=4, embedding_width=6, hidden_width=6)
HEALTHY = {"effective_rank": 40.0, "sd_mean": 0.04, "unrelated_cosine": 0.4}


def validator(held: list[int], lengths: list[int]) -> Validator:
    memory = FrameTensors.of(table(lengths), torch.device("cpu"))
    chosen = torch.tensor(held, dtype=torch.int64)
    rest = torch.tensor([v for v in range(len(lengths)) if v not in held])
    return Validator(SETTINGS, memory, chosen, rest, [f"v{v}" for v in range(len(lengths))])


def test_a_healthy_space_sounds_no_alarm_and_each_kind_of_collapse_does() -> None:
    assert collapse(HEALTHY, HEALTHY) == ()
    assert collapse(HEALTHY, {"effective_rank": 30.0, "sd_mean": 0.03, "unrelated_cosine": 0.6}) == ()
    for name, value, told in (
        ("effective_rank", 7.0, "effective rank 7.0, it was 40.0"),
        ("sd_mean", 0.01, "standard deviation of a dimension 0.01, it was 0.04"),
        ("unrelated_cosine", 0.95, "cosine of unrelated videos 0.9500, it was 0.4000"),
    ):
        assert collapse(HEALTHY, {**HEALTHY, name: value}) == (told,)


def test_the_same_forecaster_looks_the_same_twice() -> None:
    watching, forecaster = validator([0, 3, 5], [30, 20, 25, 40, 18, 33]), make_forecaster(6, SETTINGS)
    first, second = (watching.validate(forecaster, step, 0.0) for step in (0, 10))
    assert first.figures == second.figures
    assert (first.step, second.step) == (0, 10)
    assert first.figures["videos"] == 3
    assert not first.figures["seen"]


def test_without_held_out_videos_training_ones_are_looked_at_and_that_is_said() -> None:
    look = validator([], [30, 20, 25]).validate(make_forecaster(6, SETTINGS), 0, 0.0)
    assert look.figures["seen"] is True
    assert look.figures["videos"] == 3


def test_videos_too_short_for_a_pair_leave_no_worth() -> None:
    look = validator([], [5, 6, 5]).validate(make_forecaster(6, SETTINGS), 0, 0.0)
    assert look.worth is None
    assert look.figures["alignment"] is None


def test_a_step_is_worth_more_the_nearer_adjoining_clips_are_unless_it_collapses() -> None:
    figures = {"alignment": 0.25}
    assert Validation(1, figures, ()).worth == -0.25
    assert Validation(1, figures, ("effective rank 1.0, it was 40.0",)).worth is None


def test_telling_videos_apart_beats_guessing() -> None:
    forecaster = make_forecaster(6, FitSettings(clip_length=4, gap_max=4, predictor="none", projection="linear"))
    look = validator([], [40] * 12).validate(forecaster, 0, 0.0)
    assert look.figures["info_nce"] < torch.log(torch.tensor(12.0))


def test_means_that_were_kept_are_those_of_clips_of_that_length() -> None:
    memory = FrameTensors.of(table([8]), torch.device("cpu"))
    taken: dict[Key, Clips] = {}
    seen, rows_8 = SeenFrames.some_of(memory, torch.tensor([0]), taken), torch.arange(8)
    for shape in ((2, 4), (4, 2)):
        video_B, rows_BL = torch.zeros(shape[0], dtype=torch.long), rows_8.view(shape)
        for _ in range(2):
            here, there = (of.means(video_B, rows_BL, dense=True).features for of in (seen, memory))
            assert torch.equal(here, there)
    assert len(taken) == 2, "each was taken once"
