"""Index: a model to embeddings and indexes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ...cache.fingerprint import KEY_LENGTH, digest
from ...data.wording import counted
from ...stages import versions
from ..inputs import INPUTS
from ..snapshot import described_videos
from ..stage import Made, Shortcut, Stage, Work, all_videos, model_digests, videos_summary
from .evaluate import provenance
from .frames import in_files, load

if TYPE_CHECKING:
    from ...data.arrays import Float32


def run_index(work: Work) -> Made:
    """Index all videos that are there; what an earlier index or the evaluation has embedded is not embedded again."""
    from ...stages.distributed.launch import Alone, pick_team
    from ...stages.index import stage as index

    snapshot, ids = work.snapshot, work.snapshot.stored_ids()
    latest = None if work.asked.force else snapshot.ledger.latest("index")
    # Of shards that are in a bucket each process would fetch its own, into one folder that does not hold all of them.
    team = Alone() if snapshot.away else pick_team(1, "cpu")
    frames = replace(snapshot.config.fit, device="cpu", processes=1)
    inputs = index.IndexInputs(
        videos=snapshot.videos(ids),
        digests=tuple(snapshot.features_of(ids).values()),
        width=snapshot.open_store().width(snapshot.stored[ids[0]].shard) if ids else 0,
        frames=lambda: load(work, ids, frames, keep=True) if team.size == 1 else in_files(work, ids),
        split=snapshot.split,
        fit_folder=snapshot.workspace.stage("fit", work.plan["fit"].key),
        provenance=provenance(work),
        previous=snapshot.workspace.stage("index", latest.fingerprint[:KEY_LENGTH]) if latest else None,
        known=_known(work, ids),
        team=team,
    )
    index.run(snapshot.config.index, inputs, work.folder, progress=work.progress)
    return Made(counted(len(ids), "video"), index.files(snapshot.config.index, work.folder))


def _known(work: Work, ids: list[str]) -> Mapping[str, Float32]:
    """Embeddings that the evaluation of this run has made of the same videos."""
    store_key, evaluated, vectors = work.shared.get("embeddings", ("", [], {}))
    return vectors if (store_key, evaluated) == (work.snapshot.store_key, ids) else {}


INDEX = Stage(
    name="index",
    version=versions.INDEX,
    what="Embeddings and FAISS indexes -> index/<key>/.",
    needs=("extract", "fit"),
    config=lambda snapshot: {**snapshot.config.index.identity(), "data.split": snapshot.split.name},
    inputs=lambda snapshot, plan: digest(
        {"model": model_digests(snapshot, plan), "videos": described_videos(snapshot)}
    ),
    run=run_index,
    files=(
        "*.*/vectors.faiss",
        "*.*/vectors.ivfdata",
        "*.*/items.json",
        "*.*/index.json",
        "*.*/price.json",
        "*.*/embeddings.safetensors",
        INPUTS,
        *("queries.json", "metrics.json"),  # until version 6
        *("videos.faiss", "videos.json", "embeddings.safetensors"),  # until version 2
    ),
    unit="videos",
    amount=all_videos,
    summary=videos_summary,
    described=True,
    shortcuts=(
        Shortcut(
            "--recall",
            "index.recall",
            float,
            0,
            1,
            "Agreement with exact search that an approximate index is tuned to, as --set index.recall=SHARE.",
        ),
    ),
)
