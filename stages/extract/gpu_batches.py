"""Batches on a GPU, where everything is only launched.

Planes go straight from pinned memory into the batch, on a stream of their own, while the backbone works on the batch
before; a worker gets its memory back once an event says that the copy is over. Colours, resizing, normalisation and
backbone are one CUDA graph for each layout of planes, replayed for every batch: 42 to 55 thousand frames a second are
what launching them one by one in Python would allow. Features come back some batches later.

What a GPU, or its driver, refuses is gone without, and told: graphs, pinned memory, and memory for the whole batch,
which then goes through in halves.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...data.errors import StageError
from ...data.planes import PlaneLayout
from ..backbone.encoder import Encoder
from ..decode.device_preprocess import FromPlanes
from ..machine.device import release_memory
from .batches import Back, Batches, channels_first

WARM_UP = 3  # passes of a layout before it is captured: kernels are chosen and compiled in these
MOST_GRAPHS = 4  # each keeps the activations of a pass


class GpuBatches(Batches):
    """As :class:`.batches.Batches`.

    Attributes:
        rows: frames that go through the backbone together: the batch, or less of it once memory ran out.
        notes: told what is gone without.
    """

    def __init__(self, encoder: Encoder, batch_size: int, note: Callable[[str], None]) -> None:
        super().__init__(encoder, batch_size)
        self.rows, self.note = self.size, note
        self._copies = torch.cuda.Stream(encoder.device)
        self._copies.wait_stream(self._main)
        self._planes = torch.empty(0, dtype=torch.uint8, device=encoder.device)  # flat, for the largest layout so far
        self._layout: PlaneLayout | None = None  # of the planes that wait in the batch
        self._first = 0  # row of the first of them
        self._roads: dict[PlaneLayout, FromPlanes] = {}
        self._passes_of: dict[PlaneLayout, int] = {}
        self._graphs: dict[PlaneLayout, GraphedPass] = {}
        self._graphing = self._pinning = True

    @property
    def _main(self) -> torch.cuda.Stream:
        return torch.cuda.current_stream(self.encoder.device)

    def prepare(self, pixels: Tensor, layout: PlaneLayout | None) -> Tensor:
        """As of any batch; the copy is only launched."""
        with torch.cuda.stream(self._copies):
            moved = pixels.to(self.encoder.device, non_blocking=True)
        self._main.wait_stream(self._copies)
        moved.record_stream(self._main)
        if layout is None:
            return moved.permute(0, 3, 1, 2)
        return self._road(layout)(moved)

    def taken(self) -> torch.cuda.Event:
        """When the copies that were launched are over."""
        event = torch.cuda.Event()
        event.record(self._copies)
        return event

    def frames(self) -> Tensor:
        """As of any batch."""
        self._convert()
        return super().frames()[: self.rows]

    def trying(self, make: Callable[[], Encoder]) -> Encoder:
        """An encoder that is settled on the frames so far, of which there are half as many where memory runs out."""
        while True:
            try:
                return make()
            except torch.OutOfMemoryError as error:
                self._halve(error)

    def _take(self, pixels: Tensor, layout: PlaneLayout | None) -> None:
        if layout != self._layout:
            self._convert()
            if layout is not None:
                self._layout, self._first = layout, self.filled
                self._make_room(layout)
        rows = slice(self.filled, self.filled + len(pixels))
        if pixels.device == self._batch_BHWC.device:  # windows, which were cut there
            self._batch_BHWC[rows] = pixels
            return
        with torch.cuda.stream(self._copies):
            to = self._batch_BHWC if layout is None else self._staged(layout)
            to[rows].copy_(pixels, non_blocking=True)

    def _make_room(self, layout: PlaneLayout) -> None:
        self._road(layout)
        if len(self._planes) < self.size * layout.bytes:
            self._copies.synchronize()
            self._planes = torch.empty(self.size * layout.bytes, dtype=torch.uint8, device=self.encoder.device)
            self._copies.wait_stream(self._main)

    def _road(self, layout: PlaneLayout) -> FromPlanes:
        if layout not in self._roads:
            self._roads[layout] = FromPlanes.of(layout, self.encoder.preprocess, self.encoder.device)
        return self._roads[layout]

    def _staged(self, layout: PlaneLayout) -> Tensor:
        """Planes (B, layout.bytes) of the batch; rows before the first of this layout are of no meaning."""
        return self._planes[: self.size * layout.bytes].view(self.size, layout.bytes)

    def _convert(self) -> None:
        """Make frames of planes that wait: those of another layout come, or the frames are asked for."""
        self._main.wait_stream(self._copies)
        if self._layout is None:
            return
        layout, self._layout = self._layout, None
        # All rows, whatever is in them: products of another shape could be rounded otherwise.
        frames_BCHW = self._in_parts(self._staged(layout), self._roads[layout])
        mine = slice(self._first, self.filled)
        self._batch_BHWC[mine] = frames_BCHW[mine].permute(0, 2, 3, 1)
        self._copies.wait_stream(self._main)

    @torch.inference_mode()
    def _computed(self) -> Back:
        self._main.wait_stream(self._copies)
        layout = self._layout if self._first == 0 else None
        if layout is None:
            self._convert()
            frames_BCHW = channels_first(self._batch_BHWC.clone())
            self._copies.wait_stream(self._main)  # what comes next overwrites the batch, of which there is a copy
            return self._sent_back(self._in_parts(frames_BCHW, lambda part: self.encoder.forward(part).half()))
        graph, self._layout = self._graph(layout), None
        if graph is not None:
            graph.planes_BP.copy_(self._staged(layout))
            self._copies.wait_stream(self._main)
            return self._sent_back(graph.replay())
        planes_BP = self._staged(layout).clone()
        self._copies.wait_stream(self._main)
        return self._sent_back(self._in_parts(planes_BP, lambda part_BP: self._passed(layout, part_BP)))

    def _passed(self, layout: PlaneLayout, planes_BP: Tensor) -> Tensor:
        return self.encoder.forward(self._roads[layout](planes_BP)).half()

    def _in_parts(self, whole: Tensor, forward: Callable[[Tensor], Tensor]) -> Tensor:
        """What comes of a batch, in as many parts as memory asks for."""
        while True:
            try:
                return torch.cat([forward(part) for part in whole.split(self.rows)])
            except torch.OutOfMemoryError as error:
                self._halve(error)

    def _halve(self, error: torch.OutOfMemoryError) -> None:
        self._graphs.clear()
        if self.rows == 1:
            raise StageError(
                "the GPU has not enough memory for the backbone and one frame: take a smaller extract.backbone or "
                "extract.image_size, or extract.device = 'cpu'"
            ) from error
        self.rows, self._graphing = -(-self.rows // 2), False
        error.__traceback__ = None  # its frames hold what is in the way
        release_memory()
        self.note(
            f"the GPU's memory was too small: {self.rows} frames at a time from here on "
            f"(extract.batch_size = {self.rows} begins so)"
        )

    def _graph(self, layout: PlaneLayout) -> GraphedPass | None:
        """The captured pass of a layout, once it has been used often enough to be worth one."""
        if layout in self._graphs or not self._graphing:
            return self._graphs.get(layout)
        self._passes_of[layout] = self._passes_of.get(layout, 0) + 1
        if self._passes_of[layout] <= WARM_UP or len(self._graphs) == MOST_GRAPHS:
            return None
        try:
            graph = GraphedPass(lambda planes_BP: self._passed(layout, planes_BP), self._staged(layout))
        except RuntimeError as error:
            self._graphing = False
            self.note(f"batches are launched kernel by kernel, since a CUDA graph was refused: {first_line(error)}")
            return None
        return self._graphs.setdefault(layout, graph)

    def _sent_back(self, features_BD: Tensor) -> Back:
        there_BD = self._host(features_BD)
        there_BD.copy_(features_BD, non_blocking=True)
        done = torch.cuda.Event()
        done.record(self._main)
        return there_BD, done

    def _host(self, features_BD: Tensor) -> Tensor:
        if self._pinning:
            try:
                return torch.empty(features_BD.shape, dtype=features_BD.dtype, pin_memory=True)
            except RuntimeError:  # told already of the frames' memory, which comes first
                self._pinning = False
        return torch.empty(features_BD.shape, dtype=features_BD.dtype)


class GraphedPass:
    """A pass over a batch, recorded once.

    Attributes:
        planes_BP: what it reads, to be filled before a replay.
    """

    def __init__(self, compute: Callable[[Tensor], Tensor], example_BP: Tensor) -> None:
        self.planes_BP = example_BP.clone()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._features_BD = compute(self.planes_BP)

    def replay(self) -> Tensor:
        """Features (B, D), in memory that the next replay overwrites."""
        self._graph.replay()
        return self._features_BD


def first_line(error: Exception) -> str:
    """Of what a library says, the beginning."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
