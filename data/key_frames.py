"""Where decoding may begin in the middle of a file, so that every later frame is what a whole decode gives.

A container's flag is not enough: an intra-refresh stream has entries at which the picture is still being built up, and
MPEG-TS and PS lead to a place after the one that was asked for. So a file is entered only where it can be shown to be
safe: in containers with an index and true times, at a picture that nothing after it looks behind of. Everything else is
decoded from its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice, pairwise

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

INDEXED = frozenset(["mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"])
EVERY_PICTURE_ALONE = frozenset(
    ["mjpeg", "png", "ffv1", "prores", "dnxhd", "huffyuv", "ffvhuff", "utvideo", "rawvideo"]
)
NEVER_REORDERED = frozenset(["vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "libaom-av1"])  # as packets
REORDERED = frozenset(["h264", "hevc"])
LOOKED_AT = 64  # packets in which a reordering stream must show true times: more than two of its longest runs
H264_IDR = 5


def packets_from(container: InputContainer, stream: VideoStream, time_s: float) -> Iterator[Packet[VideoStream]] | None:
    """The packets from a key frame before ``time_s`` (on the stream's clock) on; None where that is not safe."""
    codec = stream.codec_context.name
    reorders = stream.codec_context.has_b_frames
    safe = codec in EVERY_PICTURE_ALONE | NEVER_REORDERED | REORDERED or (codec == "mpeg4" and not reorders)
    if container.format.name not in INDEXED or not safe:
        return None
    container.seek(round(time_s / (stream.time_base or 1)), stream=stream)
    packets = container.demux(stream)
    first = list(islice(packets, LOOKED_AT))
    if not first or not first[0].is_keyframe or (codec == "h264" and not _is_idr(first[0], stream)):
        return None
    if codec in REORDERED and reorders and not _has_true_times(first):
        return None
    return chain(first, packets)


def is_key(frame: VideoFrame) -> bool:
    """Whether the decoder, too, takes it for a picture that stands alone."""
    return bool(frame.key_frame) and frame.pict_type == PictureType.I


def _has_true_times(packets: list[Packet[VideoStream]]) -> bool:
    """Whether pictures are stored in another order than shown: decode times in their place would rise all along."""
    times = [packet.pts for packet in packets if packet.size]
    return None not in times and any(after < before for before, after in pairwise(times))  # type: ignore[operator]


def _is_idr(packet: Packet[VideoStream], stream: VideoStream) -> bool:
    """Whether no later picture refers to one before this packet's (ISO 14496-10, 7.4.1.2.4; units as in 14496-15)."""
    header = stream.codec_context.extradata or b""
    if len(header) < 5 or header[0] != 1:  # start codes in place of lengths: not as these containers have it
        return False
    content, size, at = bytes(packet), (header[4] & 3) + 1, 0
    while at + size < len(content):
        if content[at + size] & 31 == H264_IDR:
            return True
        at += size + int.from_bytes(content[at : at + size], "big")
    return False
