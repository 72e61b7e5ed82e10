"""A Ray cluster for an extraction: connecting to it, and the device that its nodes extract on.

It is a run as any other, of one process that holds the work folder; only who extracts is elsewhere
(:mod:`mofore.stages.extract.ray_cluster`).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

from ..cache.ledger import Ledger
from ..data.backbone import parse_backbone
from ..data.errors import UsageError
from .config import Config
from .run import Outcome, Request, Watcher, execute
from .snapshot import observe, store_keys
from .workspace import Workspace

NO_STATISTICS = "RAY_USAGE_STATS_ENABLED"  # of use, which Ray would send to its makers


def extract_on_ray(workspace: Workspace, config: Config, address: str, request: Request, watcher: Watcher) -> Outcome:
    """Bring extraction up to date on the nodes of a cluster.

    Args:
        workspace: on a disk that all nodes see.
        config: of which ``extract.device = auto`` means GPUs if the cluster has some.
        address: "auto", "local", or "host:port".
        request: for extraction.
        watcher: told what happens.

    Raises:
        UsageError: if Ray is not installed, there is no cluster, or the features were imported.
        MoforeError: what a run raises.
    """
    if parse_backbone(config.extract.backbone).imported:
        raise UsageError(f"--ray: the features of '{workspace.root}' were imported, there is nothing to extract")
    with _connected(address) as ray:
        return execute(workspace, _with_device(workspace, config, ray), request, watcher)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster; one that this process is connected to already is taken, and left as it is."""
    if address not in ("auto", "local") and not re.fullmatch(r"[^\s/]+:\d+", address):
        raise UsageError(
            f"--ray '{address}': auto for the cluster that this machine is a node of, host:port of its head, or local "
            "for a cluster of this machine alone"
        )
    os.environ.setdefault(NO_STATISTICS, "0")
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise UsageError("--ray needs Ray, which is not installed: pip install 'mofore[ray]', on all nodes") from error
    if ray.is_initialized():
        yield ray
        return
    own = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"--ray {address}: no cluster can be reached from here ({why}): start one with `ray start --head`, and "
            "`ray start --address=HOST:PORT` on the other nodes, or give local"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _with_device(workspace: Workspace, config: Config, ray: Any) -> Config:
    """The settings with the device that is meant: that of a store that is begun, else what the cluster has."""
    if config.extract.device != "auto":
        return config
    snapshot = observe(workspace, config, Ledger.open(workspace.ledger))
    keys = store_keys(config, snapshot.weights_digest)
    begun = [device for device, key in keys.items() if (workspace.store(key) / "encoder.json").exists()]
    here = begun[0] if len(begun) == 1 else "cuda" if ray.cluster_resources().get("GPU") else "cpu"
    return replace(config, extract=replace(config.extract, device=here))
