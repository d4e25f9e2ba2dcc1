"""The grammar of schedules: a short text becomes a tree, and is never evaluated as code.

    0.5                          the same all the time
    ramp(0, 1)                   straight from the first frame to the last
    ramp(0, 1, 0.5s, 2s)         straight between two times, held before and after
    ease(0, 1)                   as ramp, slow at both ends
    sine(period=2s)              up and down between 0 and 1, or low= and high=, from phase= (a fraction) on;
                                 triangle(...) and square(...) do so in straight lines and in jumps
    0s:0 1s:0.5 50%:1            keyframes, with straight lines between them
    audio(low), onset(), ...     listeners: see ``listeners``
    a + b   a - b   a * b   -a   ( )   min(a,b)   max(a,b)   clamp(a,0,1)   smooth(a,0.2s)   delay(a,0.5s)
    steps(a,4)                   in so many even steps between 0 and 1
    map(a, low, high)            from low where a is 0 to high where a is 1

Times are seconds (2s), frames (12f, which is when frame 12 begins) or a fraction of the clip (50%): 0 % is
when its first frame begins and 100 % when its last one does.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING

from vae_experiments.schedules.expression import (
    FUNCTIONS,
    SHIFTS,
    Applied,
    Keyframes,
    Oscillation,
    Schedule,
    constant,
    product,
    total,
)
from vae_experiments.schedules.listeners import listener, listener_names
from vae_experiments.schedules.timeline import Time, number
from vae_experiments.schedules.words import matching_bracket, named_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GRAMMAR = (
    "write a number, ramp(0,1), ramp(0,1,0.5s,2s), ease(0,1), sine(period=2s,low=0,high=1) "
    "(or triangle, square), keyframes as in 0s:0 1s:0.5, audio(low), onset(), beat(bpm=120), motion(), "
    "brightness(), table(curve.csv), wander(period=1s), or + - * ( ) min max clamp smooth delay steps map of "
    "those; times are 2s, 12f (frames) or 50%"
)
DEEPEST = 32
"""Brackets within brackets."""
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_TOKEN = re.compile(
    rf"\s*(?:(?P<time>{_NUMBER}(?:s|f|%))(?![\w.])|(?P<number>{_NUMBER})(?![\w.])|(?P<name>[A-Za-z_]\w*)|(?P<sign>[-+*(),:=]))"
)
_SIGNED = re.compile(rf"\s*(?P<value>[-+]?{_NUMBER})(?![\w.%])")
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
    reader = _Reader(text)
    schedule = reader.sum()
    if reader.next_is():
        raise reader.puzzle()
    return schedule


class _Reader:
    """Reads a text from left to right, a token at a time; what was read is never looked at again."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text.rstrip(), 0, 0

    def next_is(self) -> str:
        """Return the next token, its kind for a number, a time and a name; empty at the end."""
        found = self._token()
        if found is None:
            return ""
        return found["sign"] or str(found.lastgroup)

    def _token(self) -> re.Match[str] | None:
        found = _TOKEN.match(self.text, self.at)
        if found is None and self.at < len(self.text):
            raise self.puzzle()
        return found

    def take(self) -> str:
        found = self._token()
        assert found is not None, "nothing is left"
        self.at = found.end()
        return found[0].strip()

    def expect(self, sign: str) -> None:
        if self.next_is() != sign:
            raise self.puzzle(f"there is no {sign} before")
        self.take()

    def puzzle(self, what: str = "cannot read") -> ValueError:
        rest = self.text[self.at :][:40].strip()
        if not rest:
            return ValueError("it ends too soon" if self.text.strip() else f"{self.text!r} is not a number")
        return ValueError(f"{what} {rest!r}")

    def sum(self) -> Schedule:
        terms = [self.product()]
        while (sign := self.next_is()) in ("+", "-"):
            self.take()
            term = self.product()
            terms.append(term if sign == "+" else product([constant(-1), term]))
        return terms[0] if len(terms) == 1 else total(terms)

    def product(self) -> Schedule:
        factors = [self.factor()]
        while self.next_is() == "*":
            self.take()
            factors.append(self.factor())
        return factors[0] if len(factors) == 1 else product(factors)

    def factor(self) -> Schedule:
        is_negative, before = False, ""
        while (sign := self.next_is()) in ("+", "-"):
            before = self.take()
            is_negative ^= sign == "-"
        if sign == "time" and before == "-":
            raise ValueError(f"'-{self.take()}' is not a time")
        if is_negative and sign == "number":
            return constant(-self.number())
        return product([constant(-1), self.single()]) if is_negative else self.single()

    def single(self) -> Schedule:
        kind = self.next_is()
        if kind == "number":
            return constant(self.number())
        if kind == "time":
            return self.keyframes()
        if kind == "name":
            return self.call()
        if kind != "(":
            raise self.puzzle()
        return self.bracketed(self.sum)

    def bracketed(self, read: Callable[[], Schedule]) -> Schedule:
        self.expect("(")
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} brackets lie within each other")
        found = read()
        self.depth -= 1
        self.expect(")")
        return found

    def number(self) -> float:
        return number(self.take())

    def keyframes(self) -> Schedule:
        marks, values = [], []
        while self.next_is() == "time":
            marks.append(Time.read(self.take()))
            self.expect(":")
            found = _SIGNED.match(self.text, self.at)
            if found is None:
                word = self.text[self.at :].split(maxsplit=1)[:1]
                raise ValueError(f"{(word or [''])[0][:40]!r} is not a number")
            self.at = found.end()
            values.append(number(found["value"]))
        return Keyframes(marks, values, float)

    def call(self) -> Schedule:
        before, name = self.at, self.take()
        if self.next_is() != "(":
            self.at = before
            raise ValueError(f"{self.text[before:].strip()[:40]!r} is not a number")
        if name in FUNCTIONS or name in SHIFTS:
            return self.bracketed(lambda: self.function(name))
        opens = self.text.index("(", self.at)
        closes = matching_bracket(self.text, opens)
        if name not in (*WAYS, *WAVES, *listener_names()):
            raise ValueError(f"there is no {name}()")
        plain, named = named_words(self.text[opens + 1 : closes])
        self.at = closes + 1
        if name in WAYS:
            return _way(name, plain, named)
        return _wave(name, plain, named) if name in WAVES else listener(name, plain, named)

    def function(self, name: str) -> Schedule:
        takes = FUNCTIONS[name].takes if name in FUNCTIONS else "a, 0.5s"
        count, problem = takes.count(",") + 1, ValueError(f"{name}() takes {takes}")
        operands = [self.sum()]
        if name in SHIFTS:
            self.expect(",")
            if self.next_is() != "time":
                raise problem
            return SHIFTS[name](operands[0], Time.read(self.take()))
        while self.next_is() == ",":
            self.take()
            operands.append(self.sum())
        if len(operands) != count:
            raise problem
        if name == "steps" and not _is_count(operands[1]):
            raise ValueError("steps() takes a whole number of steps from 2 on")
        return Applied(FUNCTIONS[name].apply, tuple(operands), FUNCTIONS[name].bound)


def _is_count(schedule: Schedule) -> bool:
    low, high = schedule.bounds()
    return low == high and low >= 2 and low.is_integer()


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
    return Oscillation(period, low, high, WAVES[name], phase)
