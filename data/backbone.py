"""The name of a backbone: its library, and what that knows it by; or ``import:NAME`` for none here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from .errors import ConfigError

Library = Literal["timm", "open_clip", "hf", "torchvision", "python", "random", "import"]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A parsed backbone name. ``tag`` names open_clip's pre-training and is empty elsewhere.

    ``import:NAME`` stands for features that were made elsewhere and brought by ``mofore import``.
    """

    library: Library
    name: str
    tag: str = ""

    @property
    def imported(self) -> bool:
        """Whether the features were made elsewhere, so that there is nothing to extract with."""
        return self.library == "import"

    @property
    def with_windows(self) -> bool:
        """Whether its library has models that see several frames at once, for which windows can be set."""
        return self.library in ("hf", "torchvision", "python")

    def __str__(self) -> str:
        return f"{self.library}:{self.name}" + (f"/{self.tag}" if self.tag else "")


def parse_backbone(text: str) -> Backbone:
    """Parse ``LIBRARY:NAME`` (``open_clip:NAME/TAG``).

    The tag may be left out where local weights are given, if the model's tags agree on how they are used.

    Raises:
        ConfigError: if the library is unknown or the name is empty.
    """
    library, _, name = text.partition(":")
    if library not in get_args(Library) or not name:
        raise ConfigError(
            f"extract.backbone = {text!r}: timm:NAME, open_clip:NAME/TAG, hf:OWNER/NAME, torchvision:NAME, "
            "python:MODULE:FUNCTION or random:NAME is needed, for example timm:resnet50.a1_in1k (import:NAME is what "
            "`mofore import` writes)"
        )
    if library != "open_clip":
        return Backbone(cast("Library", library), name)
    # open_clip's own hub names hold slashes (hf-hub:org/name), its plain names don't.
    if name.startswith(("hf-hub:", "local-dir:")):
        return Backbone("open_clip", name)
    name, _, tag = name.partition("/")
    return Backbone("open_clip", name, tag)
