"""The contract of a source: frames in order, readable again from the start."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from vae_experiments.options import Option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path

    from vae_experiments.tensors import Frames, Size


@dataclass(frozen=True)
class SourceInfo:
    """What a source will deliver, known before its first frame."""

    size: Size
    times: tuple[Fraction, ...]
    """When each frame begins, in seconds from the first one, never decreasing."""
    end: Fraction
    """When the last frame ends."""
    sound: Path | None = None
    """The file whose sound track fits these frames as they are, if there is one."""
    remarks: tuple[str, ...] = ()
    """What a person should know, a sentence each: variable rate, dropped alpha, a second stream."""

    @classmethod
    def steady(cls, size: Size, fps: Fraction, frames: int) -> SourceInfo:
        """Describe frames that all last equally long."""
        return cls(size, tuple(number / fps for number in range(frames)), frames / fps)

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return len(self.times)

    @property
    def fps(self) -> Fraction:
        """The mean rate: frames by duration. Where frames last differently no frame need have it."""
        return len(self.times) / self.end

    @property
    def uneven(self) -> tuple[Fraction, ...]:
        """When each frame begins, and last when the last one ends; nothing where all last equally long."""
        fps = self.fps
        steady = all(time * fps == number for number, time in enumerate(self.times))
        return () if steady else (*self.times, self.end)

    @property
    def pace(self) -> str:
        """How fast frames follow each other, for a person: ``25 fps``, or ``30 to 5 fps (mean 13.4)``."""
        gaps = [float(late - early) for early, late in pairwise(self.uneven) if late > early]
        if not gaps:
            return f"{float(self.fps):g} fps"
        return f"{1 / min(gaps):.3g} to {1 / max(gaps):.3g} fps (mean {float(self.fps):.3g})"

    def begins(self, number: int) -> Fraction:
        """When a frame begins; after the last one, frames follow each other at the mean rate."""
        if number < len(self.times):
            return self.times[number]
        return self.end + (number - len(self.times)) / self.fps


class Source(Option, ABC, family="source"):
    """Gives the frames of a clip, a chunk at a time, and never holds the clip."""

    @property
    @abstractmethod
    def info(self) -> SourceInfo:
        """Say what will come.

        Raises:
            SourceError: the source cannot be read.
        """

    @abstractmethod
    def chunks(self, count: int) -> Iterator[Frames]:
        """Yield every frame in order, ``count`` at a time and the rest at the end.

        Each call starts again at the first frame. Shape ``T 3 H W`` with the size of ``info``.

        Raises:
            SourceError: the source is damaged, cut short or changes while it is read.
        """

    def title(self) -> str:
        """Name the source for a person."""
        return str(self.kind).replace("_", " ")

    @abstractmethod
    def digest(self) -> str:
        """Identify, by SHA-256, everything that decides the frames: the content and the settings."""
