"""Evaluate: a model to metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...cache.atomic import write_bytes
from ...cache.fingerprint import digest, file_state
from ...cache.ledger import StageRecord
from ...data.wording import counted
from ...stages import versions
from ..inputs import INPUTS
from ..reasons import Reason, ResultElsewhere
from ..snapshot import Snapshot, described_videos, lists_digest
from ..stage import Made, Plan, Stage, Work, all_videos, model_digests, videos_summary
from .frames import load

METRICS = "metrics.json"


def run_evaluate(work: Work) -> Made:
    """Measure all videos that are there; or, if that is done, put the copy of the metrics back."""
    snapshot = work.snapshot
    if work.chosen.action == "partial":
        return Made(f"{METRICS} put back", None)
    from ...stages.evaluate import stage as evaluate

    ids = snapshot.stored_ids()
    inputs = evaluate.EvaluateInputs(
        videos=snapshot.videos(ids),
        table=load(work, ids, replace(snapshot.config.fit, device="cpu", processes=1), keep=True),
        split=snapshot.split,
        others=snapshot.other_splits(),
        fit_folder=snapshot.workspace.stage("fit", work.plan["fit"].key),
        embedding=snapshot.config.index,
        provenance=provenance(work),
    )
    _, vectors = evaluate.run(snapshot.config.evaluate, inputs, work.folder, progress=work.progress)
    work.shared["embeddings"] = (snapshot.store_key, ids, vectors)
    return Made(counted(len(ids), "video"), evaluate.OUTPUTS)


def provenance(work: Work) -> dict[str, Any]:
    """Which encoder, fit and settings a result is of."""
    snapshot = work.snapshot
    encoder = snapshot.open_store().encoder() or {}
    return {
        "store": snapshot.store_key,
        # What was measured on the batch that happened to be first is the store's: the same work gives the same bytes.
        "encoder": {key: value for key, value in encoder.items() if key != "measured"},
        "fit": work.plan["fit"].key,
        "fit_settings": snapshot.config.fit.identity(),
        f"{work.chosen.stage}_settings": {key: value for key, value in work.chosen.config.items() if "." not in key},
        "embedding_settings": snapshot.config.index.embedding(),
    }


def _config(snapshot: Snapshot) -> dict[str, Any]:
    config = snapshot.config
    return {**config.evaluate.identity(), **config.index.embedding(), "data.split": snapshot.split.name}


def _inputs(snapshot: Snapshot, plan: Plan) -> str:
    data = snapshot.config.data
    splits = [lists_digest(snapshot), data.split_seed, data.train_fraction]
    return digest({"model": model_digests(snapshot, plan), "videos": described_videos(snapshot), "splits": splits})


def _elsewhere(snapshot: Snapshot, record: StageRecord) -> Reason | None:
    """``metrics.json`` of the work folder may still show another run's figures."""
    path = next(path for path in record.outputs if path.endswith(f"/{METRICS}"))
    shown = snapshot.workspace.metrics
    same = shown.exists() and file_state(shown).sha256 == record.outputs[path].sha256
    return None if same else ResultElsewhere(path)


def _show(work: Work) -> None:
    write_bytes(work.snapshot.workspace.metrics, (work.folder / METRICS).read_bytes())


EVALUATE = Stage(
    name="evaluate",
    version=versions.EVALUATE,
    what="Metrics of the embeddings beside their baselines -> evaluate/<key>/, metrics.json.",
    needs=("extract", "fit"),
    config=_config,
    inputs=_inputs,
    run=run_evaluate,
    files=(METRICS, "queries.json", INPUTS),
    unit="videos",
    amount=all_videos,
    summary=videos_summary,
    described=True,
    missing=_elsewhere,
    finish=_show,
)
