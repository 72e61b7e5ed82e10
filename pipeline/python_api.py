"""The functions of ``import mofore``: open a work folder, make one, or encode videos without any."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.errors import BackboneError, VideoError
from ..data.remote_path import location
from . import console
from .config import load_config, make_config
from .grid import as_overrides
from .made import PathLike
from .run import Watcher
from .run_folder import Run
from .stored_features import VideoFrames
from .workspace import Workspace

if TYPE_CHECKING:
    from ..stages.search.encoder import QueryEncoder

Settings = Mapping[str, object]  # by section and key, {"fit.lr": 1e-3}


def open_run(
    path: PathLike = ".",
    *,
    set: Settings | None = None,  # noqa: A002 - as the option --set is called
    progress: Watcher | bool = False,
) -> Run:
    """A work folder that is there already.

    Args:
        path: the folder with ``mofore.toml``.
        set: settings that count for all that this object does, as ``--set`` for one command: ``{"fit.lr": 1e-3}``.
        progress: True shows on stderr what the commands show; False shows nothing, and what is worth a note is a Python
            warning; or an object with the methods of :class:`mofore.pipeline.run.Watcher`.

    Raises:
        WorkspaceError: if there is no ``mofore.toml``.
        ConfigError: if a setting is unknown or not allowed.

    >>> run = mofore.open(folder, set={"index.views": 3})
    >>> run.status().up_to_date
    True
    """
    workspace = Workspace.open(_path(path))
    overrides = as_overrides(set or {})
    return Run(workspace, load_config(workspace.config, overrides), overrides=overrides, progress=progress)


def init_run(
    videos: PathLike | Sequence[PathLike],
    workdir: PathLike = ".",
    *,
    backbone: str | None = None,
    weights: PathLike | None = None,
    splits: PathLike | None = None,
    tables: Sequence[PathLike] = (),
    set: Settings | None = None,  # noqa: A002 - as the option --set is called
    replace: bool = False,
    progress: Watcher | bool = False,
) -> Run:
    """Make a work folder for videos (`mofore init`), without measuring how long extraction would take.

    Args:
        videos: a folder or a URL (s3://BUCKET/FOLDER), several, or a list of files (.txt, a path in every line).
        workdir: the work folder, which gets a ``mofore.toml``.
        backbone: timm:NAME, open_clip:NAME/TAG or random:NAME.
        weights: local weights of it.
        splits: folder of UCF101's official lists.
        tables: files that say classes, sides, groups and segments.
        set: further settings to write.
        replace: a ``mofore.toml`` that is there.
        progress: as for :func:`mofore.open`.

    Raises:
        WorkspaceError: if there is a work folder already.
        CatalogError: if there are no videos, or the lists don't fit them.
        BackboneError: if the backbone is unknown.
        ConfigError: if a setting is not allowed.

    >>> run = mofore.init(videos, new_folder, backbone="random:test_efficientnet")
    >>> run.status().stages["extract"].todo
    20
    """
    from .commands.init import NewWorkspace, init_workspace

    several = [videos] if isinstance(videos, str | os.PathLike) else videos
    new = NewWorkspace(
        [location(os.fspath(path)) for path in several],
        None if splits is None else _path(splits),
        [*map(_path, tables)],
        backbone,
        None if weights is None else _path(weights),
        as_overrides(set or {}),
    )
    init_workspace(
        _path(workdir), new, replace=replace, estimating=False, say=console.say if progress is True else _say_nothing
    )
    return open_run(workdir, progress=progress)


def encode(
    paths: PathLike | Sequence[PathLike], backbone: str, *, weights: PathLike | None = None, **settings: object
) -> list[VideoFrames]:
    """The features of every frame of video files, without a work folder; nothing is stored.

    It computes in fp32 in this process, one file after another; for many videos make a work folder.

    Args:
        paths: files, or folders of numbered images; one or several.
        backbone: timm:NAME, open_clip:NAME/TAG or random:NAME.
        weights: local weights of it.
        settings: those of ``[extract]`` that apply: image_size, stride, fps, device, damaged, ...

    Returns:
        For each file its features (T, D) float16 and times (T,) in seconds.

    Raises:
        BackboneError: if the backbone is unknown.
        ConfigError: if a setting is unknown or not allowed.
        VideoError: if a file cannot be read.

    >>> (frames,) = mofore.encode(video, "random:test_efficientnet")
    >>> frames.features.shape, frames.times_s.shape
    ((24, 256), (24,))
    """
    encoder = _encoder(backbone, weights, settings)
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    found = []
    for path in map(Path, several):
        file = path.expanduser()
        if not file.exists():
            raise VideoError(f"'{path}' does not exist")
        table = encoder.of_file(file, None)
        found.append(VideoFrames.of(str(path), table))
    return found


def _encoder(backbone: str, weights: PathLike | None, settings: Mapping[str, object]) -> QueryEncoder:
    from ..data.backbone import parse_backbone
    from ..stages.backbone.encoder import check_name
    from ..stages.search.encoder import QueryEncoder

    given: dict[str, Any] = {**settings, "backbone": backbone, "weights": os.fspath(weights or "")}
    config = make_config({"extract": given}).extract
    parsed = parse_backbone(backbone)
    if parsed.imported:
        raise BackboneError(f"{backbone} stands for features that were imported: name the backbone that makes them")
    check_name(parsed, with_weights=weights is not None)
    precision = "bf16" if config.precision == "bf16" else "fp32"
    return QueryEncoder(config, None if weights is None else _path(weights), {"precision": precision, "folded": False})


def _path(path: PathLike) -> Path:
    return Path(path).expanduser()


def _say_nothing(_text: str) -> None:
    """Take a message, and show it nowhere."""
