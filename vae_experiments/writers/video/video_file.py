"""A video file of any kind that is written here: exact size, the frames' own times, whole or absent."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from typing import TYPE_CHECKING, Any
from zlib import crc32

from vae_experiments.errors import WriteError
from vae_experiments.files import atomic_write
from vae_experiments.writers.video.audio import Soundtrack
from vae_experiments.writers.video.clock import OutputClock
from vae_experiments.writers.video.encodings import BT709, H264_MP4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from fractions import Fraction
    from pathlib import Path

    from vae_experiments.tensors import Pixels, Size
    from vae_experiments.writers.video.encodings import Encoding

log = logging.getLogger(__name__)
_START_CODE = re.compile(rb"\x00?\x00\x00\x01")
"""What separates the units of a frame as the encoder gives them (ITU-T H.264, annex B)."""


class VideoFile:
    """Takes frames for a file that ``open_video`` has opened."""

    def __init__(
        self, container: Any, encoding: Encoding, size: Size, clock: OutputClock, sound: Soundtrack | None
    ) -> None:
        self.encoding, self.size, self.clock = encoding, size, clock
        self.frames, self.checksum = 0, 0
        self._container, self._soundtrack = container, sound
        self._tick = encoding.tick or clock.tick
        self._stream = _add_pictures(container, encoding, size, clock)
        self._last_begins, self._packets = -1, 0

    def write(self, pixels: Pixels) -> None:
        """Append frames, uint8 ``T H W 3`` of the size that was announced."""
        import av

        assert pixels.shape[1:] == (self.size.height, self.size.width, 3), (pixels.shape, self.size)
        for picture in pixels:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(
                format=self._stream.pix_fmt,
                dst_colorspace=self.encoding.matrix,
                dst_color_range=self.encoding.colour_range,
            )
            # ProRes has these in every frame.
            frame.color_primaries = frame.color_trc = BT709
            # No two frames of a track may begin at one tick, though those of a source may.
            self._last_begins = max(self._ticks(self.frames), self._last_begins + 1)
            frame.pts, frame.time_base = self._last_begins, self._tick
            self._encode(frame)
            self.frames += 1
            if self._soundtrack:
                self._soundtrack.copy_until(self.clock.begins(self.frames))

    def finish(self) -> None:
        """Write what the encoder still holds, and the rest of the sound."""
        if self._soundtrack:
            self._soundtrack.copy_until(None)
        self._encode(None)

    def _ticks(self, number: int) -> int:
        return round(self.clock.begins(number) / self._tick)

    def _encode(self, frame: Any) -> None:
        import av

        try:
            for packet in self._stream.encode(frame):
                self._packets += 1
                content = bytes(packet)
                for unit in _START_CODE.split(content) if self.encoding is H264_MP4 else [content]:
                    self.checksum = crc32(unit, self.checksum)
                if not self.clock.is_steady:
                    # Each lasts until the next begins by itself; only this says when the last one ends.
                    packet.duration = max(1, self._ticks(self._packets) - packet.pts)
                self._container.mux(packet)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            rate = float(self.clock.fps)
            problem = (
                f"{self.encoding.name} cannot hold frames of {self.size} at {rate:g} fps ({error.strerror})"
            )
            raise WriteError(problem, "choose another source.size or source.fps") from error


def open_mp4(
    path: Path,
    size: Size,
    fps: Fraction,
    sound: Path | None = None,
    times: Sequence[Fraction] = (),
    say: Callable[[str], None] = log.warning,
) -> AbstractContextManager[VideoFile]:
    """Open an mp4 file, H.264 as browsers play it; it appears under its name when the block ends without an error.

    The pictures are yuv420p, and yuv444p where an odd width or height cannot be halved: the size is
    never changed. Colours are BT.709 in limited range, and tagged so.

    Args:
        path: where it appears.
        size: of every frame.
        fps: the rate of the frames, or their mean rate.
        sound: a file whose sound track is carried beside the pictures.
        times: where frames last differently, when each begins, and last when the last one ends, in
            seconds. The last frame that comes lasts until the next of these times.
        say: told what is wrong with the sound, a sentence at a time; the pictures are written all the same.

    Raises:
        WriteError: the file cannot be written, or no frame came.
    """
    return open_video(path, H264_MP4, size, OutputClock(fps, times), sound, say)


@contextlib.contextmanager
def open_video(
    path: Path,
    encoding: Encoding,
    size: Size,
    clock: OutputClock,
    sound: Path | None = None,
    say: Callable[[str], None] = log.warning,
) -> Iterator[VideoFile]:
    """Open a video file of some encoding, and else as ``open_mp4`` does."""
    with atomic_write(path) as hidden:
        with _container(hidden, encoding, clock) as container, contextlib.ExitStack() as stack:
            soundtrack = None
            if sound:
                beside = Soundtrack.beside(container, encoding.sound, sound, say)
                soundtrack = stack.enter_context(beside)
            video = VideoFile(container, encoding, size, clock, soundtrack)
            yield video
            if video.frames == 0:
                raise WriteError(f"no frame came for {path.name}", "give a source with at least one frame")
            video.finish()
        # FFmpeg passes over some errors of a disk, and a run vouches for what it wrote.
        if _checksum_of(hidden, encoding) != video.checksum:
            raise WriteError(f"what was written to {path} is not what the disk holds", "check the disk")


@contextlib.contextmanager
def _container(hidden: Path, encoding: Encoding, clock: OutputClock) -> Iterator[Any]:
    import av

    options = dict(encoding.container_options)
    if not clock.is_steady and encoding.tick is None:
        options["video_track_timescale"] = str(clock.tick.denominator)
    container = av.open(str(hidden), "w", format=encoding.sound.container, options=options)
    try:
        yield container
    finally:
        # After a failure, closing fails too; what went wrong first is what the person must hear.
        quiet = contextlib.suppress(Exception) if sys.exc_info()[0] else contextlib.nullcontext()
        with quiet:
            container.close()


def _checksum_of(path: Path, encoding: Encoding) -> int:
    """Return the checksum of the frames in a finished file; 0 where it cannot be read."""
    import av

    checksum = 0
    try:
        with av.open(str(path)) as container:
            for packet in container.demux(video=0):
                content = bytes(packet)
                for unit in _units_in_mp4(content) if encoding is H264_MP4 else [content]:
                    checksum = crc32(unit, checksum)
    except (av.FFmpegError, LookupError):
        return 0
    return checksum


def _units_in_mp4(content: bytes) -> Iterator[bytes]:
    """Split a frame, each unit of which stands after its length there (ISO/IEC 14496-15, 5.3), and not after a start code."""
    place = 0
    while place < len(content):
        end = place + 4 + int.from_bytes(content[place : place + 4], "big")
        yield content[place + 4 : end]
        place = end


def _add_pictures(container: Any, encoding: Encoding, size: Size, clock: OutputClock) -> Any:
    stream = container.add_stream(encoding.codec, rate=clock.rate)
    stream.width, stream.height = size
    stream.pix_fmt = encoding.pixel_format(size)
    stream.options = {**encoding.options, **({} if clock.is_steady else encoding.uneven_options)}
    context = stream.codec_context
    context.color_primaries = context.color_trc = BT709
    context.colorspace, context.color_range = encoding.matrix, encoding.colour_range
    context.time_base = encoding.tick or clock.tick
    return stream
