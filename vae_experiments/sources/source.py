"""The contract of a source: frames in order, readable again from the start."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
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
    fps: Fraction
    frames: int | None
    """How many frames, or None where only reading to the end can tell."""
    sound: Path | None = None
    """The file whose sound track fits these frames as they are, if there is one."""
    remarks: tuple[str, ...] = ()
    """What a person should know, a sentence each: variable rate, dropped alpha, a second stream."""


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
