"""When the frames of a video begin, from the file's own timestamps."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from vae_experiments.sources.frame_rate import MAX_FPS, exact, steady
from vae_experiments.sources.video_file.decoding import BROADCAST_FORMATS, RAW_FORMATS, Damage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vae_experiments.sources.frame_rate import Stretch


class Clock:
    """Collects the times of a video's frames, which come in the order of showing."""

    def __init__(self, stream: VideoStream, container_format: str) -> None:
        self._base = stream.time_base or Fraction(1)
        self._format = container_format
        self._rates = [Fraction(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate]
        self._is_timed = container_format not in RAW_FORMATS
        self._ticks: list[int] = []
        self._moments: list[Fraction] = []
        self._lasts = 0
        self._shift = 0
        self._jumps = 0
        # Only an avi's header is to be believed here: others guess, or follow an edit list.
        self._promised = stream.duration if container_format == "avi" else None

    def __len__(self) -> int:
        return len(self._ticks)

    def add(self, frame: VideoFrame, is_of_decoding: bool) -> None:
        """Note a frame's time, which may be of its decoding: an avi or mxf has no other.

        Raises:
            Damage: the video's times run backwards.
        """
        self._is_timed = self._is_timed and frame.pts is not None
        tick = len(self) if frame.pts is None else frame.pts + self._shift
        if self._is_timed and self._ticks and not is_of_decoding:
            tick = self._in_order(tick, self._ticks[-1])
        self._ticks.append(tick)
        self._lasts = frame.duration or 0
        latest = self._moments[-1] if self._moments else Fraction(0)
        self._moments.append(max((tick - self._ticks[0]) * self._base, latest))

    def is_past(self, stretch: Stretch) -> bool:
        """Whether more frames than a stretch can need were seen."""
        if self._is_timed:
            return stretch.is_past(self._moments)
        # Frames have no times yet, and the rate at which they will be shown is at most the highest.
        return stretch.frames is not None and len(self) > stretch.start * MAX_FPS + stretch.frames

    @property
    def is_unbroken(self) -> bool:
        """Whether the file's own clock times every frame, and never jumps back."""
        return self._is_timed and not self._jumps

    def times(self, end: int | None) -> tuple[tuple[Fraction, ...], Fraction | None]:
        """Return when each frame begins and when the last one ends, in seconds from the first.

        ``end`` is when the last packet ends, in ticks. Without any timing in the file, times are the
        frames' numbers, and the end is None.
        """
        ticks = self.ticks
        if not self._is_timed or len(self) == 1:
            fps = exact(self._rates[0]) if self._rates and self._format not in RAW_FORMATS else None
            begins = tuple(number / (fps or Fraction(1)) for number in range(len(self)))
            return begins, None if fps is None else len(self) / fps
        stop = max(ticks[-1] + (self._lasts or ticks[-1] - ticks[-2]), (end or 0) + self._shift)
        last, zero = (stop - ticks[0]) * self._base, ticks[0]
        mean = (len(self) - 1) / ((ticks[-1] - zero) * self._base)
        rates = [*map(exact, [*self._rates, mean]), Fraction(round(mean)), *self._rates, mean]
        # Of the rates that fit, the one that somebody may have chosen.
        rates.sort(key=lambda rate: rate.denominator not in (1, 1001))
        fps = steady([tick - zero for tick in ticks], self._base, rates)
        if fps is None:
            return tuple((tick - zero) * self._base for tick in ticks), last
        begins, end_of_rate = tuple(number / fps for number in range(len(self))), len(self) / fps
        return begins, last if last > end_of_rate + self._base else end_of_rate

    def notes(self, is_complete: bool) -> Iterator[str]:
        """Yield what a person should know of a video's times, a sentence each."""
        if self._jumps:
            yield f"its clock jumps back {self._jumps} times; frames are counted on"
        missing = (self._promised or 0) - (max(self._ticks) + 1 - min(self._ticks))
        if missing > 0 and is_complete:
            yield f"its header speaks of {float(missing * self._base):.3f} s more than there are pictures for"

    @property
    def ticks(self) -> list[int]:
        """When each frame begins, in the stream's ticks; their numbers where a file has no times."""
        if not self._is_timed:
            return list(range(len(self)))
        ticks: list[int] = []
        for tick in sorted(self._ticks):
            # Two pictures of one moment: the second one is shown a tick later.
            ticks.append(tick if not ticks else max(tick, ticks[-1] + 1))
        return ticks

    def _in_order(self, tick: int, last: int) -> int:
        if tick >= last:
            return tick
        if self._format not in BROADCAST_FORMATS:
            raise Damage
        # Recordings are joined by writing one after the other, each with a clock of its own.
        gap = last - self._ticks[-2] if len(self) > 1 else 1
        self._jumps += 1
        self._shift += last + gap - tick
        return last + gap
