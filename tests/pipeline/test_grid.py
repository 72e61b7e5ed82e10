from pathlib import Path

import pytest

from mofore.data.errors import ConfigError, UsageError
from mofore.pipeline.grid import Axis, grid_overrides, grid_runs, parse_grid


def test_commas_separate_values_but_in_quotes_and_brackets() -> None:
    fixed, axes = parse_grid(
        ["fit.lr=1e-4, 1e-3", "fit.steps=9", 'index.spaces="mofore, frames",mofore', 'data.exclude=["a", "b"]']
    )
    assert fixed == ("fit.steps=9", 'data.exclude=["a", "b"]')
    assert axes == (Axis("fit.lr", ("1e-4", "1e-3")), Axis("index.spaces", ('"mofore, frames"', "mofore")))


def test_runs_are_all_combinations_with_the_last_setting_fastest(tmp_path: Path) -> None:
    toml = tmp_path / "mofore.toml"
    toml.write_text("[fit]\nsteps = 7\nmomentum = 0.5\n")
    fixed, axes = parse_grid(["fit.preset=paper,default", "fit.seed=0,1,2", "fit.momentum=0.8"])
    runs = grid_runs(toml, fixed, axes)
    assert [(run.config.fit.preset, run.config.fit.seed) for run in runs] == [
        (preset, seed) for preset in ("paper", "default") for seed in (0, 1, 2)
    ]
    assert {(run.config.fit.steps, run.config.fit.momentum) for run in runs} == {(7, 0.8)}
    assert [run.config.fit.batch_size for run in runs] == [8] * 3 + [256] * 3, "a preset fills what is not given"
    assert runs[4].values == {"fit.preset": "default", "fit.seed": 1}
    assert runs[4].name == "preset=default seed=1"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (["fit.steps=3"], UsageError, "nothing to sweep: give a setting several values, as --set fit.seed=0,1,2"),
        (["fit.lr=1e-3,,1e-4"], ConfigError, "a value is missing beside a comma"),
        (["fit.lr=1e-3,"], ConfigError, "a value is missing beside a comma"),
        (["fit.lr=1e-3,0.001"], ConfigError, "0.001 is given twice"),
        (["fit.lr=1,2", "fit.lr=3,4"], ConfigError, "fit.lr is given twice: put all of its values into one list"),
        (["seed=0,1"], UsageError, "say which seed: --set fit.seed=0,1"),
        (["extract.fps=1,2"], UsageError, "for each value of extract.fps use a command of its own"),
        (["finetune.lr=1,2"], UsageError, "for each value of finetune.lr"),
    ],
)
def test_what_is_no_grid_is_refused(given: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_grid(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["fit.seed=0,1", "fit.lr=1e-3,fast"], "fit.lr = 'fast': a number from 0 to 10 is needed .*seed=0 fit.lr=fast"),
        (["fit.lrr=1,2"], "did you mean 'fit.lr'"),
        (["fit.gap_min=0,8", "fit.gap_max=4,8"], r"gap_max = 4.*\(of the run fit.gap_min=8 fit.gap_max=4"),
    ],
)
def test_a_wrong_value_is_named_with_its_run(tmp_path: Path, given: list[str], message: str) -> None:
    toml = tmp_path / "mofore.toml"
    toml.write_text("")
    with pytest.raises(ConfigError, match=message):
        grid_runs(toml, *parse_grid(given))


def test_a_grid_of_python_is_that_of_the_command_line() -> None:
    given = grid_overrides({"fit.lr": [1e-4, 1e-3], "fit.seed": range(3), "fit.keep": ("last", "best"), "fit.steps": 9})
    assert parse_grid(given) == (
        ("fit.steps=9",),
        (
            Axis("fit.lr", ("0.0001", "0.001")),
            Axis("fit.seed", ("0", "1", "2")),
            Axis("fit.keep", ('"last"', '"best"')),
        ),
    )
    with pytest.raises(ConfigError, match="a text, a number"):
        grid_overrides({"fit.lr": [object()]})
