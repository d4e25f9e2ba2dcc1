"""H.264 in mp4 as browsers play it: exact rate, exact size, whole or absent."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import WriteError
from vae_experiments.files import whole
from vae_experiments.writers.soundtrack import Soundtrack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path

    from vae_experiments.tensors import Pixels, Size

BT709 = 1
LIMITED_RANGE = 1
CRF, PRESET = 16, "veryfast"


class Mp4:
    """Takes frames for an mp4 file that ``open_mp4`` has opened."""

    def __init__(self, container: Any, size: Size, fps: Fraction, soundtrack: Soundtrack | None) -> None:
        self.size, self.fps, self.frames = size, fps, 0
        self._container, self._soundtrack = container, soundtrack
        self._stream = _add_pictures(container, size, fps)

    def write(self, pixels: Pixels) -> None:
        """Append frames, uint8 ``T H W 3`` of the size that was announced."""
        import av

        assert pixels.shape[1:] == (self.size.height, self.size.width, 3), (pixels.shape, self.size)
        for picture in pixels:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(
                format=self._stream.pix_fmt, dst_colorspace=BT709, dst_color_range=LIMITED_RANGE
            )
            frame.pts, frame.time_base = self.frames, 1 / self.fps
            self._encode(frame)
            self.frames += 1
            if self._soundtrack:
                self._soundtrack.copy_until(self.frames / self.fps)

    def finish(self) -> None:
        """Write what the encoder still holds, and the rest of the sound."""
        if self._soundtrack:
            self._soundtrack.copy_until(None)
        self._encode(None)

    def _encode(self, frame: Any) -> None:
        import av

        try:
            self._container.mux(self._stream.encode(frame))
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            problem = f"H.264 cannot hold frames of {self.size} at {float(self.fps):g} fps ({error.strerror})"
            raise WriteError(problem, "choose another source.size or source.fps") from error


@contextlib.contextmanager
def open_mp4(path: Path, size: Size, fps: Fraction, sound: Path | None = None) -> Iterator[Mp4]:
    """Open an mp4 file for writing; it appears under its name when the block ends without an error.

    The pictures are yuv420p, and yuv444p where an odd width or height cannot be halved: the size is
    never changed. Colours are BT.709 in limited range, and tagged so. With ``sound``, the sound
    track of that file is copied beside the pictures.

    Raises:
        WriteError: the file cannot be written, or no frame came.
    """
    with whole(path) as hidden, _container(hidden) as container, contextlib.ExitStack() as stack:
        soundtrack = stack.enter_context(Soundtrack.beside(container, sound)) if sound else None
        video = Mp4(container, size, fps, soundtrack)
        yield video
        if video.frames == 0:
            raise WriteError(f"no frame came for {path.name}", "give a source with at least one frame")
        video.finish()


@contextlib.contextmanager
def _container(hidden: Path) -> Iterator[Any]:
    import av

    container = av.open(str(hidden), "w", format="mp4", options={"movflags": "+faststart"})
    try:
        yield container
    finally:
        # After a failure, closing fails too; what went wrong first is what the person must hear.
        quiet = contextlib.suppress(Exception) if sys.exc_info()[0] else contextlib.nullcontext()
        with quiet:
            container.close()


def _add_pictures(container: Any, size: Size, fps: Fraction) -> Any:
    stream = container.add_stream("libx264", rate=fps)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv444p" if size.width % 2 or size.height % 2 else "yuv420p"
    stream.options = {"crf": str(CRF), "preset": PRESET}
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = BT709
    context.color_range = LIMITED_RANGE
    context.time_base = 1 / fps
    return stream
