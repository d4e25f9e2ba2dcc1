"""Packets and frames of a film through PyAV, every one once, and no damage passed over.

A decoder conceals damage in the picture: it says so in its log, in flags and by frames that do not
come, but seldom by an error.
"""

from __future__ import annotations

import re
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
_X264 = re.compile(rb"x264 - core (\d+)")
ERROR_DETECTION = "crccheck+bitstream+buffer+explode"


class Damage(Exception):  # noqa: N818  it is caught and becomes a SourceError or an early end
    """Something in a film cannot be trusted."""


class Walk(NamedTuple):
    """What the packets of a stream say without being decoded: when frames begin, and how many are shown."""

    ticks: list[int]
    shown: int
    keys: list[int]
    """When those frames begin that need no other one to be decoded."""


def walk(container: InputContainer, stream: VideoStream) -> Walk:
    """Read every packet for its time, without decoding it.

    Raises:
        Damage: the container is broken there; ``Walk`` would not know what follows.
    """
    ticks: list[int] = []
    keys: list[int] = []
    shown = 0
    for packet in _packets(container, stream):
        if packet.size and not packet.is_discard and not _is_hidden(packet, stream):
            shown += 1
            ticks += [] if packet.pts is None else [packet.pts]
            keys += [packet.pts] if packet.is_keyframe and packet.pts is not None else []
    return Walk(sorted(ticks), shown, sorted(keys))


def decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield every frame in the order of showing.

    Raises:
        Damage: a packet is bad. The decoder may still hold a few good frames for reordering; they
            are given up, because which of them come whole is not certain.
    """
    for packet in _packets(container, stream):
        yield from _decode(packet)


def decoded_from(
    container: InputContainer, stream: VideoStream, key: int, since: int
) -> Iterator[VideoFrame]:
    """Begin to decode at the keyframe of time ``key``; yield the frames that begin at ``since`` or later.

    Raises:
        Damage: the keyframe is not found, or a packet of the wanted frames is bad.
    """
    _recall_encoder(container, stream)
    yield from _decode(_seek(container, stream, key), since)
    for packet in _packets(container, stream):
        yield from _decode(packet, since)


def _seek(container: InputContainer, stream: VideoStream, key: int) -> Packet[VideoStream]:
    """Find the packet of a keyframe.

    Raises:
        Damage: it is not where it should be.
    """
    import av

    # An mp4 has an index of its keyframes; in an mpegts one lands near the time, before or after.
    for seconds in (0, 1, 10):
        try:
            with listening():
                container.seek(key - int(seconds / (stream.time_base or 1)), stream=stream)
        except av.FFmpegError as error:
            raise Damage from error
        for packet in _packets(container, stream):
            if packet.is_keyframe and packet.pts == key:
                return packet
            if packet.dts is not None and packet.dts > key:
                break  # what is decoded later cannot be shown earlier: it was passed
    raise Damage


def _recall_encoder(container: InputContainer, stream: VideoStream) -> None:
    """Tell an H.264 decoder what only the first packet says: which x264 made the film.

    Old ones coded 4:4:4 in a way of their own; without that, the middle of such a film is noise.
    """
    if stream.codec_context.name == "h264":
        first = next(_packets(container, stream), None)
        build = _X264.search(bytes(first)) if first else None
        if build:
            stream.codec_context.options = {"x264_build": build.group(1).decode()}


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


def _decode(packet: Packet[VideoStream], since: int | None = None) -> list[VideoFrame]:
    """Decode a packet; frames that begin before ``since`` are not wanted, and may be bad.

    After the keyframe at which a reading begins may come frames that need others from before it.
    """
    import av

    is_early = since is not None and packet.pts is not None and packet.pts < since
    try:
        with listening() as complaints:
            frames = packet.decode()
    except av.FFmpegError as error:
        if is_early:
            return []
        raise Damage from error
    if since is not None:
        frames = [frame for frame in frames if frame.pts is not None and frame.pts >= since]
    if (complaints and not is_early) or any(frame.is_corrupt for frame in frames):
        raise Damage
    return frames


def _is_hidden(packet: Packet[VideoStream], stream: VideoStream) -> bool:
    """Tell a VP8 packet that is only a reference for others and never shown (RFC 6386, 9.1)."""
    return stream.codec_context.name in ("vp8", "libvpx") and not bytes(packet)[0] & 0x10
