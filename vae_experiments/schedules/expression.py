"""The tree that an expression is parsed into: each node gives a value at any moment of a clip."""

from __future__ import annotations

import bisect
import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.schedules.timeline import Time, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Bounds(NamedTuple):
    """What values never leave."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Schedule(ABC):
    """Gives the value of a setting at any moment of a clip."""

    @abstractmethod
    def at(self, seconds: float, timeline: Timeline) -> float:
        """Return the value at a moment.

        Raises:
            UnheardError: there is nothing to listen to.
        """

    @abstractmethod
    def bounds(self) -> Bounds:
        """Return what the values never leave, whatever the clip."""

    @property
    def parts(self) -> tuple[Schedule, ...]:
        """The nodes right below."""
        return ()

    @property
    def times(self) -> list[Time]:
        """The times that it was written with."""
        return []

    @property
    def is_exact(self) -> bool:
        """Whether it is known, without the clip, to reach its bounds."""
        moving = [part for part in self.parts if part.bounds().low != part.bounds().high]
        return len(moving) <= 1 and all(part.is_exact for part in self.parts)

    @property
    def needs_length(self) -> bool:
        """Whether only the clip's length says what it means."""
        return any(time.unit == "%" for time in self.times) or any(part.needs_length for part in self.parts)

    @property
    def files(self) -> list[str]:
        """The names of the files that it reads."""
        return [file for part in self.parts for file in part.files]

    @property
    def nodes(self) -> list[Schedule]:
        """Itself and all below."""
        return [self, *(node for part in self.parts for node in part.nodes)]


@dataclass(frozen=True, eq=False)
class Keyframes(Schedule):
    """Has each value at its time, goes from one to the next, and holds the first and the last."""

    marks: list[Time]
    values: list[float]
    shape: Callable[[float], float]
    """Bends the way from one value to the next, as a fraction of it."""

    @property
    def times(self) -> list[Time]:
        """The keyframes' times."""
        return self.marks

    def bounds(self) -> Bounds:
        """Return the least and the greatest value."""
        return Bounds(min(self.values), max(self.values))

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Find the way between the keyframes around this moment."""
        timed = zip([time.seconds(timeline) for time in self.marks], self.values, strict=True)
        marks = sorted(timed, key=lambda mark: mark[0])  # two at one moment are a jump, in the order written
        after = bisect.bisect_right(marks, seconds, key=lambda mark: mark[0])
        if after in (0, len(marks)):
            return marks[-1][1] if after else marks[0][1]
        (start, first), (end, second) = marks[after - 1], marks[after]
        return first + self.shape((seconds - start) / (end - start)) * (second - first)


@dataclass(frozen=True, eq=False)
class Oscillation(Schedule):
    """Goes from its low value to its high one and back for ever."""

    period: Time
    low: float
    high: float
    shape: Callable[[float], float]
    phase: float
    """The fraction of a period that it begins with."""

    @property
    def times(self) -> list[Time]:
        """The period."""
        return [self.period]

    def bounds(self) -> Bounds:
        """Return the two values, the lesser one first."""
        return Bounds(min(self.low, self.high), max(self.low, self.high))

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Find the place in the period."""
        period = self.period.seconds(timeline)
        turned = (seconds / period if period else 0.0) + self.phase
        return self.low + (self.high - self.low) * self.shape(turned % 1)


@dataclass(frozen=True, eq=False)
class Applied(Schedule):
    """A function of one moment's values: a sum, a product, min, max, clamp, steps, map."""

    function: Callable[..., float]
    operands: tuple[Schedule, ...]
    bound: Callable[..., Bounds]
    """Bounds what the function gives by the bounds of what it is given."""

    @property
    def parts(self) -> tuple[Schedule, ...]:
        """What it is applied to."""
        return self.operands

    def bounds(self) -> Bounds:
        """Bound what comes out."""
        return self.bound(*(each.bounds() for each in self.operands))

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Apply it to the values of this moment."""
        return self.function(*(each.at(seconds, timeline) for each in self.operands))


@dataclass(frozen=True, eq=False)
class Elsewhere(Schedule):
    """Looks another schedule up at other moments, by a length of time."""

    inner: Schedule
    length: Time

    @property
    def parts(self) -> tuple[Schedule, ...]:
        """What is looked up."""
        return (self.inner,)

    @property
    def times(self) -> list[Time]:
        """The length of time."""
        return [self.length]

    @property
    def is_exact(self) -> bool:
        """Only of what never changes."""
        return self.inner.bounds().low == self.inner.bounds().high

    def bounds(self) -> Bounds:
        """Return those of the other schedule."""
        return self.inner.bounds()


class Delay(Elsewhere):
    """Comes later; before that it has its first value."""

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Return the earlier value."""
        return self.inner.at(max(0.0, seconds - self.length.seconds(timeline)), timeline)


class Smooth(Elsewhere):
    """The mean over a length of time around each moment, as far as the clip goes there.

    Of the values at what is shown, with straight lines between, so that it is exact at any rate.
    """

    @property
    def needs_length(self) -> bool:
        """Always: the mean ends with the clip."""
        return True

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Take the mean around a moment."""
        moments, values, areas = timeline.once(self, lambda: self._areas(timeline))
        half = self.length.seconds(timeline) / 2
        low, high = max(seconds - half, moments[0]), min(seconds + half, moments[-1])
        if high <= low:
            return self.inner.at(seconds, timeline)

        def area(moment: float) -> float:
            place = min(bisect.bisect_right(moments, moment), len(moments) - 1) - 1
            reached = between(moments, values, moment)
            return areas[place] + (moment - moments[place]) * (values[place] + reached) / 2

        mean = (area(high) - area(low)) / (high - low)
        return min(max(mean, min(values)), max(values))  # which rounding must not leave

    def _areas(self, timeline: Timeline) -> tuple[list[float], list[float], list[float]]:
        moments = timeline.moments[:-1]
        values = [self.inner.at(moment, timeline) for moment in moments]
        steps = [
            (late - early) * (first + second) / 2
            for (early, first), (late, second) in itertools.pairwise(zip(moments, values, strict=True))
        ]
        return moments, values, [0.0, *itertools.accumulate(steps)]


def between(moments: list[float], values: list[float], seconds: float) -> float:
    """Return the value on the straight line between those before and after, held before and after them all."""
    after = bisect.bisect_right(moments, seconds, 0, len(values))
    if after in (0, len(values)):
        return values[-1] if after else values[0]
    early, late = moments[after - 1], moments[after]
    return values[after - 1] + (seconds - early) / (late - early) * (values[after] - values[after - 1])


def constant(value: float) -> Schedule:
    """Return what has the same value all the time."""
    return Keyframes([Time(0, "s")], [value], float)


def keyframes(marks: list[Time], values: list[float]) -> Schedule:
    """Return what has each value at its time, with straight lines between."""
    return Keyframes(marks, values, float)


def _corners(function: Callable[..., float]) -> Callable[..., Bounds]:
    """Bound a function that is straight in each of its arguments: it is greatest and least in a corner."""

    def bound(*given: Bounds) -> Bounds:
        found = [function(*corner) for corner in itertools.product(*given)]
        if any(math.isnan(value) for value in found):
            return Bounds(-math.inf, math.inf)
        return Bounds(min(found), max(found))

    return bound


def _ends(function: Callable[..., float]) -> Callable[..., Bounds]:
    """Bound a function that never falls where an argument rises."""
    return lambda *given: Bounds(
        function(*(each.low for each in given)), function(*(each.high for each in given))
    )


def total(terms: list[Schedule]) -> Schedule:
    """Add any number of terms."""
    return Applied(
        lambda *values: float(sum(values)), tuple(terms), _ends(lambda *values: float(sum(values)))
    )


def product(factors: list[Schedule]) -> Schedule:
    """Multiply any number of factors."""

    def bound(*given: Bounds) -> Bounds:
        found = given[0]
        for each in given[1:]:
            found = _corners(lambda first, second: first * second)(found, each)
        return found

    return Applied(lambda *values: float(math.prod(values)), tuple(factors), bound)


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _map(value: float, low: float, high: float) -> float:
    return low + value * (high - low)


def _steps(value: float, count: float) -> float:
    return math.floor(value * (count - 1) + 0.5) / (count - 1) if math.isfinite(value) else value


class Function(NamedTuple):
    """A function of the grammar."""

    apply: Callable[..., float]
    bound: Callable[..., Bounds]
    takes: str
    """What stands between its brackets."""


FUNCTIONS: Mapping[str, Function] = {
    "min": Function(min, _ends(min), "a, b"),
    "max": Function(max, _ends(max), "a, b"),
    "clamp": Function(_clamp, _ends(_clamp), "a, low, high"),
    "steps": Function(_steps, _ends(_steps), "a, count"),
    "map": Function(_map, _corners(_map), "a, low, high"),
}
SHIFTS: Mapping[str, type[Elsewhere]] = {"delay": Delay, "smooth": Smooth}
