"""Files of sound alone, as they lie beside videos."""

from pathlib import Path

import av
import numpy as np

CODECS = {".ogg": "libopus", ".mp4": "aac", ".wav": "pcm_s16le"}


def write_sound(path: Path, seconds: float = 0.5) -> None:
    """A tone, in a codec that goes with the file's suffix."""
    rate = 48000
    samples = np.sin(np.arange(int(rate * seconds)) * 0.3).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODECS[path.suffix], rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray((samples * 20000).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode())
