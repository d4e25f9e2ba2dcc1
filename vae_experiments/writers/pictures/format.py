"""The contract of a format that a video can have beside its mp4."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from vae_experiments.tensors import Pixels, Size
    from vae_experiments.writers.video.clock import OutputClock


class Copy(Protocol):
    """A video in one more format, while it is written."""

    @property
    def path(self) -> Path:
        """Where the file or the folder appears."""

    @property
    def files(self) -> list[str]:
        """What it consists of, as named from the folder that it is in."""

    def write(self, pixels: Pixels) -> None:
        """Append frames, uint8 ``T H W 3``, which nobody may change afterwards."""


class Format(ABC):
    """How a video is written in one format."""

    suffix: str
    """What its file or folder is called after the video's name."""
    takes_comparison: ClassVar[bool] = True
    """Whether the videos side by side are written in it as well."""

    @abstractmethod
    def obstacle(self, size: Size, clock: OutputClock, frames: int, held_bytes: int) -> str:
        """Return in words what stands in the way of a video; nothing where it can be written.

        Args:
            size: of its frames.
            clock: when each begins.
            frames: how many there are.
            held_bytes: what the frames of all videos of the run take in memory.
        """

    @abstractmethod
    def open(
        self, path: Path, size: Size, clock: OutputClock, say: Callable[[str], None]
    ) -> AbstractContextManager[Copy]:
        """Lend what takes the frames; all is there under its name when the block ends without an error.

        Args:
            path: where it appears.
            size: of every frame.
            clock: when each begins.
            say: told in a sentence what is not as in the video.

        Raises:
            WriteError: the disk is full or broken.
        """
