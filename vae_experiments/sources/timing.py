"""Frame rates and times as exact fractions: 29.97 and 30 drift apart, 30000/1001 does not."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Half of a millisecond: as far as a mkv's or flv's clock may round a moment away from its place.
_CLOCK = Fraction(1, 2000)
# A gap of days in a film must not become millions of equal frames unless they are asked for.
_MANY_FRAMES, _MANY_REPEATS = 100_000, 100

MAX_FPS = 1000
FPS_HELP = (
    "frames a second, as 8, 12.5 or 30000/1001; 29.97, 23.976 and 59.94 are taken as the exact NTSC rates"
)
FPS_RULE = f"must be a rate such as 8, 29.97 or 30000/1001, more than 0 and at most {MAX_FPS}"

_RATE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}|/0*[1-9][0-9]{0,8})?")
# What people type for the rates of NTSC television, which no decimal number can name exactly.
_NTSC = {"23.976": 24, "23.98": 24, "29.97": 30, "47.952": 48, "59.94": 60, "119.88": 120}


def parse_fps(text: str) -> Fraction:
    """Read a frame rate as a person types it.

    Raises:
        ValueError: the text is no rate, or outside (0, 1000].
    """
    typed = str(text).strip()
    # Fraction itself would also take 1e999999999, and be busy with it for ever.
    if not _RATE.fullmatch(typed):
        raise ValueError(text)
    fps = Fraction(_NTSC[typed] * 1000, 1001) if typed in _NTSC else Fraction(typed)
    if not 0 < fps <= MAX_FPS:
        raise ValueError(text)
    return fps


def exact(fps: Fraction) -> Fraction:
    """Give the NTSC rate that was meant by a container that counts in milliseconds."""
    ntsc = Fraction(round(fps * 1001 / 1000) * 1000, 1001)
    return ntsc if abs(ntsc - fps) < fps / 50_000 else fps


def say_fps(fps: Fraction) -> str:
    """Name a rate as a person reads it: ``8``, ``12.5`` or ``30000/1001``."""
    decimal = f"{float(fps):.3f}".rstrip("0").rstrip(".")
    return decimal if Fraction(decimal) == fps else str(fps)


class Choice(NamedTuple):
    """Which pictures of a clip become frames, and when those begin and end, in seconds from the first."""

    numbers: Sequence[int]
    times: tuple[Fraction, ...]
    end: Fraction


class Stretch(NamedTuple):
    """The part of a clip that is asked for: from ``start`` seconds on, at most so many frames.

    With ``fps``, frames come at that rate, each the picture that stands at its moment, as a
    projector would show it: pictures repeat or are left out, none is mixed or invented.
    """

    start: Fraction = Fraction(0)
    frames: int | None = None
    fps: Fraction | None = None

    def choose(self, begins: Sequence[Fraction], end: Fraction) -> Choice:
        """Choose from pictures that begin at ``begins``, the last of which stands until ``end``."""
        if self.fps is not None:
            return self._resampled(begins, end, self.fps)
        first = self._first(begins)
        last = len(begins) if self.frames is None else min(first + self.frames, len(begins))
        zero = begins[first] if first < last else self.start
        times = tuple(moment - zero for moment in begins[first:last])
        return Choice(range(first, last), times, (begins[last] if last < len(begins) else end) - zero)

    def is_past(self, begins: Sequence[Fraction]) -> bool:
        """Whether pictures after these cannot matter any more; a few are left for good measure."""
        if self.frames is None:
            return False
        if self.fps is not None:
            return bool(begins) and begins[-1] > self.start + (self.frames + 1) / self.fps
        return len(begins) - self._first(begins) > self.frames + 1

    def _first(self, begins: Sequence[Fraction]) -> int:
        return bisect_left(begins, self.start - _CLOCK)

    def _resampled(self, begins: Sequence[Fraction], end: Fraction, fps: Fraction) -> Choice:
        count = max(math.ceil((end - _CLOCK - self.start) * fps), 0)
        count = count if self.frames is None else min(count, self.frames)
        if count > _MANY_FRAMES and count > _MANY_REPEATS * len(begins):
            raise ValueError(f"{count} frames of {len(begins)} pictures in {float(end):.0f} s")
        moments = tuple(number / fps for number in range(count))
        numbers = [bisect_right(begins, self.start + moment + _CLOCK) - 1 for moment in moments]
        return Choice(numbers, moments, count / fps)


WHOLE = Stretch()


def steady(ticks: Sequence[int], base: Fraction, rates: Iterable[Fraction | None]) -> Fraction | None:
    """Return the first of some rates that times follow, as far as the ticks of their clock can tell.

    A mkv rounds times to milliseconds: frames at 30 fps begin at 0, 33, 67 and 100 ms.
    """
    for rate in rates:
        step = base * (rate or 0)  # how many frames pass in a tick
        if step and all(
            abs(tick * step.numerator - number * step.denominator) <= step.numerator
            for number, tick in enumerate(ticks)
        ):
            return rate
    return None


def say_variable(shortest: Fraction, longest: Fraction) -> str:
    """Name the range in which a variable rate's frames last."""
    return f"variable frame rate, {float(shortest):.3f} to {float(longest):.3f} s a frame"
