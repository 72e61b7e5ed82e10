"""The files of a finished run, read into records and written again."""

import json
from pathlib import Path

from mofore.data.metrics import Metrics, Queries


def test_what_a_run_wrote_is_read_and_written_to_the_byte(finished: Path) -> None:
    text = (finished / "metrics.json").read_text()
    found = Metrics.from_json(json.loads(text))
    assert json.dumps(found.as_json(), indent=2) + "\n" == text
    assert found.retrieval["mofore"].probe is not None
    assert found.fit == found.provenance["fit"]
    (path,) = finished.glob("evaluate/*/queries.json")
    assert json.dumps(Queries.from_json(json.loads(path.read_text())).as_json(), indent=2) + "\n" == path.read_text()
