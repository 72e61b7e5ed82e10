"""``mofore finetune``: an optional stage beside the road, and its plan.

It reads a store and the fit on it, and makes weights for another encoder. `mofore run` never calls for it, so nothing
goes in circles: whoever wants the result names it in ``extract.weights``, which is then an encoder like any other.
"""

from __future__ import annotations

import shlex

from ..cache.fingerprint import KEY_LENGTH, digest, stage_fingerprint
from ..cache.ledger import StageRecord
from ..data.errors import UsageError
from ..stages import versions
from .plan import Action, StagePlan, stage_reasons
from .reasons import Forced, Unfinished, UpstreamRuns
from .snapshot import Snapshot

STAGE = "finetune"


def plan_finetune(snapshot: Snapshot, fit: StagePlan, *, forced: bool) -> StagePlan:
    """Plan the stage; a result that extraction already uses is up to date, whatever it was made from."""
    config = {**snapshot.config.finetune.identity(), "data.split": snapshot.split.name}
    steps = snapshot.config.finetune.steps
    forced_reasons = (Forced(),) if forced else ()
    used = record_in_use(snapshot)
    if used and not forced:
        return StagePlan(STAGE, "skip", (), 0, "steps", config, used.upstream, used.fingerprint, "extraction uses it")
    if fit.action != "skip" or fit.fingerprint is None:
        reasons = (*forced_reasons, UpstreamRuns("fit"))
        return StagePlan(STAGE, "run", reasons, steps, "steps", config, None, None)
    upstream = _upstream(snapshot, fit)
    fingerprint = stage_fingerprint(STAGE, versions.FINETUNE, config, upstream)
    record = snapshot.ledger.find(STAGE, fingerprint)
    broken = snapshot.broken_outputs(record) if record else ()
    if record and not broken and not forced:
        summary = f"{steps:,} steps; {how_to_use(snapshot, fingerprint)}"
        return StagePlan(STAGE, "skip", (), 0, "steps", config, upstream, fingerprint, summary)
    done = 0 if forced else snapshot.checkpoint_step(fingerprint[:KEY_LENGTH], STAGE)
    if done and not record:
        return StagePlan(
            STAGE, "partial", (Unfinished(done, steps, "steps"),), steps - done, "steps", config, upstream, fingerprint
        )
    why = (*forced_reasons, *stage_reasons(snapshot, STAGE, config, upstream, versions.FINETUNE, broken))
    action: Action = "partial" if done else "run"
    return StagePlan(STAGE, action, why, steps - done, "steps", config, upstream, fingerprint)


def begun(snapshot: Snapshot, plan: StagePlan) -> bool:
    """Whether there is anything of this optional stage that `mofore status` should speak of."""
    return plan.action == "skip" or (plan.fingerprint is not None and snapshot.checkpoint_step(plan.key, STAGE) > 0)


def record_in_use(snapshot: Snapshot) -> StageRecord | None:
    """The finished run whose weights ``extract.weights`` names."""
    path = snapshot.workspace.shorten(snapshot.weights) if snapshot.weights else ""
    return next((one for one in snapshot.ledger.stages.get(STAGE, {}).values() if path in one.outputs), None)


def refuse_in_use(snapshot: Snapshot) -> None:
    """Refuse to run while extraction uses a result that was made with other settings.

    Raises:
        UsageError: with both ways out.
    """
    used = record_in_use(snapshot)
    config = {**snapshot.config.finetune.identity(), "data.split": snapshot.split.name}
    if used and used.config != config:
        raise UsageError(
            f"extract.weights = '{snapshot.config.extract.weights}' is itself a result of finetune, made with other "
            "settings: set extract.weights back to what it was before (see weights_before in the finetune.json beside "
            "it) to tune the original anew, or give --force to tune this one further"
        )


def how_to_use(snapshot: Snapshot, fingerprint: str) -> str:
    """The next command."""
    weights = f"{STAGE}/{fingerprint[:KEY_LENGTH]}/backbone.safetensors"
    root = shlex.quote(str(snapshot.workspace.root))
    return (
        f"use it with `mofore run -w {root} --set extract.weights={weights}`, "
        f'and for good with weights = "{weights}" under [extract] in mofore.toml'
    )


def _upstream(snapshot: Snapshot, fit: StagePlan) -> str:
    """What is read: the store's encoder, the fit's model, and the training videos' files."""
    record = snapshot.ledger.find("fit", fit.fingerprint or "")
    outputs = record.outputs.items() if record else ()
    return digest(
        {
            "store": snapshot.store_key,
            "model": [state.sha256 for path, state in outputs if path.endswith("/model.safetensors")],
            "videos": [[video_id, snapshot.stored[video_id].video.source.sha256] for video_id in snapshot.train_ids()],
        }
    )
