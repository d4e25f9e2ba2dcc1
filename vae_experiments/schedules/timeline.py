"""Times: when the frames of a clip begin, moments as they are written, and what listeners hear and see by."""

from __future__ import annotations

import contextlib
import functools
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from fractions import Fraction
    from pathlib import Path

    from torch import Tensor

    from vae_experiments.schedules.waveform import Waveform

Value = TypeVar("Value")
_TIME = re.compile(r"(?P<amount>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?P<unit>s|f|%)")


@dataclass(frozen=True, eq=False)
class Timeline:
    """When the frames of a clip begin, which is what times are measured by, and the way to its sound and its frames."""

    fps: float
    last_seconds: float | None
    """When its last frame begins; None where nobody knows yet."""
    begins: Callable[[int], Fraction] | None = None
    """Says when a frame begins where they last differently; else the rate does."""
    latents: int | None = None
    """How many latents the clip has."""
    frame: Callable[[int], int] = int
    """Says which frame is the first that a latent stands for."""
    sound_of: Callable[[str], Waveform] | None = None
    """Reads a file's sound, or with no name that of the clip."""
    frames: Callable[[], Iterator[Tensor]] | None = None
    """Reads the clip's frames, in chunks ``T 3 H W``."""
    file_of: Callable[[str], Path] | None = None
    """Finds another file by its name."""
    heard: dict[Any, Any] = field(default_factory=dict)
    """What listeners made of this clip once, by what each asks for."""

    def seconds(self, frame: float) -> float:
        """Return when a frame begins; half a frame is half of the way to the next."""
        if self.begins is None:
            return frame / self.fps
        number, share = int(frame), frame % 1
        begins = float(self.begins(number))
        return begins + share * (float(self.begins(number + 1)) - begins) if share else begins

    def once(self, key: object, make: Callable[[], Value]) -> Value:
        """Return what is made of this clip once, by what asks for it."""
        if key not in self.heard:
            self.heard[key] = make()
        made: Value = self.heard[key]
        return made

    @functools.cached_property
    def moments(self) -> list[float]:
        """When what each latent stands for begins, and at last when the clip ends."""
        assert self.latents is not None, "a listener needs the clip's length"
        return [self.seconds(self.frame(latent)) for latent in range(self.latents + 1)]


class Time(NamedTuple):
    """A moment or a length of time as it was written: ``2s``, ``12f`` or ``50%``."""

    amount: float
    unit: str

    @classmethod
    def read(cls, text: str) -> Time:
        """Read one.

        Raises:
            ValueError: it is none.
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


def number(text: str) -> float:
    """Read a finite number.

    Raises:
        ValueError: it is none.
    """
    with contextlib.suppress(ValueError):
        if math.isfinite(value := float(text)):
            return value
    raise ValueError(f"{text.strip()!r} is not a number")
