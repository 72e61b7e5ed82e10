"""A backbone with its normalisation, in one way to compute it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ..decode.preprocess import Preprocess
from .batch_norm import fold_batch_norms
from .bfloat16 import diffuse_kernels, to_bfloat16
from .openvino_engine import OpenVinoNetwork

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
IN_CACHE = 4  # frames that are normalised at once, so that what lies between stays in the processor's cache


@dataclass(frozen=True, slots=True)
class ComputeMode:
    """One way to compute the features: "fp32", "bf16" or "fp16", batch norms folded, compiled, by which engine."""

    precision: str = "fp32"
    folded: bool = False
    compiled: bool = False
    engine: str = "torch"  # or "openvino", on a processor

    def __str__(self) -> str:
        extras = [name for name in ("folded", "compiled") if getattr(self, name)]
        return ", ".join([self.precision, *extras, *([self.engine] if self.engine != "torch" else [])])

    def describe(self) -> dict[str, Any]:
        """What a store records of it; of torch nothing, as stores of earlier versions."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("engine", "torch")}

    @classmethod
    def of(cls, recorded: Mapping[str, Any]) -> ComputeMode:
        """What a store records."""
        known = {f.name: recorded[f.name] for f in fields(cls) if f.name in recorded}
        return cls(**known)


PLAIN = ComputeMode()


class Network(nn.Module):
    """A backbone with its normalisation: uint8 frames (B, C, H, W), or windows (B, T, C, H, W), to features (B, D)."""

    def __init__(self, model: nn.Module, method: str, preprocess: Preprocess, dtype: torch.dtype) -> None:
        super().__init__()
        device = next(chain(model.parameters(), model.buffers()), torch.empty(0)).device
        mean_C = torch.tensor(preprocess.mean, device=device)
        std_C = torch.tensor(preprocess.std, device=device)
        picture = (*preprocess.size, 3)
        # As large as a picture, since broadcasting three numbers over it takes four times as long on a processor.
        self.register_buffer("scale_HWC", (1 / (255 * std_C)).expand(picture).contiguous())
        self.register_buffer("shift_HWC", (-mean_C / std_C).expand(picture).contiguous())
        self.model, self.method, self.dtype = model, method, dtype

    def forward(self, frames_BCHW: Tensor) -> Tensor:
        """Normalise as :meth:`.preprocess.Preprocess.normalise` does, in fp32, and run the backbone."""
        features_BD: Tensor = getattr(self.model, self.method)(self.normalise(frames_BCHW))
        return features_BD

    def normalise(self, frames_BCHW: Tensor) -> Tensor:
        """Pictures (B, C, H, W), or windows (B, T, C, H, W), in the network's dtype, channels last in memory."""
        if frames_BCHW.ndim == 5:
            return self.normalise(frames_BCHW.flatten(0, 1)).view_as(frames_BCHW)
        frames_BHWC = frames_BCHW.permute(0, 2, 3, 1)
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or frames_BCHW.is_cuda:  # type: ignore[attr-defined, no-untyped-call]
            return self._normalised(frames_BHWC).permute(0, 3, 1, 2)
        pictures_BHWC = torch.empty(frames_BHWC.shape, dtype=self.dtype)
        for start in range(0, len(frames_BHWC), IN_CACHE):
            pictures_BHWC[start : start + IN_CACHE] = self._normalised(frames_BHWC[start : start + IN_CACHE])
        return pictures_BHWC.permute(0, 3, 1, 2)

    def _normalised(self, frames_BHWC: Tensor) -> Tensor:
        pictures_BHWC = torch.addcmul(self.shift_HWC, frames_BHWC.float(), self.scale_HWC)  # type: ignore[arg-type]
        return pictures_BHWC.to(self.dtype)


def build_network(
    model: nn.Module, method: str, preprocess: Preprocess, arithmetic: ComputeMode, example_BCHW: Tensor
) -> nn.Module:
    """``model`` (fp32, left as it is) in another arithmetic; ``example_BCHW`` as for :meth:`Encoder.at`."""
    if arithmetic.folded:
        model = fold_batch_norms(model, preprocess.normalise(example_BCHW[:1]), method)
    if arithmetic.engine == "openvino":
        if arithmetic.precision == "bf16":  # OpenVINO rounds to the nearest, which these are already
            model = diffuse_kernels(model)
        plain = Network(lay_channels_last(model), method, preprocess, torch.float32)
        return OpenVinoNetwork(plain, arithmetic.precision, example_BCHW)
    if arithmetic.precision == "bf16":
        model = to_bfloat16(model)
    elif arithmetic.precision == "fp16":  # its 10 bits need no care, its range does: what overflows is refused
        model = copy.deepcopy(model).half()
    model = lay_channels_last(model)
    network = Network(model, method, preprocess, DTYPES[arithmetic.precision])
    if not arithmetic.compiled:
        return network
    # Freezing makes the weights constants: on a processor they are laid out for the kernels once.
    if example_BCHW.device.type == "cpu":
        return torch.compile(network, dynamic=False, options={"freezing": True})  # type: ignore[return-value]
    return torch.compile(network, dynamic=False)  # type: ignore[return-value]


def lay_channels_last(model: nn.Module) -> nn.Module:
    """The model itself, its kernels of convolutions over pictures laid channels last in memory.

    ``model.to(memory_format=...)`` takes every tensor of 4 and of 5 dimensions and stumbles over the latter.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return model
