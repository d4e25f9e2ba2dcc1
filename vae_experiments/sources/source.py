"""The contract of a source: frames in order, readable again from the start."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeVar

from vae_experiments.errors import SourceError
from vae_experiments.options import Option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vae_experiments.tensors import Frames, Size

Value = TypeVar("Value")
SIZE_RULE = "must be one or two whole numbers, as 256 or 480x272"


@dataclass(frozen=True)
class SteadyTimes(Sequence["Fraction"]):
    """The times of frames at a steady rate; nothing is held, however many there are."""

    fps: Fraction
    frames: int

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, number: Any) -> Any:
        numbers = range(self.frames)[number]
        return numbers / self.fps if isinstance(numbers, int) else [each / self.fps for each in numbers]


class Sound(NamedTuple):
    """The sound that belongs to the frames of a source: a file's track, or a stretch of it."""

    path: Path
    start: Fraction = Fraction(0)
    """When the stretch begins, in seconds from the file's first picture."""
    seconds: Fraction | None = None
    """How long it is; None where it is all of the track, as it is."""


@dataclass(frozen=True)
class SourceInfo:
    """What a source will deliver, known before its first frame."""

    size: Size
    times: Sequence[Fraction]
    """When each frame begins, in seconds from the first one, never decreasing."""
    end: Fraction
    """When the last frame ends."""
    sound: Sound | None = None
    """The sound that is heard while these frames are shown, if there is one."""
    remarks: tuple[str, ...] = ()
    """What a person should know, a sentence each: variable rate, dropped alpha, a second stream."""

    @classmethod
    def steady(cls, size: Size, fps: Fraction, frames: int) -> SourceInfo:
        """Describe frames that all last equally long."""
        return cls(size, SteadyTimes(fps, frames), frames / fps)

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
        is_steady = isinstance(self.times, SteadyTimes) or all(
            time * fps == number for number, time in enumerate(self.times)
        )
        return () if is_steady else (*self.times, self.end)

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


class Source(Option, ABC, group="source"):
    """Gives the frames of a clip, a chunk at a time, and never holds the clip."""

    has_frames: ClassVar[bool] = True
    """Whether there are frames; where not, a run begins with latents and has no original."""

    @property
    @abstractmethod
    def info(self) -> SourceInfo:
        """What will come.

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

    def look_over(self) -> None:
        """Look, before a model is loaded, whether the source can be read.

        Raises:
            SourceError: it cannot.
        """
        _ = self.info

    def parsed(self, setting: str, parse: Callable[[str], Value], rule: str, hint: str = "") -> Value:
        """Read the text of a setting.

        Raises:
            SettingError: it breaks the rule.
        """
        try:
            return parse(str(getattr(self, setting)))
        except ValueError:
            raise self.error_for(setting, rule, hint) from None

    def title(self) -> str:
        """Name the source for a person."""
        return str(self.kind).replace("_", " ")

    @abstractmethod
    def digest(self) -> str:
        """Identify, by SHA-256, everything that decides the frames: the content and the settings."""

    def state(self) -> object:
        """Return what is another once a file of the source was changed or replaced; it reads none of them.

        Raises:
            SourceError: a file is no longer there.
        """
        return None


class Watched(Protocol):
    """A source, or another file that is read."""

    def title(self) -> str:
        """Name it for a person."""

    def digest(self) -> str:
        """Identify its content."""

    def state(self) -> object:
        """Return what is another once it was changed."""


class Content(NamedTuple):
    """What a source held when its digest was taken."""

    source: Watched
    digest: str
    state: object

    @classmethod
    def of(cls, source: Watched) -> Content:
        """Read a source once for its digest."""
        # In this order a change during the reading shows, too.
        state = source.state()
        return cls(source, source.digest(), state)

    def is_there_still(self) -> bool:
        """Whether the source holds the same, as far as its files say without being read again."""
        try:
            return self.source.state() == self.state
        except SourceError:
            return False

    def check(self, setting: str = "source") -> None:
        """Refuse what was made of a source that changed since the digest was taken.

        Raises:
            SourceError: it did.
        """
        if not self.is_there_still():
            raise SourceError(
                f"{setting}: {self.source.title()} changed since its digest was taken",
                "wait until it is written, then start again",
            )
