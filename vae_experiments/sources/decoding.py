"""Packets and frames of a film through PyAV, every one once, and no damage passed over.

A decoder conceals damage in the picture: it says so in its log, in flags and by frames that do not
come, but seldom by an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.sources.listening import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Playlists, and whatever else opens further files or addresses, are not on the list.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,nut,dv,ivf,"
    "yuv4mpegpipe,h264,hevc,vvc,av1,obu,m4v,rm,mp3,wav,flac,aac"
)
RAW_FORMATS = {"h264", "hevc", "vvc", "obu", "m4v", "mpegvideo"}
ERROR_DETECTION = "crccheck+bitstream+buffer+explode"


class Damage(Exception):  # noqa: N818  it is caught and becomes a SourceError or an early end
    """Something in a film cannot be trusted."""


class Walk(NamedTuple):
    """What the packets of a stream say without being decoded: when frames begin, and how many are shown."""

    ticks: list[int]
    shown: int


def walk(container: InputContainer, stream: VideoStream) -> Walk:
    """Read every packet for its time, without decoding it.

    Raises:
        Damage: the container is broken there; ``Walk`` would not know what follows.
    """
    ticks: list[int] = []
    shown = 0
    for packet in _packets(container, stream):
        if packet.size and not packet.is_discard and not _is_hidden(packet, stream):
            shown += 1
            ticks += [] if packet.pts is None else [packet.pts]
    return Walk(sorted(ticks), shown)


def decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield every frame in the order of showing.

    Raises:
        Damage: a packet is bad. The decoder may still hold a few good frames for reordering; they
            are given up, because which of them come whole is not certain.
    """
    for packet in _packets(container, stream):
        yield from _decode(packet)


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Yield the packets of a stream and at the end an empty one, which flushes the decoder."""
    import av

    packets = iter(container.demux(stream))
    while True:
        try:
            with listening() as complaints:
                packet = next(packets, None)
        except av.FFmpegError as error:
            raise Damage from error
        if packet is None:
            return
        if complaints or packet.is_corrupt:
            raise Damage
        yield packet


def _decode(packet: Packet[VideoStream]) -> list[VideoFrame]:
    import av

    try:
        with listening() as complaints:
            frames = packet.decode()
    except av.FFmpegError as error:
        raise Damage from error
    if complaints or any(frame.is_corrupt for frame in frames):
        raise Damage
    return frames


def _is_hidden(packet: Packet[VideoStream], stream: VideoStream) -> bool:
    """Tell a VP8 packet that is only a reference for others and never shown (RFC 6386, 9.1)."""
    return stream.codec_context.name in ("vp8", "libvpx") and not bytes(packet)[0] & 0x10
