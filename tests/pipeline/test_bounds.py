from pathlib import Path

import pytest

from mofore.tests.trials.bounds import lowest

PROJECT = {
    "build-system": {"requires": ["setuptools>=77"]},
    "project": {
        "dependencies": ["av>=17.1", "numpy>=1.26,<3"],
        "optional-dependencies": {"cpu": ["faiss-cpu>=1.9"], "gpu": ["faiss-gpu>=1.14.3"]},
    },
}


def test_every_bound_becomes_the_version_to_run() -> None:
    assert list(lowest(PROJECT, ["cpu"])) == ["setuptools==77", "av==17.1", "numpy==1.26", "faiss-cpu==1.9"]


@pytest.mark.parametrize("requirement", ["av", "av<18", "av==17.1"])
def test_a_requirement_without_a_lower_bound_is_refused(requirement: str) -> None:
    project = {**PROJECT, "project": {"dependencies": [requirement], "optional-dependencies": {}}}
    with pytest.raises(ValueError, match="has no lower bound: write av>=VERSION"):
        list(lowest(project, []))


def test_this_project_says_what_was_run() -> None:
    import tomllib

    root = Path(__file__).parents[2]
    assert list(lowest(tomllib.loads((root / "pyproject.toml").read_text()), ["cpu", "test"]))
