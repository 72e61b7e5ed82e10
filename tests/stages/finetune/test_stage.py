"""Training end to end on drawn clips: what learns, what stays, and that a killed run goes on exactly."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mofore.cache.checkpoint import load_checkpoint, save_checkpoint
from mofore.cache.ledger import Ledger
from mofore.cache.store import FeatureStore, FrameTable
from mofore.data.catalog import scan
from mofore.data.decode import decode
from mofore.data.errors import BackboneError, ConfigError, StageError
from mofore.data.fit_settings import FitSettings
from mofore.data.pictures import rgb
from mofore.data.presets import PRESETS
from mofore.data.progress import Silent
from mofore.data.sampling import Picked, Sampling
from mofore.data.schedules import finetune_pace
from mofore.data.settings import ExtractSettings, FinetuneSettings
from mofore.stages.backbone.blocks import blocks_of, last_blocks
from mofore.stages.backbone.encoder import load_encoder
from mofore.stages.backbone.open_clip_models import open_clip
from mofore.stages.decode.source import Reading
from mofore.stages.extract import stage as extract
from mofore.stages.finetune import stage as finetune
from mofore.stages.finetune.pixel_batches import PixelSource
from mofore.stages.fit import stage as fit
from mofore.stages.frames.memory import FrameTensors
from mofore.stages.frames.sampler import make_sampler
from mofore.stages.model.forecaster import make_forecaster
from mofore.stages.model.saved import MODEL

from ...small_clip import small_pretraining
from ..fit.test_stage import KilledAt

CPU = torch.device("cpu")
EXTRACT = ExtractSettings(backbone="random:test_efficientnet", precision="fp32", batch_size=16, processes=1)
FIT = FitSettings(steps=30, clip_length=4, gap_max=4, embedding_width=16, hidden_width=16, lr=1e-2)
SETTINGS = FinetuneSettings(
    steps=6, batch_size=4, lr=3e-3, lr_schedule="constant", warmup_steps=0, precision="fp32", decoders=2
)


@dataclass(frozen=True)
class Made:
    """A store and a fit of a few drawn videos."""

    inputs: finetune.FinetuneInputs

    def tuned(self, folder: Path, settings: FinetuneSettings) -> dict[str, torch.Tensor]:
        finetune.run(settings, self.inputs, folder, progress=Silent())
        return load_checkpoint(folder / finetune.WEIGHTS)[0]


@pytest.fixture(scope="module")
def made(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(drawn, tmp_path_factory.mktemp("finetune"), EXTRACT, None)


def make(drawn: Path, root: Path, settings: ExtractSettings, weights: Path | None) -> Made:
    chosen = sorted(drawn.glob("*/*_g01_c01.avi"))[:8]
    for path in chosen:
        (root / "videos" / path.parent.name).mkdir(parents=True)
        shutil.copy(path, root / "videos" / path.parent.name)
    videos = scan(root / "videos").videos
    store, ledger = FeatureStore(root / "store"), Ledger.open(root / "ledger.jsonl")
    extract.run(
        settings,
        extract.ExtractInputs(root / "videos", videos, weights),
        store=store,
        ledger=ledger,
        progress=Silent(),
    )
    table = table_of(store, ledger, [video.id for video in videos])
    fit.run(FIT, table, root / "fit", progress=Silent())
    digest = (store.encoder() or {})["weights_sha256"]
    return Made(
        finetune.FinetuneInputs(settings, weights, digest, root / "fit", root / "videos", videos, table, {"store": "s"})
    )


def table_of(store: FeatureStore, ledger: Ledger, ids: list[str]) -> FrameTable:
    places = {
        video.id: (name, row, video)
        for name, record in ledger.shards[store.key].items()
        for row, video in enumerate(record.videos)
    }
    return store.load([places[video_id] for video_id in ids])


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / finetune.LOG).read_text().splitlines()]


def test_the_loss_goes_down_from_the_cached_solution(made: Made, tmp_path: Path) -> None:
    made.tuned(tmp_path, replace(SETTINGS, steps=24))
    rows = log_of(tmp_path)
    assert [row["step"] for row in rows] == list(range(1, 25))
    early, late = rows[:4], rows[-4:]
    assert np.mean([row["loss"] for row in late]) < np.mean([row["loss"] for row in early])
    assert np.mean([row["forecast"] for row in late]) < 0.5 * np.mean([row["forecast"] for row in early])
    told = json.loads((tmp_path / finetune.DESCRIPTION).read_text())
    assert told["agreement"] > 0.9999, "the pixels give the stored features"
    assert told["left_out"] == {}
    assert told["teacher_drift"] > 0


def test_the_pixels_are_those_of_the_rows_that_the_sampler_drew(made: Made) -> None:
    memory, videos = FrameTensors.of(made.inputs.table, CPU), made.inputs.videos
    sampler = make_sampler(replace(FIT, batch_size=4), memory, torch.arange(len(videos)))
    preprocess = load_encoder(EXTRACT, None, CPU).preprocess
    source = PixelSource(sampler, videos, made.inputs.root, Reading(preprocess), CPU, workers=2)
    whole = [
        preprocess(torch.from_numpy(np.stack([rgb(frame) for frame, _ in decode(video.path(made.inputs.root))])))
        for video in videos
    ]
    frames_NCHW = torch.cat(whole)
    drawn = sampler.round(0)
    for step, batch in enumerate(source.batches(0, 3)):
        (part,), rows = batch.parts, slice(4 * step, 4 * step + 4)
        assert torch.equal(part.context.rows_BL, drawn.context_PL[rows])
        assert torch.equal(part.target.rows_BL, drawn.target_PHL[rows].flatten(0, 1))
        for clips in (part.context, part.target):
            assert torch.equal(clips.frames_FCHW[clips.place_BL], frames_NCHW[clips.rows_BL])


@pytest.mark.parametrize("publish", ["teacher", "student"])
def test_only_the_last_blocks_change_and_the_result_loads_as_weights(made: Made, tmp_path: Path, publish: str) -> None:
    before = load_encoder(EXTRACT, None, CPU)
    after = made.tuned(tmp_path, replace(SETTINGS, blocks=2, steps=3, momentum=0.5, publish=publish))
    trained = {name for block in last_blocks(before, 2, decay=0.5) for name in block.names}
    own = before.model.state_dict()
    changed = {name for name in own if not torch.equal(own[name], after[name])}
    assert changed == trained, "frozen blocks and the statistics of batch norms stay"
    loaded = load_encoder(EXTRACT, tmp_path / finetune.WEIGHTS, CPU)
    assert all(torch.equal(tensor, after[name]) for name, tensor in loaded.model.state_dict().items())
    assert loaded.provenance["weights_sha256"] != before.provenance["weights_sha256"]


def test_the_result_preprocesses_and_builds_as_what_it_was_tuned_from(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {
        "quick": {"mean": (0.5,) * 3, "std": (0.2,) * 3, "resize_mode": "squash", "quick_gelu": True},
        "plain": {},
    }
    path = small_pretraining(monkeypatch, tmp_path, "small-finetuned", tags)
    settings = replace(EXTRACT, backbone="open_clip:small-finetuned/quick", image_size=48)
    make(drawn, tmp_path, settings, path).tuned(tmp_path / "tuned", replace(SETTINGS, steps=2))
    before = load_encoder(settings, path, CPU)
    for name in ("open_clip:small-finetuned/quick", "open_clip:small-finetuned"):
        after = load_encoder(ExtractSettings(backbone=name), tmp_path / "tuned" / finetune.WEIGHTS, CPU)
        assert after.preprocess == before.preprocess
        assert after.provenance["quick_gelu"] is before.provenance["quick_gelu"] is True
    told = json.loads((tmp_path / "tuned" / finetune.DESCRIPTION).read_text())
    assert (told["quick_gelu"], told["preprocess"]["fit"]) == (True, "squash")


def test_a_killed_run_resumes_to_the_same_bytes(made: Made, tmp_path: Path) -> None:
    settings = replace(SETTINGS, checkpoint_seconds=0.0)
    whole = made.tuned(tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        finetune.run(settings, made.inputs, tmp_path / "killed", progress=StopsAfter(tmp_path / "killed", 3))
    result = finetune.run(settings, made.inputs, tmp_path / "killed", progress=Silent())
    assert 0 < result.steps_run < 6
    again = load_checkpoint(tmp_path / "killed" / finetune.WEIGHTS)[0]
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    for name in (finetune.WEIGHTS, finetune.LOG):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    unrecorded = finetune.run(settings, made.inputs, tmp_path / "killed", progress=Silent())
    assert unrecorded.steps_run == 0, "killed before the ledger was told"


class StopsAfter(KilledAt):
    """Dies at the first safe point after so many steps were logged."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder, self.steps = folder, steps

    def pulse(self) -> None:
        if (self.folder / finetune.LOG).exists() and len(log_of(self.folder)) >= self.steps:
            raise KeyboardInterrupt


VARIANTS: list[dict[str, Any]] = [
    {},
    {"aggregator": "gru"},
    {"pairs_per_video": 2, "queue": 8, "predictor": "horizons"},
]


@pytest.mark.parametrize("fitted", VARIANTS)
def test_parts_and_checkpointing_change_nothing(made: Made, tmp_path: Path, fitted: dict[str, Any]) -> None:
    """2 parts of 4 contexts and one of 8 see the same negatives, so that they differ by rounding alone."""
    if fitted:
        fit.run(replace(FIT, steps=2, batch_size=4, **fitted), made.inputs.table, tmp_path / "fit", progress=Silent())
        made = Made(replace(made.inputs, fit_folder=tmp_path / "fit"))
    one = replace(SETTINGS, steps=2, batch_size=8, blocks=2, frames=2)
    made.tuned(tmp_path / "one", one)
    made.tuned(tmp_path / "two", replace(one, accumulation=2, recompute=True))
    for row, other in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-4), "sums in another order"


def test_a_broken_video_is_left_out_with_the_reason(made: Made, tmp_path: Path) -> None:
    root = Path(shutil.copytree(made.inputs.root, tmp_path / "videos"))
    broken = made.inputs.videos[0]
    (root / broken.id).write_bytes(b"RIFF no video")
    videos = scan(root).videos
    result = finetune.run(SETTINGS, replace(made.inputs, root=root, videos=videos), tmp_path / "out", progress=Silent())
    assert result.failed.keys() == {broken.id}
    assert len(log_of(tmp_path / "out")) == 6
    told = json.loads((tmp_path / "out" / finetune.DESCRIPTION).read_text())
    assert broken.id in told["left_out"]
    assert "could not be read" in result.summary()


def test_a_loss_that_is_not_finite_stops_with_its_step(made: Made, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"not finite at step [2-6].*finetune\.lr"):
        made.tuned(tmp_path, replace(SETTINGS, lr=10.0, warmup_steps=0, blocks=6))
    assert not (tmp_path / finetune.WEIGHTS).exists()


def test_features_of_other_pixels_are_refused(made: Made, tmp_path: Path) -> None:
    table = made.inputs.table
    moved = replace(table, features_ND=np.ascontiguousarray(table.features_ND[:, ::-1]))
    with pytest.raises(StageError, match="other features of these pixels than those stored"):
        finetune.run(SETTINGS, replace(made.inputs, table=moved), tmp_path, progress=Silent())


def test_a_fit_whose_predictor_sees_the_history_is_refused(made: Made, tmp_path: Path) -> None:
    width = made.inputs.table.features_ND.shape[1]
    settings = FitSettings(**PRESETS["forecast"])
    meta = {"settings": settings.identity(), "width": width}
    save_checkpoint(tmp_path / MODEL, make_forecaster(width, settings).state_dict(), meta)
    with pytest.raises(StageError, match=r"not of all that came before them; fit with another predictor"):
        finetune.run(SETTINGS, replace(made.inputs, fit_folder=tmp_path), tmp_path / "out", progress=Silent())


@pytest.mark.parametrize(
    ("backbone", "blocks", "last"),
    [
        ("random:test_vit", 7, "norm.bias"),
        ("random:test_convnext", 10, "head.norm.bias"),
        ("random:test_resnet", 5, "layer4.0.bn2.bias"),
    ],
)
def test_blocks_cover_every_parameter_once_the_head_with_the_last(backbone: str, blocks: int, last: str) -> None:
    encoder = load_encoder(ExtractSettings(backbone=backbone), None, CPU)
    found = blocks_of(encoder)
    assert len(found) == blocks
    names = [name for block in found for name in block]
    assert sorted(names) == sorted(name for name, _ in encoder.model.named_parameters())
    assert last in found[-1]


TEXT = {"context_length": 8, "vocab_size": 16, "width": 8, "heads": 1, "layers": 1}
TRANSFORMER = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 3}
RESNET = {"image_size": 64, "layers": [1, 1, 1, 2], "width": 16, "head_width": 64}
TRUNK = {"image_size": 32, "timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "token"}


@pytest.mark.parametrize(
    ("vision", "blocks", "inside", "head"),
    [
        (TRANSFORMER, 4, "visual.transformer.resblocks.2.ln_1.weight", "visual.proj"),
        (RESNET, 6, "visual.layer4.1.conv1.weight", "visual.attnpool.positional_embedding"),
        (TRUNK, 7, "visual.trunk.blocks.5.norm1.weight", "visual.head.proj.weight"),
    ],
)
def test_blocks_of_open_clip_are_those_of_its_image_tower(
    vision: dict[str, Any], blocks: int, inside: str, head: str
) -> None:
    model = open_clip.model.CLIP(16, vision, TEXT)
    found = blocks_of(SimpleNamespace(model=model, method="encode_image", provenance={"backbone": "x"}))  # type: ignore[arg-type]
    assert len(found) == blocks
    assert {inside, head} <= set(found[-1])
    names = [name for block in found for name in block]
    assert sorted(names) == sorted(f"visual.{name}" for name, _ in model.visual.named_parameters())


def test_earlier_blocks_learn_more_slowly() -> None:
    encoder = load_encoder(ExtractSettings(backbone="random:test_vit"), None, CPU)
    table = [(block.names[0].partition(".norm1")[0], block.share) for block in last_blocks(encoder, 3, decay=0.5)]
    assert table == [("blocks.5", 1.0), ("blocks.4", 0.5), ("blocks.3", 0.25)]
    with pytest.raises(BackboneError, match=r"finetune\.blocks = 9.* has 7 blocks"):
        last_blocks(encoder, 9, decay=0.5)


def test_the_rate_rises_and_then_falls_to_zero() -> None:
    settings = FinetuneSettings(lr=1.0, steps=10, warmup_steps=1)
    rates = [finetune_pace(step, settings, FIT).lr for step in range(10)]
    assert rates[0] == 0.5
    assert rates[1] > rates[5] > rates[9] > 0
    assert finetune_pace(5, replace(settings, lr_schedule="constant"), FIT).lr == 1.0
    with pytest.raises(ConfigError, match="accumulation"):
        FinetuneSettings(batch_size=8, accumulation=3)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(stride=2), Sampling(fps=5.0)])
def test_picked_frames_are_those_of_the_whole_and_no_more_are_decoded(sampling: Sampling) -> None:
    frames = [(number, number / 25) for number in range(40)]
    kept = list(sampling.select(iter(frames)))
    source = iter(frames)
    picked = list(Picked(of=sampling, positions=(1, 3, 4)).select(source))
    assert picked == [kept[1], kept[3], kept[4]]
    assert next(source)[0] == kept[4][0] + 1


def test_tuned_weights_of_a_resized_model_load_at_that_size(tmp_path: Path) -> None:
    from mofore.cache.checkpoint import save_checkpoint

    settings = ExtractSettings(backbone="random:test_vit", image_size=96)
    encoder = load_encoder(settings, None, CPU)
    save_checkpoint(tmp_path / "w.safetensors", encoder.model.state_dict(), {})
    again = load_encoder(settings, tmp_path / "w.safetensors", CPU)
    assert again.provenance["weights_sha256"] == encoder.provenance["weights_sha256"]
