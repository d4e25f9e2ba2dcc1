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

import functools
import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vae_experiments.schedules.timeline import Time, Timeline, number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GRAMMAR = (
    "write a number, ramp(0,1), ramp(0,1,0.5s,2s), ease(0,1), sine(period=2s,low=0,high=1) "
    "(or triangle, square), or keyframes as in 0s:0 1s:0.5; times are 2s, 12f (frames) or 50%"
)


@dataclass(frozen=True)
class Schedule(ABC):
    """Gives the value of a setting at any moment of a clip."""

    times: list[Time]
    """The times that it was written with."""
    values: list[float]
    """The values that it moves between: it never leaves their range."""
    shape: Callable[[float], float]
    """Bends the way from one value to the next, as a fraction of it."""

    @abstractmethod
    def at(self, seconds: float, timeline: Timeline) -> float:
        """Return the value at a moment."""

    @property
    def needs_length(self) -> bool:
        """Whether only the clip's length says what it means."""
        return any(time.unit == "%" for time in self.times)


class Keyframes(Schedule):
    """Has each value at its time, goes from one to the next, and holds the first and the last."""

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Find the way between the keyframes around this moment."""
        timed = zip([time.seconds(timeline) for time in self.times], self.values, strict=True)
        marks = sorted(timed, key=lambda mark: mark[0])  # two at one moment are a jump, in the order written
        before = [mark for mark in marks if mark[0] <= seconds]
        after = [mark for mark in marks if mark[0] > seconds]
        if not before or not after:
            return marks[-1][1] if before else marks[0][1]
        (start, first), (end, second) = before[-1], after[0]
        return first + self.shape((seconds - start) / (end - start)) * (second - first)


@dataclass(frozen=True)
class Oscillation(Schedule):
    """Goes from its low value to its high one and back for ever; its one time is the period."""

    phase: float
    """The fraction of a period that it begins with."""

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Find the place in the period."""
        period = self.times[0].seconds(timeline)
        turned = (seconds / period if period else 0.0) + self.phase
        low, high = self.values
        return low + (high - low) * self.shape(turned % 1)


WAYS: Mapping[str, Callable[[float], float]] = {
    "ramp": float,
    "ease": lambda share: (1 - math.cos(math.pi * share)) / 2,
}
WAVES: Mapping[str, Callable[[float], float]] = {
    "sine": lambda turned: (1 + math.sin(2 * math.pi * turned)) / 2,
    "triangle": lambda turned: 1 - abs(2 * turned - 1),
    "square": lambda turned: float(turned < 0.5),
}
WAVE_WORDS = ("period", "low", "high", "phase")
WAVE_DEFAULTS = {"low": "0", "high": "1", "phase": "0"}


@functools.lru_cache(maxsize=256)
def parse_schedule(text: str) -> Schedule:
    """Read a schedule.

    Raises:
        ValueError: the text breaks the grammar; the message says where.
    """
    text = text.strip()
    if "(" in text:
        name, plain, named = read_call(text)
        if name in WAYS:
            return _way(name, plain, named)
        if name in WAVES:
            return _wave(name, plain, named)
        raise ValueError(f"there is no {name}()")
    if ":" in text:
        marks = [word.partition(":") for word in text.split()]
        return Keyframes(
            [Time.read(time) for time, _, _ in marks], [number(value) for *_, value in marks], float
        )
    return Keyframes([Time(0, "s")], [number(text)], float)


def _way(name: str, plain: list[str], named: dict[str, str]) -> Schedule:
    if named or len(plain) not in (2, 4):
        raise ValueError(f"{name}() takes two values, and two times if you like")
    times = [Time.read(word) for word in plain[2:]] or [Time(0, "%"), Time(100, "%")]
    return Keyframes(times, [number(word) for word in plain[:2]], WAYS[name])


def _wave(name: str, plain: list[str], named: dict[str, str]) -> Schedule:
    words = dict(zip(WAVE_WORDS, plain, strict=False)) | named
    if "period" not in words or len(plain) > len(WAVE_WORDS) or set(words) - set(WAVE_WORDS):
        raise ValueError(f"{name}() takes period=, low=, high=, phase=")
    period = Time.read(words["period"])
    if period.amount == 0:
        raise ValueError("a period is more than 0")
    low, high, phase = (number(words.get(word, usual)) for word, usual in WAVE_DEFAULTS.items())
    return Oscillation([period], [low, high], WAVES[name], phase)


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
