"""The forward pass on a processor by OpenVINO in place of torch (``extract.engine``, extra `openvino`).

The network, normalisation included, is traced by torch and converted. It runs on pieces of a batch, of one size each,
several at once: threads that each work on frames of their own do not wait for each other at every layer, and what lies
between two layers stays in the processor's cache. As a piece has the same size whatever the batch, features depend
neither on the number of threads nor on what else is in the batch.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...data.errors import BackboneError, ConfigError

PIECE_FRAMES = 8  # 4 to 16 are equally fast, one alone is slower by a fifth for a light backbone
PRECISIONS = {"fp32": "f32", "bf16": "bf16"}  # names of OpenVINO
INSTALL = "pip install 'mofore[openvino]'"


def is_installed() -> bool:
    """Whether the extra `openvino` is there; it is not imported."""
    return find_spec("openvino") is not None


def check_usable(device: torch.device) -> None:
    """Refuse ``extract.engine = openvino`` where it cannot be had.

    Raises:
        ConfigError: if ``device`` is not the processor, or OpenVINO is not installed.
    """
    if device.type != "cpu":
        raise ConfigError(
            f"extract.engine = 'openvino' computes on the processor, and this would run on {device.type}: "
            "--set extract.device=cpu, or --set extract.engine=torch"
        )
    if not is_installed():
        raise ConfigError(
            f"extract.engine = 'openvino', but it is not installed: {INSTALL}, or --set extract.engine=torch"
        )


class OpenVinoNetwork(nn.Module):
    """What :class:`.network.Network` computes, by OpenVINO: uint8 frames or windows in, float32 features (B, D) out."""

    def __init__(self, network: nn.Module, precision: str, example_BCHW: Tensor) -> None:
        """Convert and compile.

        Args:
            network: in fp32, on the processor.
            precision: of the computation, "fp32" or "bf16".
            example_BCHW: uint8 frames (B, C, H, W), or windows (B, T, C, H, W), as many as a batch has.

        Raises:
            ConfigError: if the processor does not compute in ``precision``.
            BackboneError: if the network cannot be converted.
        """
        super().__init__()
        windows = example_BCHW.shape[1] if example_BCHW.ndim == 5 else 1
        self._rows = max(1, PIECE_FRAMES // windows)
        most = -(-len(example_BCHW) // self._rows)
        with _no_telemetry():
            self._compiled = _compiled(network, precision, self._piece(_in_memory(example_BCHW), 0), most)
        self._requests: list[Any] = []
        self._pieces: list[Any] = []  # what the requests read, also where Ctrl-C leaves them at work

    def forward(self, frames_BCHW: Tensor) -> Tensor:
        """Features (B, D); the last piece is filled up with copies of its last row."""
        frames_BHWC, parts = _in_memory(frames_BCHW), range(0, len(frames_BCHW), self._rows)
        self._requests += [self._compiled.create_infer_request() for _ in parts[len(self._requests) :]]
        self._pieces = [self._piece(frames_BHWC, start).numpy() for start in parts]
        requests = self._requests[: len(parts)]
        for request, piece in zip(requests, self._pieces, strict=True):
            request.start_async([piece], share_inputs=True)
        for request in requests:
            request.wait()
        done = [request.get_output_tensor().data for request in requests]
        return torch.from_numpy(np.concatenate(done)[: len(frames_BCHW)])

    def _piece(self, frames_BHWC: Tensor, start: int) -> Tensor:
        piece_BHWC = frames_BHWC[start : start + self._rows]
        missing = self._rows - len(piece_BHWC)
        filling = [piece_BHWC[-1:]] * missing
        return torch.cat([piece_BHWC, *filling]) if missing else piece_BHWC.contiguous()


class _ChannelsLast(nn.Module):
    """Takes frames as they lie in memory, so that nothing is copied on the way in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames_BHWC: Tensor) -> Tensor:
        features_BD: Tensor = self.network(frames_BHWC.movedim(-1, -3))
        return features_BD


def _in_memory(frames_BCHW: Tensor) -> Tensor:
    return frames_BCHW.movedim(-3, -1)


@contextmanager
def _no_telemetry() -> Iterator[None]:
    """Within the block OpenVINO tells nobody that it is used.

    Importing it and converting send events to Google Analytics unless the user has opted out; not where `CI` is set.
    """
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before


def _compiled(network: nn.Module, precision: str, example_BHWC: Tensor, most: int) -> Any:
    """A compiled model that takes what has the example's shape; ``most`` of them are given to it at once."""
    import openvino
    from openvino import exceptions, frontend
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    failures = (
        frontend.OpConversionFailure,
        frontend.OpValidationFailure,
        frontend.GeneralFailure,
        frontend.NotImplementedFailure,
        exceptions.OVError,
        RuntimeError,
    )
    threads = torch.get_num_threads()
    wanted = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": min(threads, most),
        "ENABLE_CPU_PINNING": False,  # workers decode on the same cores
    }
    core = openvino.Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ConfigError("OpenVINO finds no bf16 here: --set extract.precision=fp32, or --set extract.engine=torch")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of tracing: what is wrong shows in the comparison with torch's features
            traced = TorchScriptPythonDecoder(
                _ChannelsLast(network), example_input=example_BHWC, trace_kwargs={"check_trace": False}
            )
            model = openvino.convert_model(traced)
        model.reshape(list(example_BHWC.shape))
        compiled = core.compile_model(model, "CPU", wanted)
        compiled.create_infer_request().infer([example_BHWC.numpy()])  # what it cannot do shows here
    except failures as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        told = next((line for line in lines if line.startswith("--")), lines[-1]).lstrip("- ")
        raise BackboneError(
            f"OpenVINO cannot compute this backbone ({told[:200]}): --set extract.engine=torch"
        ) from error
    return compiled
