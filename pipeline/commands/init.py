"""``mofore init``: look at the videos, check what was asked for, write ``mofore.toml``."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cache.atomic import write_bytes
from ...data.backbone import parse_backbone
from ...data.catalog import Catalog
from ...data.errors import BackboneError, CatalogError, StageError, WorkspaceError
from ...data.official_lists import has_lists
from ...data.splits import make_split
from ...data.types import Split
from ...data.wording import counted
from .. import console
from ..catalogs import look_up
from ..config import Config, make_config, override, render
from ..workspace import Workspace
from ..writable import refuse_unwritable

MOST_CLASSES = 12  # that are listed by name


Values = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class NewWorkspace:
    """What a work folder is to be about."""

    videos: Sequence[Path]  # folders of videos, or one list of files
    splits: Path | None = None  # folder of UCF101's official lists
    tables: Sequence[Path] = ()  # files that describe the videos
    backbone: str | None = None  # its name; None for the default one
    weights: Path | None = None  # file of local weights, if any
    overrides: tuple[str, ...] = ()  # settings to write, as ``section.key=value``; they count most

    def values(self, workspace: Workspace) -> Values:
        """What the new file sets, by section; what is outside the work folder is named by its absolute path.

        Raises:
            CatalogError: if the lists or a table are not there.
            ConfigError: if an override has no section, key and value.
        """
        roots = [workspace.shorten(each) for each in self.videos]
        data = {"root": roots[0] if len(roots) == 1 else roots, **described_by(workspace, self.splits, self.tables)}
        weights = None if self.weights is None else workspace.shorten(self.weights)
        extract = {"backbone": self.backbone, "weights": weights}
        given = {name: value for name, value in extract.items() if value is not None}
        return with_overrides({"data": data, "extract": given}, self.overrides)


def init_workspace(
    root: Path,
    new: NewWorkspace,
    *,
    replace: bool = False,
    estimating: bool = True,
    say: Callable[[str], None] = console.say,
) -> Config:
    """Write ``mofore.toml`` into ``root``, having checked that a run could begin with it.

    Args:
        root: the work folder.
        new: what it is about.
        replace: a ``mofore.toml`` that is there.
        estimating: whether to take a few frames of a few videos through the backbone, and say how long extraction
            would take here.
        say: told of the videos, and of what comes next.

    Raises:
        WorkspaceError: if there is one already.
        CatalogError: if there are no videos, or the lists don't fit them.
        BackboneError: if the backbone is unknown, or stands for imported features, or the weights' file is not there.
        ConfigError: if a setting is not allowed.
    """
    workspace = Workspace(root)
    if workspace.config.exists() and not replace:
        raise WorkspaceError(f"'{workspace.config}' is there already: change it, or replace it with --force")
    values = new.values(workspace)
    config = make_config(values)
    refuse_unwritable(workspace.config, "-w", root)
    if parse_backbone(config.extract.backbone).imported:
        raise BackboneError(f"{config.extract.backbone} is for features without videos: see `mofore import --help`")
    catalog = look_up(workspace, config)
    split = make_split(catalog.videos, config.data, new.splits, catalog.divisions)
    _check_backbone(config, new.weights)
    if estimating:
        _say_estimate(config, catalog, new.weights)
    elif new.weights is not None:
        _check_weights(config, new.weights)
    write_bytes(workspace.config, render(values).encode("utf-8"))
    say_catalog(catalog, split, say)
    if config.extract.backbone.startswith("random:"):
        say("note: random: backbones are untrained; their features show the road, not what videos mean")
    say(f"wrote '{workspace.config}'; next: mofore run -w {shlex.quote(str(root))}")
    return config


def say_catalog(catalog: Catalog, split: Split, say: Callable[[str], None] = console.say) -> None:
    """What videos there are, of which classes, and on which side."""
    counts = Counter(label for video in catalog.videos for label in video.labels)
    unassigned = len(catalog.videos) - len(split.train) - len(split.test) - sum(map(len, split.others.values()))
    asking = f" ({split.asking})" if split.asking != "test" else ""
    others = [f"{len(ids):,} more in {side}" for side, ids in split.others.items()]
    others += [f"{unassigned:,} on no side"] * bool(unassigned)
    parts = {name: len(split.test & ids) for name, ids in catalog.subsets.items()}
    others += [f"{count:,} of those to test on in '{name}'" for name, count in parts.items()]
    classes = counted(len(counts), "class", "classes")
    say(
        f"{counted(len(catalog.videos), 'video')}, {classes} (layout {catalog.layout}); split {split.name}: "
        + ", ".join([f"{len(split.train):,} to train on", f"{len(split.test):,} to test on{asking}", *others])
    )
    if counts:
        say(_class_counts(counts, sum(not video.labels for video in catalog.videos)))
    else:
        say(
            "note: no video has a class, so that retrieval (R@1, mAP) and probes cannot be measured; forecasts can. "
            "Classes come from folders, names (v_<Class>_gNN_cNN) or a table (--table)"
        )
    for note in (*catalog.notes, *split.notes):
        say(f"note: {note}")


def _class_counts(counts: Counter[str], without: int) -> str:
    """The classes with their numbers of videos, the largest first; of many, the first and the last ones."""
    ordered = [
        f"{_quoted(label)} {count:,}" for label, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    ]
    if len(ordered) > MOST_CLASSES:
        hidden = len(ordered) - MOST_CLASSES
        ordered = [*ordered[: MOST_CLASSES - 2], f"({hidden:,} more)", *ordered[-2:]]
    return f"classes: {', '.join(ordered)}" + (f"; without a class: {without:,}" if without else "")


def _quoted(label: str) -> str:
    """A class as it stands in a list: in quotes where it holds what separates them."""
    return f"'{label}'" if "," in label or ";" in label else label


def described_by(workspace: Workspace, splits: Path | None, tables: Sequence[Path]) -> dict[str, Any]:
    """The folder of UCF101's lists and the paths of tables, where they are given, for the settings.

    Raises:
        CatalogError: if one is not there, or is none.
    """
    lists = {} if splits is None else {"lists": _splits_folder(workspace, splits)}
    absent = next((table for table in tables if not table.exists()), None)
    if absent is not None:
        raise CatalogError(f"--table '{absent}' does not exist: give a file (CSV, TSV, JSON), or a folder of lists")
    return {**lists, "table": [workspace.shorten(table) for table in tables]} if tables else lists


def _splits_folder(workspace: Workspace, splits: Path) -> str:
    if not splits.is_dir() or not any(has_lists(splits, number) for number in (1, 2, 3)):
        what = "does not exist" if not splits.exists() else "holds no trainlist01.txt and testlist01.txt"
        raise CatalogError(
            f"--splits '{splits}' {what}: it is for UCF101's lists. Tables (CSV, TSV, JSON) and what HMDB51, Kinetics, "
            "Something-Something V2, Diving48 or ActivityNet ship are given with --table"
        )
    return workspace.shorten(splits)


def with_overrides(values: Values, overrides: tuple[str, ...]) -> Values:
    """The values with those of ``section.key=value`` in their places.

    Raises:
        ConfigError: if an override has another form.
    """
    for text in overrides:
        override(values, text)
    return values


def _check_backbone(config: Config, weights: Path | None) -> None:
    """Refuse an unknown name now rather than after the first command; this is what makes `init` load timm."""
    from ...stages.backbone.encoder import check_name
    from ...stages.backbone.hf_models import hf_folder
    from ...stages.backbone.weight_files import check_weights

    backbone = parse_backbone(config.extract.backbone)
    if backbone.library == "hf":
        hf_folder(backbone, weights)
    elif weights is not None:
        check_weights(weights)
    check_name(backbone, with_weights=bool(config.extract.weights))
    if backbone.library == "open_clip" and weights is not None:
        from ...stages.backbone.open_clip_models import find_recipe
        from ...stages.backbone.tuned_weights import read_carried

        find_recipe(backbone, read_carried(weights), from_file=True)


def _check_weights(config: Config, weights: Path) -> None:
    """Refuse weights of another model now; an estimate loads them anyway."""
    import torch

    from ...stages.backbone.encoder import load_encoder

    load_encoder(config.extract, weights, torch.device("cpu"))


def _say_estimate(config: Config, catalog: Catalog, weights: Path | None) -> None:
    """How long extraction would take; a hub that is out of reach now may be there later."""
    from ...stages.extract import estimate

    console.say(f"measuring this machine with {config.extract.backbone} (--no-estimate leaves it out)")
    try:
        found = estimate.run(config.extract, catalog.root, catalog.videos, weights)
    except StageError as error:
        console.say(f"note: no estimate of the time: {error}")
        return
    console.show_estimate(found)
    fit, frames = config.fit, found.frames / len(catalog.videos)
    if fit.unit == "frames" and frames < 2 * fit.span + fit.gap_least:
        console.say(
            f"note: that is about {frames:.0f} frames a video, and a fit looks at two clips of {fit.span:g} and a gap "
            "between: extraction will say which clips and gaps (fit.clip_length, fit.gap_max) suit them"
        )
