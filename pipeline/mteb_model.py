"""A run's embeddings as a model of `mteb`, so that its tasks run on them; needs ``pip install 'mofore[mteb]'``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from datasets import Video
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.similarity_functions import cos_sim, pairwise_cos_sim

from ..data.arrays import Float32
from ..data.errors import UsageError
from ..data.names import VideoNames


class EmbeddedRun(Protocol):
    """What is asked of a :class:`mofore.Run`."""

    @property
    def path(self) -> Path:
        """The work folder."""

    @property
    def session(self) -> Any:
        """The opened index."""

    def embeddings(self, space: str) -> Any:
        """Ids and vectors of the index."""

    def embed(self, query: str | Path, /, *, space: str) -> Float32:
        """The unit vector (E,) of a file."""


class MtebModel:
    """What `mteb` calls an encoder, of videos (``mteb.models.EncoderProtocol``).

    Attributes:
        run: the work folder.
        space: what embeds.
        mteb_model_meta: name and revision (the key of the index), by which `mteb` keeps results apart.
    """

    def __init__(self, run: EmbeddedRun, space: str, *, stored: bool) -> None:
        self.run, self.space = run, space
        found = run.embeddings(space)
        self._stored: Mapping[str, Float32] = dict(zip(found.ids, found.vectors, strict=True)) if stored else {}
        self._names = VideoNames(self._stored)
        self.mteb_model_meta = ModelMeta.create_empty(
            {
                "name": f"mofore/{space.replace(':', '-')}",
                "revision": run.session.index_key,
                "modalities": ["video"],
                "embed_dim": len(found.mean),
                "framework": ["PyTorch"],
                "similarity_fn_name": ScoringFunction.COSINE,
            }
        )

    def encode(self, inputs: Any, **_: Any) -> Float32:
        """Unit vectors (N, E), not centred, of the videos of a loader, in its order.

        Raises:
            UsageError: if they are no videos, or one is neither stored nor to be read.
            VideoError: if a file cannot be read.
        """
        return np.stack([self._vector(path, content) for path, content in _videos(inputs.dataset)])

    def similarity(self, first: Any, second: Any) -> Any:
        """Cosines (N, M)."""
        return cos_sim(first, second)

    def similarity_pairwise(self, first: Any, second: Any) -> Any:
        """Cosines (N,)."""
        return pairwise_cos_sim(first, second)

    def _vector(self, path: str, content: bytes | None) -> Float32:
        video_id = self._names.find([path]).ids.get(path)
        if video_id is not None:
            return self._stored[video_id]
        if content is not None:
            with TemporaryDirectory() as folder:
                file = Path(folder, f"video{Path(path).suffix or '.mp4'}")
                file.write_bytes(content)
                return self.run.embed(file, space=self.space)
        if not Path(path).is_file():
            raise UsageError(
                f"'{path}' is neither a video of '{self.run.path}' nor a file: extract it, or give its path"
            )
        return self.run.embed(path, space=self.space)


def _videos(rows: Any) -> Iterator[tuple[str, bytes | None]]:
    """Path (empty if there is none) and content of each; `mteb`'s own decoding is left out.

    Raises:
        UsageError: if there is no column of videos.
    """
    feature = rows.features.get("video")
    if feature is None:
        raise UsageError(f"a task with a column of videos is needed; this one has {', '.join(rows.features)}")
    if isinstance(feature, Video):
        rows = rows.cast_column("video", Video(decode=False))
    for row in rows:
        video = row["video"]
        yield (video, None) if isinstance(video, str) else (video["path"] or "", video["bytes"])
