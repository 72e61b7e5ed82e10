"""``mofore search``: find the index that belongs to the settings, then ask it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..cache.fingerprint import KEY_LENGTH
from ..data.errors import StaleError, UsageError
from . import console
from .plan import Plan, make_plan
from .world import World

if TYPE_CHECKING:
    from ..stages.search import Neighbour


def find_neighbours(world: World, query: str, count: int) -> list[Neighbour]:
    """The nearest videos of a video of the index, or of a video file.

    Raises:
        StaleError: if there is no index of this encoder yet.
        UsageError: if ``query`` is neither a video of the index nor a file, or no encoder is there for a file.
        VideoError: if the file cannot be read.
    """
    index_key, fit_key = _index_and_fit(world, make_plan(world))
    from ..stages import search  # torch and faiss, only once it is clear that there is something to ask
    from ..stages.vector_index import VectorIndex, folder_name

    index = VectorIndex.load(world.workspace.stage("index", index_key) / folder_name("mofore", "video"))
    row = search.find(index.items, query)
    if row is not None:
        return search.nearest_to_video(index, row, count)
    if world.catalog.digests is not None:
        raise UsageError(
            f"{query!r} is not in the index (a video's id or name), and files cannot be searched for: these features "
            f"were imported ({world.config.extract.backbone}), the encoder that made them is not here"
        )
    path = Path(query).expanduser()
    if not path.exists():
        raise UsageError(
            f"{query!r} is neither a video of the index (its id or file name) nor a file or a folder of images"
        )
    from ..cache.store import FeatureStore

    pinned = FeatureStore(world.workspace.store(world.store_key)).encoder()
    if pinned is None:
        raise StaleError("the store does not say how its features were made: run `mofore extract --force`")
    embedding_E = search.embed_file(
        path,
        world.config.extract,
        world.weights,
        pinned=pinned,
        fit_folder=world.workspace.stage("fit", fit_key),
        index=world.config.index,
    )
    return search.nearest_to_file(index, embedding_E, count)


def _index_and_fit(world: World, plan: Plan) -> tuple[str, str]:
    """Folders of the index to ask and of its fit; an index that is out of date is asked, with a warning."""
    if plan["index"].action != "run":
        return plan["index"].key, plan["fit"].key
    latest_index, latest_fit = world.ledger.latest("index"), world.ledger.latest("fit")
    if latest_index is None or latest_fit is None or not world.stored or world.broken_outputs(latest_index):
        raise StaleError("there is no index for these settings yet: run `mofore index`")
    why = "; ".join(map(str, plan["index"].reasons))
    console.say(f"note: the index is out of date ({why}); `mofore index` brings it up to date")
    return latest_index.fingerprint[:KEY_LENGTH], latest_fit.fingerprint[:KEY_LENGTH]
