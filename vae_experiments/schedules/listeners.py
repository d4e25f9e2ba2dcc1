"""Listeners: schedules that follow the sound, the picture, a tempo, a table or a random walk.

    audio(low)  audio(40:200)  audio(all, path=song.wav)    loudness of a band of the sound
    onset(low)                                              1 at a hit, falling off in decay=0.2s
    beat(bpm=120)  beat(every=2)                            1 at a beat, falling off in decay=0.2s
    motion()  brightness()                                  of the source's frames
    table(curve.csv, column=2)                              seconds and value, straight between
    wander(period=1s, seed=0)                               a smooth random walk

All but tables lie between 0 and 1. A class is what stands between the brackets: its fields are the words.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import math
import re
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from typing_extensions import dataclass_transform

from vae_experiments.schedules.expression import Bounds, Schedule, between
from vae_experiments.schedules.light import light_of
from vae_experiments.schedules.sound import hits, levels
from vae_experiments.schedules.table import read_table
from vae_experiments.schedules.timeline import Time, Timeline, number
from vae_experiments.schedules.waveform import BANDS, Band, UnheardError, Waveform
from vae_experiments.schedules.words import unquoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LISTENERS: dict[str, type[Listener]] = {}
ROUNDED_SECONDS = 0.0015
"""How much before a frame something may be heard and counts to it: containers round the times of both."""


@dataclass_transform(frozen_default=True)
@dataclasses.dataclass(frozen=True, eq=False)
class Listener(Schedule):
    """Makes every subclass a word of the grammar, under the snake_case of its name.

    Its fields are what may stand between the brackets, in their order or by name: a float, an int, a str, a
    ``Time`` or a ``Band``. ``at`` gives the value at a moment, between 0 and 1.

    Example:
        >>> class Night(Listener):
        ...     hours: float = 24.0
        ...
        ...     def at(self, seconds: float, timeline: Timeline) -> float:
        ...         return (1 + math.cos(2 * math.pi * seconds / 3600 / self.hours)) / 2
    """

    hears_sound: ClassVar[bool] = False
    """Whether it listens to sound, the bands of which are drawn beside it."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclasses.dataclass(frozen=True, eq=False)(cls)
        _LISTENERS[re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()] = cls

    def bounds(self) -> Bounds:
        """Return 0 and 1."""
        return Bounds(0.0, 1.0)

    @property
    def is_exact(self) -> bool:
        """Nobody knows before it listens."""
        return False

    @property
    def times(self) -> list[Time]:
        """Those of its fields that are times."""
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return [value for value in values if isinstance(value, Time)]

    @property
    def files(self) -> list[str]:
        """Its path, if it has one."""
        return [path] if (path := getattr(self, "path", "")) else []


class OverClip(Listener):
    """Needs the whole clip before it has a value."""

    @property
    def needs_length(self) -> bool:
        """Always."""
        return True


del _LISTENERS["over_clip"]


class Audio(OverClip):
    """Loudness of a band of the sound: 0 and 1 at its 5th and 99th percentiles over the clip."""

    band: Band = BANDS["all"]
    path: str = ""
    hears_sound = True

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Return how loud it is then."""
        key = ("levels", self.band, self.path)
        found = timeline.once(key, lambda: levels(sound_of(timeline, self.path), self.band, timeline.moments))
        return between(timeline.moments, found, seconds)


class Onset(OverClip):
    """1 at a hit in the sound, falling off in ``decay``."""

    band: Band = BANDS["all"]
    decay: Time = Time(0.2, "s")
    path: str = ""
    hears_sound = True

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Return how much of the last hit is left."""
        key = ("hits", self.band, self.path)
        found = timeline.once(
            key, lambda: snapped(hits(sound_of(timeline, self.path), self.band), timeline.moments)
        )
        return fallen(found, seconds, self.decay.seconds(timeline))


class Beat(OverClip):
    """1 at each beat, falling off in ``decay``: so many a minute, or one every so many seconds."""

    bpm: float = 0.0
    every: str = ""
    decay: Time = Time(0.2, "s")

    def __post_init__(self) -> None:
        """Look whether there is a tempo.

        Raises:
            ValueError: there is none, or both.
        """
        if bool(self.bpm) == bool(self.every) or self.bpm < 0 or self._period.amount <= 0:
            raise ValueError("beat() takes bpm=120 or every=2 (seconds), more than 0")
        if self._period.unit == "s" and self._period.amount < 0.001:
            raise ValueError("beat() has at most 1000 beats a second")

    @property
    def _period(self) -> Time:
        if not self.every:
            return Time(60 / self.bpm, "s") if self.bpm else Time(0, "s")
        return Time.read(self.every) if self.every[-1] in "sf%" else Time(number(self.every), "s")

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Return how much of the last beat is left."""
        found = timeline.once(("beats", self._period), lambda: self._beats(timeline))
        return fallen(found, seconds, self.decay.seconds(timeline))

    def _beats(self, timeline: Timeline) -> list[float]:
        period, end = self._period.seconds(timeline), timeline.moments[-1]
        count = math.ceil(end / period) if period else 1
        return snapped([number * period for number in range(count)], timeline.moments)


class Motion(OverClip):
    """How much the brightness of the source's pixels changes from one frame to the next, 0 to 1 over the clip."""

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Return the motion of a moment."""
        return between(timeline.moments, light_of(timeline).motion, seconds)


class Brightness(OverClip):
    """How bright the source's frames are, 0 to 1 over the clip."""

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Return the brightness of a moment."""
        return between(timeline.moments, light_of(timeline).brightness, seconds)


class Table(Listener):
    """Follows a table of another tool: seconds in its first column, values in another one, straight between."""

    path: str
    column: int = 2

    def __post_init__(self) -> None:
        """Look whether a column can have that number.

        Raises:
            ValueError: it cannot.
        """
        if not self.path or self.column < 2:
            raise ValueError("table() takes a file, and column=2 or more: the first one has the seconds")

    def bounds(self) -> Bounds:
        """Only the table knows."""
        return Bounds(-math.inf, math.inf)

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Return the value at a moment, the first and the last one held before and after."""

        def read() -> tuple[list[float], list[float]]:
            if timeline.file_of is None:
                raise UnheardError("no table can be read here", "use it in an Experiment or at a Workbench")
            return read_table(timeline.file_of(self.path), self.column)

        return between(*timeline.once(("table", self.path, self.column), read), seconds)


class Wander(Listener):
    """A smooth random walk between 0 and 1: a value of its own each period, slow at both ends between them."""

    period: Time = Time(1, "s")
    seed: int = 0

    def __post_init__(self) -> None:
        """Look whether it moves.

        Raises:
            ValueError: the period is 0.
        """
        if self.period.amount <= 0:
            raise ValueError("a period is more than 0")

    def at(self, seconds: float, timeline: Timeline) -> float:
        """Find the place between two draws, each of which depends on its number alone."""
        period = self.period.seconds(timeline)
        place = seconds / period if period else 0.0
        before, share = math.floor(place), place % 1
        first, second = self._draw(before), self._draw(before + 1)
        return first + share * share * (3 - 2 * share) * (second - first)

    def _draw(self, place: int) -> float:
        digest = hashlib.sha256(f"wander {self.seed} {place}".encode()).digest()
        return int.from_bytes(digest[:7], "big") / 2**56


def sound_of(timeline: Timeline, path: str) -> Waveform:
    """Return the sound of the clip, or of a file.

    Raises:
        UnheardError: there is none.
    """
    if timeline.sound_of is None:
        raise UnheardError("there is no sound to listen to here", "listen before the length changes")
    return timeline.sound_of(path)


def snapped(found: list[float], moments: list[float]) -> list[float]:
    """Return, for times within a clip, when what is shown then begins."""
    places = (bisect.bisect_right(moments, time + ROUNDED_SECONDS) - 1 for time in found)
    return sorted({moments[place] for place in places if 0 <= place < len(moments) - 1})


def fallen(found: list[float], seconds: float, decay: float) -> float:
    """Return 1 at the last of some times, and less the longer it is ago."""
    place = bisect.bisect_right(found, seconds) - 1
    if place < 0:
        return 0.0
    ago = seconds - found[place]
    return max(0.0, 1 - ago / decay) if decay else float(ago == 0)


def _whole(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


_WORDS: Mapping[str, Callable[[str], object]] = {
    "float": number,
    "int": _whole,
    "str": unquoted,
    "Time": Time.read,
    "Band": Band.read,
}
"""What reads a word, by the type of its field."""


class _Field(NamedTuple):
    name: str
    read: Callable[[str], object]
    is_needed: bool


def listener_names() -> list[str]:
    """Name every listener."""
    return sorted(_LISTENERS)


def listener(name: str, plain: list[str], named: dict[str, str]) -> Schedule:
    """Make a listener of the words between its brackets.

    Raises:
        ValueError: it takes other ones.
    """
    kind, fields = _LISTENERS[name], _fields(_LISTENERS[name])
    known = [field.name for field in fields]
    words = dict(zip(known, plain, strict=False)) | named
    missing = any(field.is_needed and not words.get(field.name) for field in fields)
    if (
        len(plain) > len(fields)
        or set(words) - set(known)
        or missing
        or set(known[: len(plain)]) & set(named)
    ):
        raise ValueError(f"{name}() takes {', '.join(f'{each}=' for each in known) or 'nothing'}")
    return kind(**{field.name: field.read(words[field.name]) for field in fields if field.name in words})


def _fields(kind: type[Listener]) -> list[_Field]:
    return [
        _Field(
            field.name,
            _WORDS[getattr(field.type, "__name__", str(field.type))],
            field.default is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
    ]
