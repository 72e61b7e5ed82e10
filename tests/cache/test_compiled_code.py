"""C files as libraries: made once, kept, and done without where they cannot be made."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mofore.cache import compiled_code
from mofore.cache.compiled_code import compiled, compilers

needs_compiler = pytest.mark.skipif(not compilers(), reason="no C compiler")


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


def libraries(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "mofore").glob("*.so"))


@needs_compiler
def test_it_is_compiled_once_and_anew_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled(source(tmp_path)).twice(4) == 8  # type: ignore[union-attr]
    assert len(libraries(tmp_path)) == 1
    compiled.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it is there"))
        assert compiled(source(tmp_path)).twice(4) == 8  # type: ignore[union-attr]
    compiled.cache_clear()
    assert compiled(source(tmp_path, "int twice(int x) { return x + x + 1; }")).twice(4) == 9  # type: ignore[union-attr]


@needs_compiler
@pytest.mark.parametrize("left", [0, 9000])
def test_a_damaged_library_is_made_anew_and_not_loaded(tmp_path: Path, left: int) -> None:
    compiled(source(tmp_path))
    (library,) = libraries(tmp_path)
    content = library.read_bytes()
    library.unlink()  # this process has it loaded
    library.write_bytes(content[:left])
    compiled.cache_clear()
    assert compiled(source(tmp_path)).twice(4) == 8  # type: ignore[union-attr]
    assert library.stat().st_size == len(content)


@needs_compiler
def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    assert compiled(source(tmp_path)).twice(4) == 8  # type: ignore[union-attr]


@needs_compiler
def test_a_user_without_a_home_gets_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert compiled(source(tmp_path)).twice(4) == 8  # type: ignore[union-attr]


@needs_compiler
def test_another_processor_gets_code_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(source(tmp_path))
    compiled.cache_clear()
    monkeypatch.setattr(compiled_code, "_processor", lambda: "another")
    compiled(source(tmp_path))
    assert len(libraries(tmp_path)) == 2


@needs_compiler
def test_a_compiler_may_come_with_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", f"{compilers()[0][0]} -DFACTOR=5")
    assert compiled(source(tmp_path, "int twice(int x) { return FACTOR * x; }")).twice(4) == 20  # type: ignore[union-attr]


@needs_compiler
def test_a_compiler_that_takes_too_long_leaves_none_rather_than_a_slower_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def slow(command: list[str], **_: object) -> None:
        tried.append(command)
        raise subprocess.TimeoutExpired(command, 1.0)

    monkeypatch.setattr(subprocess, "run", slow)
    assert compiled(source(tmp_path)) is None
    assert len(tried) == 1


def test_what_no_compiler_takes_is_no_library(tmp_path: Path) -> None:
    assert compiled(source(tmp_path, "this is not C")) is None


def test_without_a_compiler_there_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert compiled(source(tmp_path)) is None
