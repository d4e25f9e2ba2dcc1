"""When the frames of a video begin, and a clock for mp4 that can hold it."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST = 2**31 - 1
"""What FFmpeg's mp4 writer takes at most for ticks a second, and for the ticks that a frame lasts."""
FINE = 90_000
"""Ticks a second that every moment is near enough to: 11 microseconds."""
SLOWEST = Fraction(1, 10**5)
"""The writer refines the clock of a steady rate to 10,000 ticks a second and more; slower ones overflow."""


class OutputClock:
    """Tells when each frame begins: at ``fps``, or where frames last differently at times of their own.

    ``times`` are when each frame begins, in seconds, and last when the last one ends; frames after
    that follow each other at ``fps``. A steady rate counts in frames, which is exact. Else the ticks
    are the finest that hold all times exactly, and where none does, times are rounded to the nearest.
    """

    def __init__(self, fps: Fraction, times: Sequence[Fraction] = ()) -> None:
        self.fps, self.times = fps, times
        fits = max(fps.numerator, fps.denominator) <= LARGEST and fps >= SLOWEST
        self.is_steady = fits and not times
        self.tick = 1 / fps if self.is_steady else Fraction(1, self._ticks_a_second())

    @property
    def rate(self) -> Fraction:
        """The mean rate in numbers that an encoder takes."""
        return self.fps if self.is_steady else max(self.fps.limit_denominator(10**6), Fraction(1, 10**6))

    def begins(self, number: int) -> Fraction:
        """Return when a frame begins, in seconds."""
        if number < len(self.times):
            return self.times[number]
        if not self.times:
            return number / self.fps
        return self.times[-1] + (number - len(self.times) + 1) / self.fps

    def _ticks_a_second(self) -> int:
        gaps = [late - early for early, late in pairwise(self.times)] or [1 / self.fps]
        most = max(1, LARGEST // max([Fraction(1), *gaps]))
        exact = math.lcm(*{time.denominator for time in self.times}) if self.times else self.fps.numerator
        if exact > most:
            return min(most, FINE)
        # Finer than exact, so that two frames of one moment lie but a tick apart.
        return exact * max(1, min(most, FINE) // exact)
