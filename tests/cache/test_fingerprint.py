import os
from pathlib import Path

import pytest
from mofore.cache.fingerprint import current_state, digest, file_state, stage_fingerprint


def test_order_of_keys_does_not_matter_and_values_do() -> None:
    assert digest({"a": 1, "b": [2.5, "x"]}) == digest({"b": [2.5, "x"], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert stage_fingerprint("fit", 1, {"lr": 1e-4}, "u") != stage_fingerprint("fit", 2, {"lr": 1e-4}, "u")


def test_equal_size_and_time_is_trusted_without_reading(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(b"abc")

    def refuse(_path: Path) -> str:
        pytest.fail("the file was read")

    assert current_state(path, file_state(path), refuse) == file_state(path)


def test_another_time_with_the_same_content_has_the_same_digest(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(b"abc")
    recorded = file_state(path)
    os.utime(path, ns=(1, 1))
    present = current_state(path, recorded)
    assert present is not None
    assert (present.mtime_ns, present.sha256) == (1, recorded.sha256)


def test_a_file_that_is_gone_has_no_state(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(b"abc")
    recorded = file_state(path)
    path.unlink()
    assert current_state(path, recorded) is None
