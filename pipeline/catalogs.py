"""Where the videos of a work folder come from: the data folder, or what was imported, as tables describe them."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from ..cache.imported import ImportRecord, read_import
from ..data.backbone import parse_backbone
from ..data.catalog import Catalog
from ..data.described import with_tables
from ..data.errors import CatalogError
from ..data.roots import Walks, scan_roots
from .config import Config
from .store_key import store_key
from .workspace import Workspace


def look_up(workspace: Workspace, config: Config, walks: Walks = MappingProxyType({})) -> Catalog:
    """The videos: those of the data folder, or those whose features were imported, as tables describe them.

    Raises:
        CatalogError: if the data folder or a table is not usable, or nothing was imported.
        StoreError: if the record of what was imported is damaged.
    """
    if not parse_backbone(config.extract.backbone).imported:
        return in_tables(workspace, config, scan_roots(roots_of(workspace, config), config.data, walks))
    return in_tables(workspace, config, imported(workspace, config).catalog(workspace.root, config.data))


def roots_of(workspace: Workspace, config: Config) -> list[Path]:
    """The folders and lists of ``data.root``."""
    return [*map(workspace.resolve, config.data.root)]


def in_tables(workspace: Workspace, config: Config, catalog: Catalog) -> Catalog:
    """The catalog as the settings' tables describe it.

    Raises:
        CatalogError: if one of them is not usable.
    """
    paths = [*map(workspace.resolve, config.data.table)]
    return with_tables(catalog, paths) if paths else catalog


def lists_folder(workspace: Workspace, config: Config) -> Path | None:
    """The folder of UCF101's official lists, if there is one."""
    return workspace.resolve(config.data.lists) if config.data.lists else None


def imported(workspace: Workspace, config: Config) -> ImportRecord:
    """What was imported into the store of these settings.

    Raises:
        CatalogError: if nothing was.
        StoreError: if the record of it is damaged.
    """
    record = read_import(workspace.store(store_key(config, "")))
    if record is None:
        name = parse_backbone(config.extract.backbone).name
        raise CatalogError(
            f"extract.backbone = {config.extract.backbone!r}, but no such features are in '{workspace.root}': "
            f"bring them with `{workspace.told(f'import FEATURES --name {name}')}`"
        )
    return record
