"""Pre-trained weights from a model hub: fail at once, and quietly, where the hub cannot be reached.

huggingface_hub tries an unreachable host for three quarters of a minute and prints a line for each attempt.
Weights that were fetched before are found in its cache either way.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants


@contextmanager
def hub_access() -> Iterator[None]:
    """Within the block the hub is offline mode if its host has no address, and its chatter is kept down."""
    was_offline, disabled = constants.HF_HUB_OFFLINE, logging.root.manager.disable
    constants.HF_HUB_OFFLINE = was_offline or not _resolves(constants.ENDPOINT)
    logging.disable(logging.ERROR)  # whatever is worth saying comes back as an exception
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was_offline
        logging.disable(disabled)


def _resolves(endpoint: str) -> bool:
    """Whether the hub's host has an address, or a proxy is there to find it."""
    if getproxies().get("https") or os.environ.get("ALL_PROXY"):
        return True
    try:
        socket.getaddrinfo(urlsplit(endpoint).hostname, 443)
    except OSError:
        return False
    return True
