"""The backbone as queries need it: frames of files, pictures and texts, by the road that the store's frames took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...cache.shard import row_offsets
from ...cache.store import FrameTable
from ...data.arrays import Float16, Float32
from ...data.decode import picture
from ...data.errors import StaleError, UsageError, VideoError
from ...data.sampling import Span, Within
from ...data.settings import ExtractSettings
from ..backbone.encoder import Encoder, load_encoder
from ..backbone.made_alike import difference
from ..backbone.network import ComputeMode
from ..backbone.text_tower import encode_text, refuse_missing_tokenizer
from ..decode.source import Frames, Pieces, Reading
from ..decode.windows import FRAME_S, WindowCutter
from ..machine.allocator import keep_freed_memory
from ..machine.device import pick_device

WHOLE = Span()
PASS_FRAMES = 16  # of a forward pass
SIZES = (1, 8, PASS_FRAMES)  # that a pass is filled up to: choosing kernels for a size takes as long as a pass


@dataclass(frozen=True)
class QueryEncoder:
    """A backbone that is loaded when it is first needed, and then kept."""

    settings: ExtractSettings  # of the extraction
    weights: Path | None  # local weights of the backbone
    pinned: Mapping[str, Any]  # what the store was made with; not compiled here, which would take longer than it saves
    note: Callable[[str], None] = lambda _text: None  # told what the user should know of how the backbone was made

    @cached_property
    def encoder(self) -> Encoder:
        """In plain fp32.

        Raises:
            StaleError: if it is not the one that made the store.
        """
        encoder = load_encoder(self.settings, self.weights, pick_device(self.settings.device, "extract.device"))
        differs = difference(self.pinned, encoder)
        if differs:
            way_out = ", or bring back the weights" if differs.startswith("weights") else ""
            raise StaleError(f"the features were made with {differs}: run `mofore extract --force`{way_out}")
        for note in encoder.notes:
            self.note(note)
        return encoder

    @cached_property
    def _at_work(self) -> Encoder:
        """In the arithmetic of the store, by torch: whose features OpenVINO's are held against when it is chosen."""
        keep_freed_memory()
        example_BCHW = torch.zeros(1, *self.encoder.input_shape, dtype=torch.uint8)
        return self.encoder.at(ComputeMode(self.pinned["precision"], self.pinned["folded"]), example_BCHW)

    def of_file(self, path: Path, span: Span | None) -> FrameTable:
        """Features of the frames of a video file, or of a span of it, with their true times.

        Raises:
            VideoError: if the file cannot be read.
            UsageError: if it holds no frame of the span.
        """
        preprocess = self.encoder.preprocess
        sampling = Within(self.settings.stride, self.settings.fps, span or WHOLE)
        keep = self.settings.damaged == "keep"
        pieces = Pieces(
            path, Reading(preprocess, sampling, self.settings.image_fps, keep_damaged=keep), 0, lambda: None
        )
        frames, most = (0, PASS_FRAMES) if self.encoder.windows is None else (self.encoder.windows.length, 1)
        passes: list[Float16] = []
        times_s: list[tuple[float, ...]] = []
        waiting: list[Tensor] = []
        try:
            for row, *when_s in self._rows(pieces):
                times_s.append(tuple(when_s))
                waiting.append(row)
                if len(waiting) >= most:
                    passes.append(self._features(waiting))
                    waiting = []
        except VideoError as error:
            raise VideoError(f"'{path}': {error}") from error
        if waiting:
            passes.append(self._features(waiting))
        if not passes:
            wanted = f"no window of {frames} frames" if frames else "no frame"
            raise UsageError(f"'{path}' has {wanted} {span or WHOLE}: it is shorter")
        return _table(np.concatenate(passes), times_s, str(path))

    def of_image(self, path: Path) -> FrameTable:
        """The features of a picture, as a video of one frame.

        Raises:
            VideoError: if the file cannot be read.
        """
        try:
            frames_1HWC = torch.from_numpy(picture(path).copy())[None]
        except VideoError as error:
            raise VideoError(f"'{path}': {error}") from error
        frame_1CHW = self.encoder.preprocess(frames_1HWC)
        windows = self.encoder.windows
        if windows is None:
            return _table(self._features([frame_1CHW[0]]), [(0.0,)], str(path))
        still = frame_1CHW.expand(windows.length, -1, -1, -1)
        return _table(self._features([still]), [(0.0, FRAME_S)], str(path))

    def of_text(self, text: str) -> Float32:
        """Unit vector (D,) of a text.

        Raises:
            BackboneError: if the backbone's tokenizer needs a package that is not installed.
            StageError: if it cannot be had.
        """
        refuse_missing_tokenizer(self.settings.backbone)
        return encode_text(self.encoder, text)

    def _rows(self, pieces: Iterable[Frames]) -> Iterator[tuple[Tensor, float] | tuple[Tensor, float, float]]:
        """What rows of features are made of: frames (C, H, W) with their times, or windows with starts and ends."""
        cutter = None if self.encoder.windows is None else WindowCutter(self.encoder.windows)
        for piece in pieces:
            frames_BCHW = piece.pixels.permute(0, 3, 1, 2)
            if cutter is None:
                yield from zip(frames_BCHW, piece.times_s, strict=True)
            else:
                yield from ((one.frames_TCHW, one.start_s, one.end_s) for one in cutter.cut(frames_BCHW, piece.times_s))
        if cutter is not None:
            yield from ((one.frames_TCHW, one.start_s, one.end_s) for one in cutter.rest())

    def _features(self, rows: Sequence[Tensor]) -> Float16:
        """Float16 (n, D) of up to :data:`PASS_FRAMES` preprocessed frames, uint8 (C, H, W), or of windows of them."""
        count = len(rows)
        size = next(size for size in SIZES if size >= count)
        pixels = torch.zeros(
            size, *rows[0].shape[:-3], *(rows[0].shape[side] for side in (-2, -1, -3)), dtype=torch.uint8
        )
        torch.stack([row.movedim(-3, -1) for row in rows], out=pixels[:count])
        return np.asarray(self._at_work.encode(pixels.movedim(-1, -3))[:count].half().numpy())


def _table(features_TD: Float16, times_s: Sequence[tuple[float, ...]], name: str) -> FrameTable:
    starts_s, *ends_s = np.array(times_s).T
    return FrameTable(features_TD, starts_s, row_offsets([len(features_TD)]), (name,), ends_s[0] if ends_s else None)
