import json
from pathlib import Path

import pytest

from mofore.cache.metrics_log import MetricsLog


def test_a_resumed_log_drops_later_steps_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = MetricsLog(path)
    log.write({"step": step, "loss": 1.0} for step in range(1, 6))
    log.close()
    with path.open("ab") as handle:
        handle.write(b'{"step": 6, "lo')
    log = MetricsLog(path)
    log.keep_steps(3)
    log.write([{"step": 4, "loss": 0.5}])
    log.sync()
    log.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 0.5)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.symlink_to("/dev/full")
    log = MetricsLog(path)
    for call in (lambda: log.write([{"step": 1}]), log.close):
        with pytest.raises(OSError, match="No space left on device") as raised:
            call()
        assert raised.value.filename == str(path)
