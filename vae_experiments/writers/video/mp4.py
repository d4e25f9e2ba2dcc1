"""H.264 in mp4 as browsers play it: exact times, exact size, whole or absent."""

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from fractions import Fraction
    from pathlib import Path

    from vae_experiments.tensors import Pixels, Size

log = logging.getLogger(__name__)
BT709 = 1
LIMITED_RANGE = 1
CRF, PRESET = 16, "veryfast"
_START_CODE = re.compile(rb"\x00?\x00\x00\x01")
"""What separates the units of a frame as the encoder gives them (ITU-T H.264, annex B)."""


class Mp4:
    """Takes frames for an mp4 file that ``open_mp4`` has opened."""

    def __init__(self, container: Any, size: Size, clock: OutputClock, soundtrack: Soundtrack | None) -> None:
        self.size, self.clock, self.frames, self.checksum = size, clock, 0, 0
        self._container, self._soundtrack = container, soundtrack
        self._stream = _add_pictures(container, size, clock)
        self._last_begins, self._packets = -1, 0

    def write(self, pixels: Pixels) -> None:
        """Append frames, uint8 ``T H W 3`` of the size that was announced."""
        import av

        assert pixels.shape[1:] == (self.size.height, self.size.width, 3), (pixels.shape, self.size)
        for picture in pixels:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(
                format=self._stream.pix_fmt, dst_colorspace=BT709, dst_color_range=LIMITED_RANGE
            )
            # No two frames of a track may begin at one tick, though those of a source may.
            self._last_begins = max(self.clock.ticks(self.frames), self._last_begins + 1)
            frame.pts, frame.time_base = self._last_begins, self.clock.tick
            self._encode(frame)
            self.frames += 1
            if self._soundtrack:
                self._soundtrack.copy_until(self.clock.begins(self.frames))

    def finish(self) -> None:
        """Write what the encoder still holds, and the rest of the sound."""
        if self._soundtrack:
            self._soundtrack.copy_until(None)
        self._encode(None)

    def _encode(self, frame: Any) -> None:
        import av

        try:
            for packet in self._stream.encode(frame):
                self._packets += 1
                for unit in _START_CODE.split(bytes(packet)):
                    self.checksum = crc32(unit, self.checksum)
                if not self.clock.is_steady:
                    # Each lasts until the next begins by itself; only this says when the last one ends.
                    packet.duration = max(1, self.clock.ticks(self._packets) - packet.pts)
                self._container.mux(packet)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            rate = float(self.clock.fps)
            problem = f"H.264 cannot hold frames of {self.size} at {rate:g} fps ({error.strerror})"
            raise WriteError(problem, "choose another source.size or source.fps") from error


@contextlib.contextmanager
def open_mp4(
    path: Path,
    size: Size,
    fps: Fraction,
    sound: Path | None = None,
    times: Sequence[Fraction] = (),
    say: Callable[[str], None] = log.warning,
) -> Iterator[Mp4]:
    """Open an mp4 file for writing; it appears under its name when the block ends without an error.

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
    clock = OutputClock(fps, times)
    with atomic_write(path) as hidden:
        with _container(hidden, clock) as container, contextlib.ExitStack() as stack:
            soundtrack = stack.enter_context(Soundtrack.beside(container, sound, say)) if sound else None
            video = Mp4(container, size, clock, soundtrack)
            yield video
            if video.frames == 0:
                raise WriteError(f"no frame came for {path.name}", "give a source with at least one frame")
            video.finish()
        # FFmpeg passes over some errors of a disk, and a run vouches for what it wrote.
        if _checksum_of(hidden) != video.checksum:
            raise WriteError(f"what was written to {path} is not what the disk holds", "check the disk")


@contextlib.contextmanager
def _container(hidden: Path, clock: OutputClock) -> Iterator[Any]:
    import av

    options = {"movflags": "+faststart"}
    if not clock.is_steady:
        options["video_track_timescale"] = str(clock.tick.denominator)
    container = av.open(str(hidden), "w", format="mp4", options=options)
    try:
        yield container
    finally:
        # After a failure, closing fails too; what went wrong first is what the person must hear.
        quiet = contextlib.suppress(Exception) if sys.exc_info()[0] else contextlib.nullcontext()
        with quiet:
            container.close()


def _checksum_of(path: Path) -> int:
    """Return the checksum of the frames in a finished file; 0 where it cannot be read.

    There each unit of a frame stands after its length (ISO/IEC 14496-15, 5.3), and not after a start code.
    """
    import av

    checksum = 0
    try:
        with av.open(str(path)) as container:
            for packet in container.demux(video=0):
                content, place = bytes(packet), 0
                while place < len(content):
                    end = place + 4 + int.from_bytes(content[place : place + 4], "big")
                    checksum = crc32(content[place + 4 : end], checksum)
                    place = end
    except (av.FFmpegError, LookupError):
        return 0
    return checksum


def _add_pictures(container: Any, size: Size, clock: OutputClock) -> Any:
    stream = container.add_stream("libx264", rate=clock.rate)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv444p" if size.width % 2 or size.height % 2 else "yuv420p"
    stream.options = {"crf": str(CRF), "preset": PRESET}
    if not clock.is_steady:
        # Reordered pictures are stored by times that lag behind, as long as the first gaps were.
        stream.options |= {"bf": "0"}
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = BT709
    context.color_range = LIMITED_RANGE
    context.time_base = clock.tick
    return stream
