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

CHATTY = ("huggingface_hub", "transformers")  # which show what they log by handlers of their own


@contextmanager
def hub_access() -> Iterator[None]:
    """Within the block the hub is offline mode if its host has no address, and its chatter is kept down."""
    was_offline, levels = constants.HF_HUB_OFFLINE, {name: logging.getLogger(name).level for name in CHATTY}
    constants.HF_HUB_OFFLINE = was_offline or not _resolves(constants.ENDPOINT)
    for name in CHATTY:  # whatever is worth saying comes back as an exception
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was_offline
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _resolves(endpoint: str) -> bool:
    """Whether the hub's host has an address, or a proxy is there to find it."""
    if getproxies().get("https") or os.environ.get("ALL_PROXY"):
        return True
    try:
        socket.getaddrinfo(urlsplit(endpoint).hostname, 443)
    except OSError:
        return False
    return True
