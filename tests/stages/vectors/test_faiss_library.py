import importlib

import pytest

from mofore.data.errors import StageError
from mofore.stages.vectors import faiss_library


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'faiss'", name="faiss"), "faiss is not installed: pip install"),
        (
            ModuleNotFoundError("No module named 'numpy._core'", name="numpy._core"),
            r"cannot be imported \(No module named 'numpy._core'\)",
        ),
        (ImportError("libcuda.so: cannot open shared object file"), r"cannot be imported \(libcuda\.so"),
    ],
)
def test_what_is_missing_is_said(error: ImportError, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(StageError, match=said):
        faiss_library.faiss.__wrapped__()
