"""``mofore init``: look at the videos, check what was asked for, write ``mofore.toml``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from ..cache.atomic import write_bytes
from ..data.backbone import parse_backbone
from ..data.catalog import Catalog, scan
from ..data.errors import BackboneError, CatalogError, StageError, WorkspaceError
from ..data.splits import make_split
from ..data.types import Split
from . import console
from .config import Config, make_config, parse_override, render
from .workspace import Workspace


def init_workspace(
    root: Path,
    videos: Path,
    *,
    splits: Path | None = None,
    backbone: str | None = None,
    weights: Path | None = None,
    overrides: tuple[str, ...] = (),
    replace: bool = False,
    estimating: bool = True,
) -> Config:
    """Write ``mofore.toml`` into ``root``, having checked that a run could begin with it.

    With ``estimating``, a few frames of a few videos are taken through the backbone to say how long extraction
    would take here.

    Raises:
        WorkspaceError: if there is one already.
        CatalogError: if there are no videos, or the lists don't fit them.
        BackboneError: if the backbone is unknown, or stands for imported features, or the weights' file is not there.
        ConfigError: if a setting is not allowed.
    """
    workspace = Workspace(root)
    if workspace.config.exists() and not replace:
        raise WorkspaceError(f"'{workspace.config}' is there already: change it, or replace it with --force")
    values = _values(workspace, videos, splits, backbone, weights, overrides)
    config = make_config(values)
    if parse_backbone(config.extract.backbone).imported:
        raise BackboneError(f"{config.extract.backbone} is for features without videos: see `mofore import --help`")
    catalog = scan(workspace.resolve(config.data.root), config.data.layout, config.data.images)
    split = make_split(catalog.videos, config.data, splits)
    _check_backbone(config, weights)
    if estimating:
        _say_estimate(config, catalog, weights)
    write_bytes(workspace.config, render(values).encode("utf-8"))
    say_catalog(catalog, split)
    if config.extract.backbone.startswith("random:"):
        console.say("note: random: backbones are untrained; their features show the road, not what videos mean")
    console.say(f"wrote '{workspace.config}'; next: mofore run -w {shlex.quote(str(root))}")
    return config


def say_catalog(catalog: Catalog, split: Split) -> None:
    """What videos there are, and on which side."""
    labels = {video.label for video in catalog.videos if video.label}
    console.say(
        f"{len(catalog.videos):,} videos, {len(labels)} classes (layout {catalog.layout}); split {split.name}: "
        f"{len(split.train):,} to train on, {len(split.test):,} to test on"
    )


def splits_folder(workspace: Workspace, splits: Path) -> str:
    """The folder of the official lists, for the settings.

    Raises:
        CatalogError: if it is none.
    """
    if not splits.is_dir():
        raise CatalogError(f"--splits '{splits}' is not a folder: give the one that holds trainlist01.txt")
    return workspace.shorten(splits)


def _values(
    workspace: Workspace,
    videos: Path,
    splits: Path | None,
    backbone: str | None,
    weights: Path | None,
    overrides: tuple[str, ...],
) -> dict[str, dict[str, Any]]:
    """What the new file sets; what is outside the work folder is named by its absolute path."""
    values: dict[str, dict[str, Any]] = {"data": {"root": workspace.shorten(videos)}, "extract": {}}
    if splits is not None:
        values["data"]["splits"] = splits_folder(workspace, splits)
    if backbone is not None:
        values["extract"]["backbone"] = backbone
    if weights is not None:
        values["extract"]["weights"] = workspace.shorten(weights)
    for section, key, value in map(parse_override, overrides):
        values.setdefault(section, {})[key] = value
    return values


def _check_backbone(config: Config, weights: Path | None) -> None:
    """Refuse an unknown name now rather than after the first command; this is what makes `init` load timm."""
    from ..stages.encoders import check_name
    from ..stages.open_clip_models import find_recipe
    from ..stages.tuned_weights import read_carried
    from ..stages.weight_files import check_weights

    if weights is not None:
        check_weights(weights)
    backbone = parse_backbone(config.extract.backbone)
    check_name(backbone, with_weights=bool(config.extract.weights))
    if backbone.library == "open_clip" and weights is not None:
        find_recipe(backbone, read_carried(weights), from_file=True)


def _say_estimate(config: Config, catalog: Catalog, weights: Path | None) -> None:
    """How long extraction would take; a hub that is out of reach now may be there later."""
    from ..stages import estimate

    console.say(f"measuring this machine with {config.extract.backbone} (--no-estimate leaves it out)")
    try:
        found = estimate.run(config.extract, catalog.root, catalog.videos, weights)
    except StageError as error:
        console.say(f"note: no estimate of the time: {error}")
        return
    console.show_estimate(found)
