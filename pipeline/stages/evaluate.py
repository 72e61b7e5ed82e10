"""Evaluate: a model to metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...cache.atomic import write_bytes
from ...cache.fingerprint import digest, file_state
from ...cache.ledger import StageRecord
from ...data.chiral_pairs import chiral_pair
from ...data.errors import ConfigError
from ...data.types import Split
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
    from ...stages.evaluate.repeats import Repeats

    ids, (split, others) = snapshot.stored_ids(), _splits(snapshot)
    inputs = evaluate.EvaluateInputs(
        videos=snapshot.videos(ids),
        table=load(work, ids, replace(snapshot.config.fit, device="cpu", processes=1), keep=True),
        split=split,
        others=others,
        fit_folder=snapshot.workspace.stage("fit", work.plan["fit"].key),
        embedding=snapshot.config.index,
        provenance=provenance(work),
        repeats=work.shared.setdefault("repeats", Repeats()),
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
    config, split = snapshot.config, snapshot.split
    if config.evaluate.only:  # what is wrong with it, or with a pair, is said before anything runs
        _part(snapshot)
    if config.evaluate.chiral_pairs:
        classes = {label for video in snapshot.catalog.videos for label in video.labels}
        for text in config.evaluate.chiral_pairs:
            chiral_pair(text, classes)
    return {**config.evaluate.identity(), **config.index.embedding(), "data.split": split.name}


def _splits(snapshot: Snapshot) -> tuple[Split, tuple[Split, ...]]:
    """The split that is measured, and the others that can be made: the whole one too, if a part of it is measured."""
    split, others = snapshot.split, snapshot.other_splits()
    if not snapshot.config.evaluate.only:
        return split, others
    part = _part(snapshot)
    return part, (split, *(other for other in others if other.name != part.name))


def _part(snapshot: Snapshot) -> Split:
    """The settings' split, of whose test side ``evaluate.only`` asks a part.

    Raises:
        ConfigError: if there is no such part, or no test video is of it.
    """
    split, subsets, name = snapshot.split, snapshot.catalog.subsets, snapshot.config.evaluate.only
    test = split.test & subsets.get(name, frozenset())
    if not test:
        there = ", ".join(f"{part} ({len(split.test & ids):,})" for part, ids in subsets.items()) or "none"
        raise ConfigError(
            f"evaluate.only = {name!r}: no test video of the split '{split.name}' is of such a part; data.table names "
            f'{there}. A part is a list of videos in JSON, {{"{name}": [names]}}, as UTD-splits has them'
        )
    return replace(split, name=f"{split.name}, {name}", test=test)


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
