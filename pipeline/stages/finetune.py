"""Finetune, optional: pixels to another backbone.

It reads a store and the fit on it, and makes weights for another encoder. `mofore run` never calls for it, so nothing
goes in circles: whoever wants the result names it in ``extract.weights``, which is then an encoder like any other.
"""

from __future__ import annotations

import shlex
from typing import Any

from ...cache.checkpoint import remove_numbered
from ...cache.fingerprint import KEY_LENGTH, digest
from ...cache.ledger import StageRecord
from ...data.errors import UsageError
from ...data.wording import counted
from ...stages import versions
from ..inputs import INPUTS
from ..snapshot import Snapshot
from ..stage import Asked, Made, Plan, Stage, StagePlan, Work, model_digests, plan_stage
from .frames import load

NAME = "finetune"


def plan_finetune(stage: Stage, snapshot: Snapshot, plan: Plan, asked: Asked) -> StagePlan:
    """As of any stage; but a result that extraction already uses is up to date, whatever it was made from."""
    used = record_in_use(snapshot)
    if used is None or asked.force:
        return plan_stage(stage, snapshot, plan, asked)
    config = stage.config(snapshot)
    return StagePlan(NAME, "skip", (), 0, "steps", config, used.upstream, used.fingerprint, "extraction uses it")


def begun(snapshot: Snapshot, plan: StagePlan) -> bool:
    """Whether there is anything of this optional stage that `mofore status` should speak of."""
    return plan.action == "skip" or (plan.fingerprint is not None and snapshot.checkpoint_step(plan.key, NAME) > 0)


def plan_begun(snapshot: Snapshot, plan: Plan) -> Plan:
    """The plan of this optional stage, if there is anything to speak of."""
    planned = FINETUNE.plan(FINETUNE, snapshot, plan, Asked())
    return {NAME: planned} if begun(snapshot, planned) else {}


def record_in_use(snapshot: Snapshot) -> StageRecord | None:
    """The finished run whose weights ``extract.weights`` names."""
    path = snapshot.workspace.shorten(snapshot.weights) if snapshot.weights else ""
    return next((one for one in snapshot.ledger.stages.get(NAME, {}).values() if path in one.outputs), None)


def refuse_imported(snapshot: Snapshot) -> None:
    """Refuse to train from pixels where there are none.

    Raises:
        UsageError: with what makes features that can be tuned.
    """
    if snapshot.catalog.imported:
        backbone = snapshot.config.extract.backbone
        raise UsageError(
            f"finetune trains a backbone from pixels, but the features of {backbone} were made elsewhere and brought "
            "by `mofore import`: make a work folder of the videos themselves, `mofore init VIDEOS -w NEW --backbone "
            "timm:NAME`, then `mofore finetune -w NEW`; what `mofore fit` trains needs no videos"
        )


def refuse_in_use(snapshot: Snapshot) -> None:
    """Refuse to run while extraction uses a result that was made with other settings.

    Raises:
        UsageError: with both ways out.
    """
    used = record_in_use(snapshot)
    if used and used.config != _config(snapshot):
        raise UsageError(
            f"extract.weights = '{snapshot.config.extract.weights}' is itself a result of finetune, made with other "
            "settings: set extract.weights back to what it was before (see weights_before in the finetune.json beside "
            "it) to tune the original anew, or give --force to tune this one further"
        )


def run_finetune(work: Work) -> Made:
    """Train the last blocks of the backbone on the training videos; a run that was cut off goes on."""
    from ...stages.finetune import stage as finetune

    snapshot, ids = work.snapshot, work.snapshot.train_ids()
    snapshot.refuse_unseen(len(ids))
    if work.asked.force:
        remove_numbered(work.folder)
    encoder = snapshot.open_store().encoder() or {}
    by_id = {video.id: video for video in snapshot.videos(ids)}
    inputs = finetune.FinetuneInputs(
        extract=snapshot.config.extract,
        weights=snapshot.weights,
        weights_sha256=encoder.get("weights_sha256", ""),
        fit_folder=snapshot.workspace.stage("fit", work.plan["fit"].key),
        root=snapshot.catalog.root,
        videos=tuple(by_id[video_id] for video_id in ids),
        table=load(work, ids, snapshot.config.fit),
        provenance={"store": snapshot.store_key, "fit": work.plan["fit"].key},
    )
    result = finetune.run(snapshot.config.finetune, inputs, work.folder, progress=work.progress)
    return Made(result.summary(), finetune.OUTPUTS)


def _finish(work: Work) -> None:
    remove_numbered(work.folder)
    work.progress.note(how_to_use(work.snapshot, work.chosen.fingerprint or ""))


def how_to_use(snapshot: Snapshot, fingerprint: str) -> str:
    """The commands with which a result is used, once and for good."""
    weights = f"{NAME}/{fingerprint[:KEY_LENGTH]}/backbone.safetensors"
    root = shlex.quote(str(snapshot.workspace.root))
    return (
        f"use it with `mofore run -w {root} --set extract.weights={weights}`, "
        f'and for good with weights = "{weights}" under [extract] in mofore.toml'
    )


def _config(snapshot: Snapshot) -> dict[str, Any]:
    return {**snapshot.config.finetune.identity(), "data.split": snapshot.split.name}


def _inputs(snapshot: Snapshot, plan: Plan) -> str:
    """What is read: the store's encoder, the fit's model, and the training videos' files."""
    files = [[video_id, snapshot.stored[video_id].video.source.sha256] for video_id in snapshot.train_ids()]
    return digest({"store": snapshot.store_key, "model": model_digests(snapshot, plan), "videos": files})


FINETUNE = Stage(
    name=NAME,
    version=versions.FINETUNE,
    what="Optional: train the backbone's last blocks end to end -> finetune/<key>/backbone.safetensors.",
    needs=("fit",),
    config=_config,
    inputs=_inputs,
    run=run_finetune,
    files=("backbone.safetensors", "finetune.json", "log.jsonl", "resume*.safetensors", INPUTS),
    unit="steps",
    amount=lambda snapshot: snapshot.config.finetune.steps,
    videos=Snapshot.train_ids,
    summary=lambda snapshot, record: (
        f"{counted(snapshot.config.finetune.steps, 'step')}; {how_to_use(snapshot, record.fingerprint)}"
    ),
    resumes=True,
    finish=_finish,
    plan=plan_finetune,
)
