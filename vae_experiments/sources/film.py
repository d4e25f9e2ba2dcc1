"""Films: video files of any kind that FFmpeg knows, upright and timed, damage noticed."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from vae_experiments.sources.container import inspect
from vae_experiments.sources.decoding import (
    ERROR_DETECTION,
    FORMATS,
    RAW_FORMATS,
    Damage,
    Walk,
    decoded,
    walk,
)
from vae_experiments.sources.fitting import Turn
from vae_experiments.sources.listening import listening
from vae_experiments.sources.medium import GO_ON, Medium, Picture, Survey
from vae_experiments.sources.sniffing import sniff
from vae_experiments.sources.timing import exact
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vae_experiments.tensors import Pixels


@dataclass(frozen=True)
class Film(Medium):
    """A video file of any kind that FFmpeg knows."""

    def look_over(self) -> Survey:
        """Decode one frame for what only frames tell, and read every packet for its time."""
        whole = inspect(self.path, sniff(self.path))
        if whole.cut and not self.allow_partial:
            raise self.refusal(whole.cut, GO_ON)
        with self._opened() as (container, stream):
            first = self._first(container, stream)
        with self._opened() as (container, stream):
            packets = self._walk(container, stream)
            # Old DivX files pack two frames into a packet: there, packets do not count frames.
            is_exact = packets is not None and (stream.codec_context.name, container.format.name) != (
                "mpeg4",
                "avi",
            )
            begins, fps = _times(stream, packets, container.format.name in RAW_FORMATS)
            variable = _variable(packets.ticks, stream.time_base) if packets and fps else None
            notes = [whole.remark, whole.cut, *_notes(container, stream, first)]
            remarks = tuple(note for note in notes if note)
            has_sound = bool(container.streams.audio)
        size = self._turn(first).size(Size(first.width, first.height))
        return Survey(size, fps, begins if is_exact else None, has_sound, variable, remarks)

    def read(self) -> Generator[Picture, None, None]:
        """Decode every frame; what is damaged is an error, or the end with ``allow_partial``."""
        survey = self.survey()
        number, zero = 0, None
        try:
            with self._opened() as (container, stream):
                for frame in decoded(container, stream):
                    zero = frame.pts if zero is None else zero
                    turn = self._turn(frame)
                    self._check_unchanged(turn.size(Size(frame.width, frame.height)), survey.size, number)
                    yield Picture(_begins(frame, zero, number, survey), partial(upright_pixels, frame, turn))
                    number += 1
        except Damage as damage:
            self.end_early(number, damage)
            return
        if survey.begins is not None and number < len(survey.begins):
            raise self.refusal(f"damaged: it lists {len(survey.begins)} frames, {number} are readable", GO_ON)

    def _first(self, container: InputContainer, stream: VideoStream) -> VideoFrame:
        try:
            first = next(decoded(container, stream), None)
        except Damage as damage:
            raise self.refusal("damaged near frame 0", "copy it again, or convert it to mp4") from damage
        if first is None:
            raise self.refusal("the video stream holds no frames", "record or copy it again")
        return first

    def _walk(self, container: InputContainer, stream: VideoStream) -> Walk | None:
        try:
            packets = walk(container, stream)
        except Damage as damage:
            if not self.allow_partial:
                raise self.refusal("damaged: its packets are broken", GO_ON) from damage
            return None
        # With a damaged end nobody knows how many frames will come.
        return None if self.allow_partial else packets

    def _turn(self, frame: VideoFrame) -> Turn:
        return _turn(frame) if self.rotate else Turn()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Open the file and choose its video stream; closed again in every case."""
        import av

        # PyAV takes names for addresses ("12:30.mp4"); an open file is only a file.
        with self.path.open("rb") as file:
            try:
                with listening():
                    container = av.open(
                        file,
                        mode="r",
                        metadata_errors="replace",
                        container_options={"format_whitelist": FORMATS},
                        options={"err_detect": ERROR_DETECTION},
                    )
            except (av.FFmpegError, ValueError) as error:
                raise self.refusal(
                    "not a video that can be read", "copy it again or convert it to mp4"
                ) from error
            with container:
                stream = self._choose(container)
                # One thread: which frame an error belongs to must not depend on a race.
                stream.codec_context.thread_type = "SLICE"
                stream.codec_context.thread_count = 1
                yield container, stream

    def _choose(self, container: InputContainer) -> VideoStream:
        from av.stream import Disposition

        for stream in container.streams.video:
            if stream.disposition & Disposition.attached_pic:
                continue  # the cover of a song is no film
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


def _times(
    stream: VideoStream, packets: Walk | None, is_raw: bool
) -> tuple[tuple[Fraction, ...] | None, Fraction | None]:
    """Say when each frame begins, from the first, and the mean rate; no rate without any timing."""
    rate, base = stream.average_rate, stream.time_base
    fps = Fraction(rate) if rate and not is_raw else None
    if fps and base == Fraction(1, 1000):
        fps = exact(fps)
    if packets is None:
        return None, fps
    ticks = packets.ticks
    if is_raw or base is None or len(ticks) < packets.shown:
        # An avi may state no times, only a rate.
        return tuple(number / (fps or Fraction(1)) for number in range(packets.shown)), fps
    if fps is None and ticks and ticks[-1] > ticks[0]:
        fps = (len(ticks) - 1) / ((ticks[-1] - ticks[0]) * base)
    return tuple((tick - ticks[0]) * base for tick in ticks), fps


def _variable(ticks: list[int], base: Fraction | None) -> tuple[Fraction, Fraction] | None:
    """Give the shortest and the longest gap between frames, in seconds, where they differ."""
    gaps = [late - early for early, late in pairwise(ticks)]
    # A mkv rounds times to milliseconds: a steady rate still differs by a tick.
    if base is None or not gaps or max(gaps) - min(gaps) <= 2:
        return None
    return min(gaps) * base, max(gaps) * base


def _begins(frame: VideoFrame, zero: int | None, number: int, survey: Survey) -> Fraction:
    if survey.fps is None or frame.pts is None or zero is None or frame.time_base is None:
        return number / (survey.fps or Fraction(1))
    return (frame.pts - zero) * frame.time_base


def _notes(container: InputContainer, stream: VideoStream, frame: VideoFrame) -> list[str]:
    """Collect what a person should know about the stream, a sentence each."""
    notes = []
    others = [other for other in container.streams.video if other.index != stream.index]
    if others:
        notes.append(f"the file has {len(others) + 1} video streams; the first is read")
    if _has_alpha(frame) or stream.metadata.get("alpha_mode") == "1":
        notes.append("alpha dropped: transparent parts are shown over black")
    if frame.interlaced_frame:
        notes.append("interlaced: moving edges show combs")
    aspect = stream.sample_aspect_ratio
    if aspect and aspect != 1:
        notes.append(
            f"its pixels are {aspect.numerator}:{aspect.denominator}, not square; they are taken as square"
        )
    return notes


def _turn(frame: VideoFrame) -> Turn:
    from av.sidedata.sidedata import SideData

    matrix = frame.side_data.get("DISPLAYMATRIX")
    # FFmpeg keeps it in the machine's own byte order.
    numbers = struct.unpack("=9i", bytes(matrix)) if isinstance(matrix, SideData) else ()
    return Turn.from_matrix(numbers) if any(numbers) else Turn()


def _has_alpha(frame: VideoFrame) -> bool:
    return any(component.is_alpha for component in frame.format.components)


def upright_pixels(frame: VideoFrame, turn: Turn) -> Pixels:
    """Give a frame's pixels as H W 3, upright, what is transparent over black."""
    import numpy as np

    if not _has_alpha(frame):
        return turn.apply(frame.reformat(format="rgb24", threads=1).to_ndarray())
    layers = frame.reformat(format="rgba", threads=1).to_ndarray().astype(np.uint16)
    return turn.apply(((layers[..., :3] * layers[..., 3:] + 127) // 255).astype(np.uint8))
