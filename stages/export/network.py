"""A trained embedder as other programs run it: safetensors, torch.export, ONNX; each held against the networks here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional

from ...cache.atomic import published
from ...cache.checkpoint import save_checkpoint
from ...data.errors import StageError, UsageError
from ...data.fit_settings import POOLED, FitSettings
from ..model.clip_embedder import ClipEmbedder

TOLERANCE = 1e-5  # of a component of a unit vector: sums in another order; what is found is a few 1e-7
TIMED = ("transformer", "static_dynamic")  # aggregators that look at the times of the frames
SAFETENSORS, TORCH_EXPORT, ONNX = "model.safetensors", "model.pt2", "model.onnx"
FORMS = {"safetensors": SAFETENSORS, "torch": TORCH_EXPORT, "onnx": ONNX}
OPSET = 20


class UnitEmbedder(nn.Module):
    """Clips of frame features (B, L, D), and their times (B, L) if ``timed``, to unit embeddings (B, E).

    Attributes:
        clips: the embedder.
        timed: whether it looks at the times.
        frames: L; 0 where it takes clips of any number of frames.
    """

    def __init__(self, embedder: nn.Module, settings: FitSettings) -> None:
        super().__init__()
        self.clips = ClipEmbedder(embedder, settings)
        self.timed = settings.aggregator in TIMED
        self.frames = 0 if settings.aggregator in POOLED else settings.clip_length
        self.eval().requires_grad_(False)

    def forward(self, features: Tensor, times_s: Tensor | None = None) -> Tensor:
        """Embed clips; ``times_s`` are seconds from the first frame of each."""
        unit_BE: Tensor = functional.normalize(self.clips(features, times_s), dim=1)
        return unit_BE

    def example(self, clips: int, frames: int, width: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Drawn inputs of a shape; ``frames`` only where any number may be."""
        length = self.frames or frames
        features = torch.randn(clips, length, width, generator=torch.Generator().manual_seed(seed))
        steps = (self.clips.step_s * torch.arange(length, dtype=torch.float32)).repeat(clips, 1)
        return (features, steps) if self.timed else (features,)


def write_model(
    folder: Path, model: UnitEmbedder, width: int, about: Mapping[str, Any], forms: tuple[str, ...]
) -> dict[str, float]:
    """Publish the model in some of :data:`FORMS`, each after its output was held against the model's.

    Args:
        folder: where to.
        model: what to write.
        width: D of its input.
        about: goes into the safetensors file.
        forms: of :data:`FORMS`.

    Returns:
        The largest difference of an output component by form.

    Raises:
        UsageError: if a form needs what is not installed.
        StageError: if torch cannot export it, or an output differs by more than :data:`TOLERANCE`.
    """
    if "onnx" in forms:
        _refuse_no_onnx()
    program = _exported(model, width) if set(forms) - {"safetensors"} else None
    found = {}
    for form in forms:
        path = folder / FORMS[form]
        if form == "safetensors":
            save_checkpoint(path, model.clips.embedder.state_dict(), about)
            continue
        assert program is not None
        with published(path) as temporary:
            run = _write_program(program, temporary) if form == "torch" else _write_onnx(program, temporary)
            found[form] = _difference(model, run, width)
            if found[form] > TOLERANCE:
                raise StageError(
                    f"the {form} export differs from the model by {found[form]:.2g} (at most {TOLERANCE:g}): "
                    "nothing was written of it; leave this form out with --format"
                )
    return found


def _exported(model: UnitEmbedder, width: int) -> ExportedProgram:
    """The model with a free number of clips, and of frames where it takes any.

    Raises:
        StageError: if torch cannot.
    """
    free = {0: Dim("clips"), **({} if model.frames else {1: Dim("frames")})}
    example = model.example(3, 5, width)
    shapes = {"features": free, **({"times_s": free} if model.timed else {})}
    try:
        with _exporting():
            return torch.export.export(model, example, dynamic_shapes=shapes, strict=False)
    except (RuntimeError, torch._dynamo.exc.UserError) as error:
        raise StageError(f"torch cannot export this model ({error}): take --format safetensors") from error


@contextmanager
def _exporting() -> Iterator[None]:
    """Warnings of torch are of its own insides; its fused attention cannot be exported."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _write_program(program: ExportedProgram, path: Path) -> Any:
    """Write and read back; what runs it, of and to arrays."""
    with path.open("wb") as handle:
        torch.export.save(program, handle)
    with path.open("rb") as handle:
        module = torch.export.load(handle).module()
    return lambda *inputs: module(*map(torch.from_numpy, inputs)).numpy()


def _refuse_no_onnx() -> None:
    """ONNX needs libraries of its own.

    Raises:
        UsageError: naming the one that is missing.
    """
    try:
        for name in ("onnx", "onnxscript", "onnxruntime"):
            import_module(name)
    except ImportError as error:
        raise UsageError(
            f"ONNX needs onnx, onnxscript and onnxruntime ({error}): pip install 'mofore[export]', or take "
            "--format torch or safetensors"
        ) from error


def _write_onnx(program: ExportedProgram, path: Path) -> Any:
    """Write, and read back into onnxruntime; what runs it, of and to arrays."""
    import onnxruntime

    names = ["features", "times_s"][: len(program.graph_signature.user_inputs)]
    with _exporting():
        made = torch.onnx.export(
            program,
            (),
            None,
            dynamo=True,
            input_names=names,
            output_names=["embedding"],
            opset_version=OPSET,
            verbose=False,
        )
    assert made is not None
    made.save(str(path), external_data=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))[0]


def _difference(model: UnitEmbedder, run: Any, width: int) -> float:
    """The largest difference of an output component over drawn inputs of several shapes."""
    worst = 0.0
    for seed, (clips, frames) in enumerate(((1, 5), (4, 5), (2, 1), (1, 333))):
        inputs = model.example(clips, frames, width, seed)
        with torch.no_grad():
            expected = model(*inputs).numpy()
        worst = max(worst, float(np.abs(run(*(part.numpy() for part in inputs)) - expected).max()))
    return worst
