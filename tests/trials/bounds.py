"""The oldest versions that pyproject.toml allows, as lines for pip: what `make check-bounds` installs and runs.

python tests/trials/bounds.py pyproject.toml cpu test      prints `av==17.1` and the like, for the extras too
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement


def lowest(pyproject: dict[str, Any], extras: Sequence[str]) -> Iterator[str]:
    """``name==version`` of what it takes to build, to run, and of ``extras``.

    Raises:
        ValueError: if a requirement has no lower bound, so that nothing says what was run.
    """
    project = pyproject["project"]
    wanted = [
        *pyproject["build-system"]["requires"],
        *project["dependencies"],
        *(requirement for extra in extras for requirement in project["optional-dependencies"][extra]),
    ]
    for requirement in map(Requirement, wanted):
        bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        if len(bounds) != 1:
            raise ValueError(f"{requirement} in pyproject.toml has no lower bound: write {requirement.name}>=VERSION")
        yield f"{requirement.name}=={bounds[0]}"


if __name__ == "__main__":
    path, *extras = sys.argv[1:]
    print("\n".join(lowest(tomllib.loads(Path(path).read_text()), extras)))
