"""Frame rates and times as exact fractions: 29.97 and 30 drift apart, 30000/1001 does not."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Half of a millisecond: as far as a mkv's or flv's clock may round a moment away from its place.
_CLOCK = Fraction(1, 2000)
# Frames that differ by less, as those of a gif at 12 fps do, are not worth a remark.
_NOTABLE = Fraction(1, 100)
# A gap of days in a video must not become millions of equal frames unless they are asked for.
_MANY_FRAMES, _MANY_REPEATS = 100_000, 100

MAX_FPS = 1000
FPS_HELP = (
    "frames a second, as 8, 12.5 or 30000/1001; 29.97, 23.976 and 59.94 are taken as the exact NTSC rates"
)
FPS_RULE = f"must be a rate such as 8, 29.97 or 30000/1001, more than 0 and at most {MAX_FPS}"

_RATE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,30}|/0*[1-9][0-9]{0,8})?")
# FFmpeg takes neither part of a fraction beyond 31 bits.
_FINEST = 10**6


def parse_fps(text: str) -> Fraction:
    """Read a frame rate as a person types it.

    Raises:
        ValueError: the text is no rate, or outside (0, 1000].
    """
    typed = str(text).strip()
    # Fraction itself would also take 1e999999999, and be busy with it for ever.
    if not _RATE.fullmatch(typed):
        raise ValueError(text)
    fps = Fraction(typed) if "/" in typed else _decimal(typed)
    if not 0 < fps <= MAX_FPS:
        raise ValueError(text)
    return fps


def _decimal(typed: str) -> Fraction:
    """Read a decimal, which may stand for a rate of NTSC television, n * 1000/1001: as near as its digits can tell.

    No decimal names such a rate exactly. One digit is too few: 24.0 is no 23.976.
    """
    fps, digits = Fraction(typed), len(typed.partition(".")[2])
    meant = Fraction(round(fps * 1001 / 1000) * 1000, 1001)
    is_meant = digits > 1 and meant > 0 and abs(meant - fps) <= Fraction(1, 2 * 10**digits)
    return meant if is_meant else fps.limit_denominator(_FINEST)


def exact(fps: Fraction) -> Fraction:
    """Return the NTSC rate that was meant by a container that counts in milliseconds."""
    ntsc = Fraction(round(fps * 1001 / 1000) * 1000, 1001)
    return ntsc if abs(ntsc - fps) < fps / 50_000 else fps


def say_fps(fps: Fraction) -> str:
    """Name a rate as a person reads it: ``8``, ``12.5`` or ``30000/1001``."""
    decimal = f"{float(fps):.3f}".rstrip("0").rstrip(".")
    return decimal if Fraction(decimal) == fps else str(fps)


class FrameSelection(NamedTuple):
    """Which pictures of a clip become frames, and when those begin and end, in seconds from the first."""

    numbers: Sequence[int]
    times: tuple[Fraction, ...]
    end: Fraction
    start: Fraction
    """When the first of them begins, in seconds from the clip's first picture."""


class Stretch(NamedTuple):
    """The part of a clip that is asked for: from ``start`` seconds on, at most so many frames.

    With ``fps``, frames come at that rate, each the picture that stands at its moment, as a
    projector would show it: pictures repeat or are left out, none is mixed or invented.
    """

    start: Fraction = Fraction(0)
    frames: int | None = None
    fps: Fraction | None = None

    def choose(self, begins: Sequence[Fraction], end: Fraction) -> FrameSelection:
        """Choose from pictures that begin at ``begins``, the last of which stands until ``end``."""
        if self.fps is not None:
            return self._resampled(begins, end, self.fps)
        first = self._first(begins)
        last = len(begins) if self.frames is None else min(first + self.frames, len(begins))
        zero = begins[first] if first < last else self.start
        times = tuple(moment - zero for moment in begins[first:last])
        last_ends = begins[last] if last < len(begins) else end
        return FrameSelection(range(first, last), times, last_ends - zero, zero)

    def is_past(self, begins: Sequence[Fraction]) -> bool:
        """Whether pictures after these cannot matter any more; a few are left for good measure."""
        if self.frames is None:
            return False
        if self.fps is not None:
            return bool(begins) and begins[-1] > self.start + (self.frames + 1) / self.fps
        return len(begins) - self._first(begins) > self.frames + 1

    def _first(self, begins: Sequence[Fraction]) -> int:
        return bisect_left(begins, self.start - _CLOCK)

    def _resampled(self, begins: Sequence[Fraction], end: Fraction, fps: Fraction) -> FrameSelection:
        count = max(math.ceil((end - _CLOCK - self.start) * fps), 0)
        count = count if self.frames is None else min(count, self.frames)
        if count > _MANY_FRAMES and count > _MANY_REPEATS * len(begins):
            raise ValueError(f"{count} frames of {len(begins)} pictures in {float(end):.0f} s")
        moments = tuple(number / fps for number in range(count))
        numbers = [bisect_right(begins, self.start + moment + _CLOCK) - 1 for moment in moments]
        return FrameSelection(numbers, moments, count / fps, self.start)


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


def say_uneven(begins: Sequence[Fraction], end: Fraction) -> str:
    """Name what is uneven about a rate; empty where all pictures stand equally long, or nearly."""
    lengths = [late - early for early, late in pairwise((*begins, end))]
    shortest, longest, usual = min(lengths), max(lengths), sorted(lengths)[len(lengths) // 2]
    if longest - shortest <= _NOTABLE:
        return ""
    gaps = [length for length in lengths[:-1] if length - usual > _NOTABLE]
    is_steady = all(abs(length - usual) <= _NOTABLE for length in lengths[:-1] if length not in gaps)
    if gaps and is_steady and len(gaps) * 10 <= len(lengths):
        return f"frames were dropped or lost: {len(gaps)} gaps of up to {float(max(gaps)):.3f} s"
    return f"variable frame rate, {float(shortest):.3f} to {float(longest):.3f} s a frame"
