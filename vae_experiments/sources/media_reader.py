"""What a video, an animated picture and a folder of pictures have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.sources.frame_rate import WHOLE, Stretch
from vae_experiments.sources.paths import refuse, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from fractions import Fraction
    from pathlib import Path

    from vae_experiments.errors import SourceError
    from vae_experiments.tensors import Pixels, Size

GO_ON = "copy it again, or set source.allow_partial=true to use what comes before"


class MediaInfo(NamedTuple):
    """What is known of a medium before its frames are read."""

    size: Size
    begins: tuple[Fraction, ...]
    """When each picture begins, in seconds from the first; their numbers where there is no timing."""
    end: Fraction | None
    """When the last one ends; None where the file says nothing about time."""
    is_complete: bool = True
    """Whether these are all pictures, rather than those before damage or of the stretch asked for."""
    has_sound: bool = False
    is_in_step: bool = True
    """Whether the times are those of the file's own clock, which the sound follows too."""
    remarks: tuple[str, ...] = ()

    @property
    def fps(self) -> Fraction | None:
        """The mean rate; None where the file says nothing about time."""
        return None if self.end is None else len(self.begins) / self.end


@dataclass(frozen=True)
class MediaReader(ABC):
    """Something on disk that holds frames, and the terms on which it is read."""

    path: Path
    rotate: bool
    allow_partial: bool
    max_pixels: int
    stretch: Stretch = WHOLE
    """What is asked for: a survey need not look beyond it."""

    def media_info(self) -> MediaInfo:
        """Look a medium over before it is read; remembered until the file changes.

        Raises:
            SourceError: it cannot be read.
        """
        return _remembered(self, stamp(self.path))

    @abstractmethod
    def look_over(self) -> MediaInfo:
        """Make the survey."""

    @abstractmethod
    def read(self) -> Generator[Callable[[], Pixels], None, None]:
        """Yield every picture in the order of showing, each as the way to its pixels, H W 3.

        Raises:
            SourceError: it is damaged.
        """

    def files(self) -> list[Path]:
        """List the files that hold the content, in order."""
        return [self.path]

    def refusal(self, problem: str, hint: str) -> SourceError:
        """Make the error for this medium."""
        return refuse(self.path, problem, hint)

    def check_size(self, size: Size) -> None:
        """Refuse giants before a byte of them is decoded.

        Raises:
            SourceError: a frame has more pixels than allowed.
        """
        count = size.width * size.height
        if count > self.max_pixels:
            problem = f"{size} = {count / 1e6:.1f} Mpixel a frame, over source.max_pixels={self.max_pixels}"
            raise self.refusal(problem, f"make it smaller, or set source.max_pixels={count}")


@lru_cache(maxsize=64)
def _remembered(reader: MediaReader, stamp: object) -> MediaInfo:  # noqa: ARG001  the stamp is part of the key
    return reader.look_over()
