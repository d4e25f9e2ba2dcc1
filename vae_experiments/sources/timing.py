"""Frame rates as exact fractions: 29.97 and 30 drift apart, 30000/1001 does not."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

X = TypeVar("X")

# Half of a millisecond: as far as a mkv's or flv's clock may round a moment away from its place.
_CLOCK = Fraction(1, 2000)

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


def trim(pictures: Iterable[tuple[Fraction, X]], start: Fraction) -> Iterator[X]:
    """Leave out what begins before ``start`` seconds; a picture comes with the moment it begins."""
    return (picture for begins, picture in pictures if begins >= start - _CLOCK)


def resample(
    pictures: Iterable[tuple[Fraction, X]], start: Fraction, fps: Fraction, last_lasts: Fraction
) -> Iterator[X]:
    """Show, at every tick of a new rate, the picture that stands at that moment.

    That is the nearest earlier one, as a projector would: pictures repeat or are left out, none is
    mixed or invented. The last one stands for ``last_lasts`` seconds.
    """
    shown: tuple[Fraction, X] | None = None
    moment = start
    for picture in pictures:
        while shown is not None and moment < picture[0] - _CLOCK:
            yield shown[1]
            moment += 1 / fps
        shown = picture
    while shown is not None and moment < shown[0] + last_lasts - _CLOCK:
        yield shown[1]
        moment += 1 / fps


def retime(pictures: Iterable[tuple[Fraction, X]], fps: Fraction) -> Iterator[tuple[Fraction, X]]:
    """Give each picture the moment that its number has at a rate."""
    return ((number / fps, picture) for number, (_, picture) in enumerate(pictures))


def say_variable(shortest: Fraction, longest: Fraction) -> str:
    """Name the range in which a variable rate's frames last."""
    return f"variable frame rate, {float(shortest):.3f} to {float(longest):.3f} s a frame"
