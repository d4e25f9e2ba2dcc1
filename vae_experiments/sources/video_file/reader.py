"""Videos: video files of any kind that FFmpeg knows, upright and timed, damage noticed."""

from __future__ import annotations

import contextlib
import errno
import logging
import struct
from dataclasses import dataclass
from functools import partial
from io import BufferedReader, FileIO
from time import monotonic
from typing import IO, TYPE_CHECKING

from vae_experiments.sources.integrity import inspect
from vae_experiments.sources.media_reader import GO_ON, MediaInfo, MediaReader
from vae_experiments.sources.paths import Kind, sniff
from vae_experiments.sources.resize import Turn
from vae_experiments.sources.video_file.clock import Clock
from vae_experiments.sources.video_file.decoding import ERROR_DETECTION, FORMATS, Damage, Decoding, Walk, walk
from vae_experiments.sources.video_file.ffmpeg_log import listening
from vae_experiments.tensors import Size
from vae_experiments.tracks import playable_track, unplayable_remark

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vae_experiments.tensors import Pixels

log = logging.getLogger(__name__)
_SECONDS_BETWEEN_WORDS = 5
_BEGIN_LATER = "copy it again, or set source.allow_partial=true to begin where a picture can be decoded"

# FFmpeg's numbers for matrices in a stream, and for those that its scaler knows.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
_BT709, _BT601, _UNTAGGED = 1, 5, 2
_HD_LINES = 720
_HDR = {16: "PQ", 18: "HLG"}


@dataclass(frozen=True)
class VideoFile(MediaReader):
    """A video file of any kind that FFmpeg knows."""

    def look_over(self) -> MediaInfo:
        """Decode the stretch that is asked for: packets do not tell which pictures are shown, nor when."""
        whole = inspect(self.path, sniff(self.path))
        if whole.cut and not self.allow_partial:
            raise self.refusal(whole.cut, GO_ON)
        with self._opened() as (container, stream, complaint):
            decoding = Decoding(container, stream, self.allow_partial)
            clock = Clock(stream, container.format.name)
            first, damage = self._decode_all(decoding, clock)
            is_past = clock.is_past(self.stretch)
            if (complaint or whole.tear) and not (damage or is_past):
                damage = whole.tear or f"damaged: FFmpeg says {complaint!r}"
                if not self.allow_partial:
                    raise self.refusal(damage, GO_ON)
            begins, end = clock.times(decoding.end)
            is_complete = not (damage or whole.cut or is_past)
            notes = [whole.remark, whole.cut, damage, *notes_on(container, stream, first)]
            notes += [*clock.notes(is_complete), *decoding.notes(first.interlaced_frame)]
            size = self._turn(first).size(Size(first.width, first.height))
            has_sound = playable_track(container) is not None
        remarks = tuple(note for note in notes if note)
        return MediaInfo(size, begins, end, is_complete, has_sound, clock.is_unbroken, remarks)

    def _decode_all(self, decoding: Decoding, clock: Clock) -> tuple[VideoFrame, str]:
        """Tell the clock of every frame; return the first one, and a sentence where damage ends the video."""
        first: VideoFrame | None = None
        size, last_word = None, monotonic()
        try:
            for frame in decoding:
                turned = self._turn(frame).size(Size(frame.width, frame.height))
                first, size = first or frame, size or turned
                self._check_unchanged(turned, size, len(clock))
                clock.add(frame, decoding.is_in_step)
                if clock.is_past(self.stretch):
                    break
                if monotonic() - last_word > _SECONDS_BETWEEN_WORDS:
                    last_word = monotonic()
                    log.info("source: looking the video over, %d frames so far", len(clock))
        except Damage as damage:
            if not (self.allow_partial and first):
                hint = GO_ON if first else _BEGIN_LATER
                raise self.refusal(f"damaged near frame {len(clock)}", hint) from damage
            return first, f"damaged near frame {len(clock)}; the {len(clock)} frames before it are used"
        if first is None:
            raise self.refusal("the video stream holds no frames", "record or copy it again")
        return first, ""

    def read(self) -> Generator[Callable[[], Pixels], None, None]:
        """Decode every frame of the survey."""
        media_info = self.media_info()
        number = 0
        try:
            with self._opened() as (container, stream, _):
                for frame in Decoding(container, stream, self.allow_partial):
                    if number == len(media_info.begins):
                        return
                    turn = self._turn(frame)
                    self._check_unchanged(turn.size(Size(frame.width, frame.height)), media_info.size, number)
                    yield partial(upright_pixels, frame, turn)
                    number += 1
        except Damage as damage:
            if number < len(media_info.begins):
                raise self.refusal(f"damaged near frame {number}", GO_ON) from damage
        assert number == len(media_info.begins), (
            f"{number} frames came, {len(media_info.begins)} were counted"
        )

    def _walk(self, container: InputContainer, stream: VideoStream) -> Walk:
        try:
            return walk(container, stream)
        except Damage as damage:
            raise self.refusal("damaged: its packets are broken", GO_ON) from damage

    def _turn(self, frame: VideoFrame) -> Turn:
        return _turn(frame) if self.rotate else Turn()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream, str]]:
        """Open the file and choose its video stream; closed again in every case.

        With them comes what the container's reader complained of while it probed the file.
        """
        import av

        # PyAV takes names for addresses ("12:30.mp4"); an open file is only a file.
        with _Opened(FileIO(self.path)) as file:
            try:
                with listening() as complaints:
                    container = _open(file, "mjpeg" if sniff(self.path) is Kind.MOTION_JPEG else None)
                    complaint = [text for _, name, text in complaints if name == container.format.name]
                    if complaint:
                        # What was wrong with the packets that were probed is met again, in its place.
                        container.seek(0)
            except (av.FFmpegError, ValueError) as error:
                hint = "copy it again or convert it to mp4"
                raise self.refusal("not a video that can be read", hint) from error
            with container:
                yield container, self._choose(container), complaint[0].strip() if complaint else ""

    def _choose(self, container: InputContainer) -> VideoStream:
        from av.stream import Disposition

        for stream in container.streams.video:
            if stream.disposition & Disposition.attached_pic:
                continue  # the cover of a song is no video
            if stream.codec_context is None:
                raise self.refusal("its kind of video is unknown here", "convert it to mp4 (H.264)")
            self.check_size(Size(stream.codec_context.width, stream.codec_context.height))
            return stream
        found = sorted({stream.type for stream in container.streams if stream.type != "video"})
        raise self.refusal(f"no video stream (found: {', '.join(found) or 'nothing'})", "give a video file")

    def _check_unchanged(self, size: Size, first: Size, number: int) -> None:
        if size != first:
            problem = f"the frame size changes {first} -> {size} at frame {number}"
            raise self.refusal(problem, "convert the clip to one size first")


class _Opened(BufferedReader):
    """A file that answers FFmpeg with a number, as it expects, where it is sent to a place that no file has."""

    def seek(self, place: int, whence: int = 0, /) -> int:
        try:
            return super().seek(place, whence)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return -errno.EINVAL


def _open(file: IO[bytes], form: str | None) -> InputContainer:
    import av

    return av.open(
        file,
        mode="r",
        format=form,
        metadata_errors="replace",
        container_options={"format_whitelist": FORMATS},
        options={"err_detect": ERROR_DETECTION},
    )


def notes_on(container: InputContainer, stream: VideoStream, frame: VideoFrame) -> Iterator[str]:
    """Yield what a person should know about a stream, a sentence each."""
    others = len(container.streams.video) - 1
    if others:
        yield f"the file has {others + 1} video streams; the first is read"
    if _has_alpha(frame) or stream.metadata.get("alpha_mode") == "1":
        yield "alpha dropped: transparent parts are shown over black"
    if frame.interlaced_frame:
        yield "interlaced: moving edges show combs"
    yield from colour_notes(frame)
    aspect = stream.sample_aspect_ratio
    if aspect and aspect != 1:
        yield f"its pixels are {aspect.numerator}:{aspect.denominator}, not square; they are taken as square"
    unplayable = unplayable_remark(container)
    if unplayable:
        yield unplayable


def _turn(frame: VideoFrame) -> Turn:
    from av.sidedata.sidedata import SideData

    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV knows not all that may accompany a frame, EXIF for one; the angle it tells all the same.
        return Turn.from_angle(frame.rotation)
    # FFmpeg keeps it in the machine's own byte order.
    numbers = struct.unpack("=9i", bytes(matrix)) if isinstance(matrix, SideData) else ()
    return Turn.from_matrix(numbers) if any(numbers) else Turn()


def _has_alpha(frame: VideoFrame) -> bool:
    return any(component.is_alpha for component in frame.format.components)


def colour_notes(frame: VideoFrame) -> Iterator[str]:
    """Yield what a person should know about a video's colours."""
    if not frame.format.is_rgb and frame.colorspace not in (_UNTAGGED, *_MATRICES):
        name = "BT.709" if _matrix(frame) == _BT709 else "BT.601"
        yield f"its colour matrix (number {frame.colorspace}) is not known here; it is read as {name}"
    if frame.color_trc in _HDR:
        yield f"HDR ({_HDR[frame.color_trc]}): it is read as it is, without tone mapping"


def _matrix(frame: VideoFrame) -> int | None:
    """Return the scaler's number for a frame's colour matrix; untagged high definition is BT.709."""
    if frame.format.is_rgb:
        return None
    return _MATRICES.get(frame.colorspace) or (_BT709 if frame.height >= _HD_LINES else _BT601)


def upright_pixels(frame: VideoFrame, turn: Turn) -> Pixels:
    """Return a frame's pixels as H W 3, upright, what is transparent over black."""
    import numpy as np

    matrix, form = _matrix(frame), "rgba" if _has_alpha(frame) else "rgb24"
    picture = frame.reformat(format=form, src_colorspace=matrix, dst_colorspace=matrix, threads=1)
    layers = picture.to_ndarray()
    if form == "rgb24":
        return turn.apply(layers)
    layers = layers.astype(np.uint16)
    return turn.apply(((layers[..., :3] * layers[..., 3:] + 127) // 255).astype(np.uint8))
