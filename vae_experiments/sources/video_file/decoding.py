"""Packets and frames of a video through PyAV, every one once, and no damage passed over.

A decoder conceals damage in the picture: it says so in its log, in flags and by frames that do not
come, but seldom by an error. On the other hand not every packet shows a picture: a second field, a
picture that is only a reference, one that is "not coded" or was cut off at the front.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.sources.video_file.ffmpeg_log import listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Playlists, and whatever else opens further files or addresses, are not on the list.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,nut,dv,ivf,"
    "yuv4mpegpipe,mjpeg,h264,hevc,vvc,av1,obu,m4v,rm,mp3,wav,flac,aac"
)
RAW_FORMATS = {"mjpeg", "h264", "hevc", "vvc", "obu", "m4v", "mpegvideo"}
# Broadcasts: a recording begins wherever somebody tuned in, and may be joined of several.
BROADCAST_FORMATS = {"mpegts", "mpeg"}
_MP4_FORMAT = "mov,mp4,m4a,3gp,3g2,mj2"
_X264 = re.compile(rb"x264 - core (\d+)")
ERROR_DETECTION = "crccheck+bitstream+buffer+explode"
# Lines about what accompanies a picture, not about the picture.
_BESIDE_THE_PICTURE = re.compile(
    r"\b(EXIF|ICC|XMP|SEI|APP fields|metadata|timecode|user data)\b", re.IGNORECASE
)
# What a decoder says of references that lie before the first picture.
_OF_WHAT_WAS_CUT = re.compile(r"mmco: |co located POCs unavailable")
# FFmpeg's own decoders of these leave the alpha channel out.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


class Damage(Exception):  # noqa: N818  it is caught and becomes a SourceError or an early end
    """Something in a video cannot be trusted."""


class Walk(NamedTuple):
    """What the packets of a stream say without being decoded: when frames begin, and how many there are."""

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
        if packet.size and _is_promised(packet, stream):
            shown += 1
            ticks += [] if packet.pts is None else [packet.pts]
            keys += [packet.pts] if packet.is_keyframe and packet.pts is not None else []
    return Walk(sorted(ticks), shown, sorted(keys))


class Decoding:
    """One pass over a video from its first packet: an iterator of its frames, in the order of showing.

    Pictures before the first one that can be shown, which depend on what was cut off, are passed over
    whatever the decoder says of them; ``early`` counts them.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, is_lenient: bool = False) -> None:
        """Prepare to read; a lenient reading lets any video begin in the middle, as broadcasts may."""
        self._container, self._stream = container, stream
        self._decoder = decoder_of(stream)
        self._times: list[int | None] = []
        self._first: int | None = None
        self._doubts: list[int | None] = []
        self._may_begin_anywhere = is_lenient or container.format.name in BROADCAST_FORMATS | RAW_FORMATS
        self._keys = 0
        self._is_over = False
        self.frames = 0
        self.is_in_step = True
        """Whether the packets' times increase, as those of decoding do, where pictures are reordered."""
        self._end: int | None = None

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yield every frame.

        Raises:
            Damage: a packet is bad. The decoder may still hold a few good frames for reordering; they
                are given up, because which of them come whole is not certain.
        """
        for packet in _packets(self._container, self._stream, is_strict=lambda: not self._is_before_all):
            if _is_promised(packet, self._stream):
                self._note(packet)
            for frame in self._decode(packet):
                if not self.frames:
                    self._begin(frame)
                self.frames += 1
                yield frame
        self._is_over = True

    @property
    def early(self) -> int:
        """How many packets show nothing because what they depend on lies before the first one."""
        if self._first is None:
            return 0
        first = self._first
        before = takewhile(lambda time: time is None or time <= first, self._times)
        return sum(time != first for time in before)

    @property
    def silent(self) -> int:
        """How many later packets show no picture of their own; 0 before the video is over."""
        return max(len(self._times) - self.frames - self.early, 0) if self._is_over else 0

    @property
    def end(self) -> int | None:
        """When the last packet ends, in ticks; None before the video is over, or where nothing tells."""
        return self._end if self._is_over else None

    def notes(self, is_interlaced: bool) -> Iterator[str]:
        """Yield what a person should know of the packets that showed nothing, a sentence each."""
        if self.early:
            yield f"{self.early} pictures at the beginning cannot be shown: what they depend on was cut off"
        if self.silent and not is_interlaced:
            yield f"{self.silent} packets show no picture of their own; the one before each stands longer"
        unused = self._stream.frames - len(self._times)
        if self._is_over and self._container.format.name == _MP4_FORMAT and unused > 0:
            yield f"an edit list leaves out {unused} of {self._stream.frames} pictures, as players do"

    def _note(self, packet: Packet[VideoStream]) -> None:
        last = self._times[-1] if self._times else None
        if last is not None and (packet.pts is None or packet.pts <= last):
            self.is_in_step = False
        self._times.append(packet.pts)
        self._keys += packet.is_keyframe
        if packet.pts is not None and packet.duration:
            self._end = max(packet.pts + packet.duration, self._end or 0)

    def _decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        if not (packet.size or _is_flush(packet)):
            return []
        frames, words = _decoded(self._decoder, packet)
        if words and not self._is_before_all:
            if self._keys and not self.frames and not packet.is_keyframe:
                # Whether it matters is known when the first frame is: it may belong before it.
                is_grave = not all(_OF_WHAT_WAS_CUT.search(line) for line in words)
                self._doubts += [packet.pts] * is_grave
            else:
                self._judge(packet.pts)
        return frames

    @property
    def _is_before_all(self) -> bool:
        """Whether nothing that a decoder can begin with has come yet, where that may be so."""
        return self._may_begin_anywhere and not self._keys

    def _begin(self, frame: VideoFrame) -> None:
        self._first = frame.pts
        for time in self._doubts:
            self._judge(time)

    def _judge(self, time: int | None) -> None:
        if time is None or self._first is None or time >= self._first:
            raise Damage


def decoder_of(stream: VideoStream) -> VideoCodecContext:
    """Return the decoder for a stream, on one thread: which frame an error belongs to must not be a race."""
    from av import Codec, CodecContext

    decoder = stream.codec_context
    if stream.metadata.get("alpha_mode") == "1" and decoder.name in _ALPHA_DECODERS:
        alpha = CodecContext.create(Codec(_ALPHA_DECODERS[decoder.name], "r"))
        alpha.extradata = decoder.extradata
        decoder = alpha  # type: ignore[assignment]
    decoder.thread_type, decoder.thread_count = "SLICE", 1
    return decoder


def decoded_from(
    container: InputContainer, stream: VideoStream, key: int, since: int
) -> Iterator[VideoFrame]:
    """Begin to decode at the keyframe of time ``key``; yield the frames that begin at ``since`` or later.

    Raises:
        Damage: the keyframe is not found, or a packet of the wanted frames is bad.
    """
    _recall_encoder(container, stream)
    decoder = decoder_of(stream)
    yield from _decoded_since(decoder, _seek(container, stream, key), since)
    for packet in _packets(container, stream):
        if packet.size or _is_flush(packet):
            yield from _decoded_since(decoder, packet, since)


def _decoded_since(decoder: VideoCodecContext, packet: Packet[VideoStream], since: int) -> list[VideoFrame]:
    """Decode a packet; frames that begin before ``since`` are not wanted, and may be bad.

    After the keyframe at which a reading begins may come frames that need others from before it.
    """
    frames, words = _decoded(decoder, packet)
    if words and (packet.pts is None or packet.pts >= since):
        raise Damage
    return [frame for frame in frames if frame.pts is not None and frame.pts >= since]


def _decoded(decoder: VideoCodecContext, packet: Packet[VideoStream]) -> tuple[list[VideoFrame], list[str]]:
    """Return the frames that a packet brings, and what was said that may be about the picture itself."""
    import av

    try:
        with listening() as complaints:
            frames = decoder.decode(packet if packet.size else None)
    except av.FFmpegError as error:
        return [], [str(error)]
    words = [text for _, _, text in complaints if not _BESIDE_THE_PICTURE.search(text)]
    return frames, words + ["marked as corrupt"] * any(frame.is_corrupt for frame in frames)


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
    """Tell an H.264 decoder what only the first packet says: which x264 made the video.

    Old ones coded 4:4:4 in a way of their own; without that, the middle of such a video is noise.
    """
    if stream.codec_context.name == "h264":
        first = next(_packets(container, stream), None)
        build = _X264.search(bytes(first)) if first else None
        if build:
            stream.codec_context.options = {"x264_build": build.group(1).decode()}


def _packets(
    container: InputContainer, stream: VideoStream, is_strict: Callable[[], bool] = lambda: True
) -> Iterator[Packet[VideoStream]]:
    """Yield the packets of a stream and at the end an empty one, which flushes the decoder.

    A packet that is marked as broken matters only while ``is_strict`` says so.
    """
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
        if complaints or (packet.is_corrupt and is_strict()):
            raise Damage
        yield packet


def _is_flush(packet: Packet[VideoStream]) -> bool:
    """Whether it is the empty packet at the end; other empty ones say "the same picture again"."""
    return not packet.size and packet.pts is None


def _is_promised(packet: Packet[VideoStream], stream: VideoStream) -> bool:
    """Whether a packet claims a moment of the video for its picture.

    An edit list leaves some out; a VP8 packet may be only a reference for others (RFC 6386, 9.1).
    """
    if packet.is_discard or _is_flush(packet):
        return False
    is_vp8 = stream.codec_context.name in ("vp8", "libvpx")
    return not (is_vp8 and packet.size and not bytes(packet)[0] & 0x10)
