"""Schedules: a number that changes over time, read from a short text and never evaluated as code.

    0.5                          the same all the time
    ramp(0, 1)                   straight from the first frame to the last
    ramp(0, 1, 0.5s, 2s)         straight between two times, held before and after
    ease(0, 1)                   as ramp, slow at both ends
    sine(period=2s)              up and down between 0 and 1, or low= and high=, from phase= (a share) on;
                                 triangle(...) and square(...) do so in straight lines and in jumps
    0s:0 1s:0.5 50%:1            keyframes, with straight lines between them

Times are seconds (2s), frames (12f, which is when frame 12 begins) or a fraction of the clip (50%): 0 % is
when its first frame begins and 100 % when its last one does.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from fractions import Fraction

GRAMMAR = (
    "write a number, ramp(0,1), ramp(0,1,0.5s,2s), ease(0,1), sine(period=2s,low=0,high=1) "
    "(or triangle, square), or keyframes as in 0s:0 1s:0.5; times are 2s, 12f (frames) or 50%"
)
_TIME = re.compile(r"(?P<amount>\d+(?:\.\d+)?|\.\d+)(?P<unit>s|f|%)")


class Timeline(NamedTuple):
    """When the frames of a clip begin, which is what times are measured by."""

    fps: float
    last_seconds: float | None
    """When its last frame begins; None where nobody knows yet."""
    begins: Callable[[int], Fraction] | None = None
    """Says when a frame begins where they last differently; else the rate does."""

    def seconds(self, frame: float) -> float:
        """Return when a frame begins; half a frame is half of the way to the next."""
        if self.begins is None:
            return frame / self.fps
        number, share = int(frame), frame % 1
        begins = float(self.begins(number))
        return begins + share * (float(self.begins(number + 1)) - begins) if share else begins


class Time(NamedTuple):
    """A moment or a length of time as it was written."""

    amount: float
    unit: str

    @classmethod
    def read(cls, text: str) -> Time:
        """Read ``2s``, ``12f`` or ``50%``.

        Raises:
            ValueError: it is none of these.
        """
        found = _TIME.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text.strip()!r} is not a time")
        return cls(number(found["amount"]), found["unit"])

    def seconds(self, timeline: Timeline) -> float:
        """Return how many seconds it is in a clip."""
        if self.unit == "s":
            return self.amount
        if self.unit == "f":
            return timeline.seconds(self.amount)
        assert timeline.last_seconds is not None, "a fraction of a clip needs its length"
        return self.amount / 100 * timeline.last_seconds


class Schedule(ABC):
    """Gives the value of a setting at any moment of a clip."""

    @property
    @abstractmethod
    def values(self) -> Sequence[float]:
        """List the values that it moves between: it never leaves their range."""

    @property
    @abstractmethod
    def times(self) -> Sequence[Time]:
        """List the times that it was written with."""

    @abstractmethod
    def at(self, seconds: float, timeline: Timeline) -> float:
        """Return the value at a moment."""

    @property
    def needs_length(self) -> bool:
        """Whether only the clip's length says what it means."""
        return any(time.unit == "%" for time in self.times)


@dataclass(frozen=True)
class Keyframes(Schedule):
    """Goes from each value to the next and holds the first and the last."""

    marks: tuple[tuple[Time, float], ...]
    shape: Callable[[float], float] = float
    """Bends the way from one mark to the next; from 0 to 0 and from 1 to 1."""

    @property
    def values(self) -> Sequence[float]:
        """The value of every mark."""
        return [value for _, value in self.marks]

    @property
    def times(self) -> Sequence[Time]:
        """The time of every mark."""
        return [time for time, _ in self.marks]

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Go straight between the marks around this moment."""
        timed = [(time.seconds(timeline), value) for time, value in self.marks]
        marks = sorted(timed, key=lambda mark: mark[0])  # two at one moment are a jump, in the order written
        before = [mark for mark in marks if mark[0] <= seconds]
        after = [mark for mark in marks if mark[0] > seconds]
        if not before or not after:
            return marks[-1][1] if before else marks[0][1]
        (start, first), (end, second) = before[-1], after[0]
        share = self.shape((seconds - start) / (end - start))
        return first + share * (second - first)


@dataclass(frozen=True)
class Oscillation(Schedule):
    """Goes up and down for ever, from low to high and back in a period."""

    shape: Callable[[float], float]
    """Turns the fraction of a period that has passed into a height from 0 to 1."""
    period: Time
    low: float
    high: float
    phase: float

    @property
    def values(self) -> Sequence[float]:
        """The lowest and the highest value."""
        return [self.low, self.high]

    @property
    def times(self) -> Sequence[Time]:
        """The period."""
        return [self.period]

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Find the place in the period."""
        period = self.period.seconds(timeline)
        turned = (seconds / period if period else 0.0) + self.phase
        return self.low + (self.high - self.low) * self.shape(turned % 1)


WAVES: Mapping[str, Callable[[float], float]] = {
    "sine": lambda turned: (1 + math.sin(2 * math.pi * turned)) / 2,
    "triangle": lambda turned: 1 - abs(2 * turned - 1),
    "square": lambda turned: float(turned < 0.5),
}
WAVE_DEFAULTS = (("low", "0"), ("high", "1"), ("phase", "0"))
WAYS: Mapping[str, Callable[[float], float]] = {
    "ramp": float,
    "ease": lambda share: (1 - math.cos(math.pi * share)) / 2,
}


@functools.lru_cache(maxsize=256)
def parse_schedule(text: str) -> Schedule:
    """Read a schedule.

    Raises:
        ValueError: the text breaks the grammar; the message says where.
    """
    text = text.strip()
    if "(" in text:
        return _call(*read_call(text))
    if ":" in text:
        return Keyframes(tuple(_mark(word) for word in text.split()))
    return Keyframes(((Time(0, "s"), number(text)),))


def read_call(text: str) -> tuple[str, list[str], dict[str, str]]:
    """Take ``name(a, b, key=c)`` apart into its name and its arguments, which may be calls themselves.

    Raises:
        ValueError: it is no such thing.
    """
    found = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", text)
    if found is None:
        raise ValueError(f"cannot read {text!r}")
    words = split_outside_brackets(found[2]) if found[2].strip() else []
    plain = [word.strip() for word in words if not re.match(r"\s*\w+\s*=", word)]
    named = dict(word.split("=", 1) for word in words if re.match(r"\s*\w+\s*=", word))
    return found[1], plain, {key.strip(): value.strip() for key, value in named.items()}


def split_outside_brackets(text: str) -> list[str]:
    """Split at the commas that stand in no bracket and in no quotes."""
    parts, depth, quote, begins = [], 0, "", 0
    for place, sign in enumerate(text):
        if quote or sign in "'\"":
            quote = "" if sign == quote else quote or sign
        depth += (sign in "([{") - (sign in ")]}") if not quote else 0
        if sign == "," and depth == 0 and not quote:
            parts.append(text[begins:place])
            begins = place + 1
    return [*parts, text[begins:]]


def number(text: str) -> float:
    """Read a finite number.

    Raises:
        ValueError: it is none.
    """
    with contextlib.suppress(ValueError):
        if math.isfinite(value := float(text)):
            return value
    raise ValueError(f"{text.strip()!r} is not a number")


def _mark(word: str) -> tuple[Time, float]:
    time, _, value = word.partition(":")
    return Time.read(time), number(value)


def _call(name: str, plain: list[str], named: dict[str, str]) -> Schedule:
    if name in WAYS:
        return _way(name, plain, named)
    if name in WAVES:
        return _wave(name, plain, named)
    raise ValueError(f"there is no {name}()")


def _way(name: str, plain: list[str], named: dict[str, str]) -> Schedule:
    if named or len(plain) not in (2, 4):
        raise ValueError(f"{name}() takes two values, and two times if you like")
    times = [Time.read(word) for word in plain[2:]] or [Time(0, "%"), Time(100, "%")]
    marks = zip(times, map(number, plain[:2]), strict=True)
    return Keyframes(tuple(marks), WAYS[name])


def _wave(name: str, plain: list[str], named: dict[str, str]) -> Schedule:
    words = dict(zip(("period", "low", "high", "phase"), plain, strict=False)) | named
    if "period" not in words or len(plain) > 4 or not set(words) <= {"period", "low", "high", "phase"}:
        raise ValueError(f"{name}() takes period=, low=, high=, phase=")
    period = Time.read(words["period"])
    if period.amount == 0:
        raise ValueError("a period is more than 0")
    low, high, phase = (number(words.get(key, usual)) for key, usual in WAVE_DEFAULTS)
    return Oscillation(WAVES[name], period, low, high, phase)
