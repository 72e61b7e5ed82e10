"""What timm and open_clip say reaches the user; what anyone else says does not."""

import logging
import warnings

import pytest

from mofore.stages.backbone.remarks import library_remarks

FILE = "/site-packages/open_clip/factory.py"


def warned(message: str, category: type[Warning] = UserWarning, file: str = FILE) -> list[str]:
    with library_remarks() as remarks:
        warnings.warn_explicit(message, category, file, 1)
    return remarks


def test_a_warning_of_a_library_is_kept_once() -> None:
    with library_remarks() as remarks:
        for _ in range(2):
            warnings.warn_explicit("QuickGELU\n mismatch", UserWarning, FILE, 1)
    assert remarks == ["QuickGELU mismatch"]


@pytest.mark.parametrize(
    ("message", "category", "file"),
    [
        ("Overwriting vit_tiny in registry", UserWarning, "/site-packages/timm/models/_registry.py"),
        ("use timm.layers", FutureWarning, "/site-packages/timm/models/layers/__init__.py"),
        ("TypedStorage", UserWarning, "/site-packages/torch/storage.py"),
    ],
)
def test_what_is_not_the_users_doing_is_left_out(message: str, category: type[Warning], file: str) -> None:
    assert warned(message, category, file) == []


def test_logged_warnings_of_the_libraries_are_kept_and_shown_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    with library_remarks() as remarks:
        logging.warning("Multiple checkpoints found in %s", "folder")  # as open_clip does
        logging.getLogger("timm.models._builder").warning("Missing keys")
        logging.info("Resizing position embedding")
        logging.info("Instantiating")
        logging.warning("No pretrained weights loaded for model")  # they are about to be, from a file
        logging.getLogger("urllib3").warning("Retrying")
    assert remarks == ["Multiple checkpoints found in folder", "Missing keys", "Resizing position embedding"]
    assert capfd.readouterr() == ("", "")


def test_handlers_come_back_though_the_block_fails() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with pytest.raises(KeyError), library_remarks():
        raise KeyError
    assert (root.handlers[:], root.level) == before
