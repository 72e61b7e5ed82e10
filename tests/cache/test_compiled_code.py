"""C files as libraries: made once, kept, and done without where they cannot be made."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mofore.cache import compiled_code
from mofore.cache.compiled_code import compiled

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, compiled_code.COMPILERS)), reason="no C compiler")


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiled.cache_clear()
    yield
    compiled.cache_clear()


def source(tmp_path: Path, text: str = "int twice(int x) { return 2 * x; }") -> Path:
    path = tmp_path / "twice.c"
    path.write_text(text)
    return path


@needs_compiler
def test_it_is_compiled_once_and_anew_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled(source(tmp_path)).twice(4) == 8  # type: ignore[union-attr]
    kept = list((tmp_path / "cache" / "mofore").iterdir())
    assert [path.suffix for path in kept] == [".so"]
    compiled.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(compiled_code, "_compile", lambda *_: pytest.fail("it is there"))
        assert compiled(source(tmp_path)).twice(4) == 8  # type: ignore[union-attr]
    compiled.cache_clear()
    assert compiled(source(tmp_path, "int twice(int x) { return x + x + 1; }")).twice(4) == 9  # type: ignore[union-attr]


@needs_compiler
def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    assert compiled(source(tmp_path)).twice(4) == 8  # type: ignore[union-attr]


@needs_compiler
def test_another_processor_gets_code_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(source(tmp_path))
    compiled.cache_clear()
    monkeypatch.setattr(compiled_code, "_processor", lambda: "another")
    compiled(source(tmp_path))
    assert len(list((tmp_path / "cache" / "mofore").iterdir())) == 2


def test_what_no_compiler_takes_is_no_library(tmp_path: Path) -> None:
    assert compiled(source(tmp_path, "this is not C")) is None


def test_without_a_compiler_there_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert compiled(source(tmp_path)) is None
