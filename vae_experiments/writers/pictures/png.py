"""PNG: the very pixels, in one file or in a folder of numbered ones."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from typing_extensions import override

from vae_experiments.files import atomic_write, whole_folder, write_error
from vae_experiments.writers.pictures.format import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vae_experiments.tensors import Pixels, Size
    from vae_experiments.writers.video.clock import OutputClock


def write_png(path: Path, pixels: Pixels, optimize: bool = False) -> None:
    """Write a picture, uint8 ``H W 3``, whole or not at all; ``optimize`` makes it smaller and takes longer.

    Raises:
        WriteError: the disk is full or broken.
    """
    with atomic_write(path) as hidden:
        hidden.write_bytes(as_png(pixels, optimize))


def as_png(pixels: Pixels, optimize: bool = False) -> bytes:
    """Return a picture, uint8 ``H W 3``, as the bytes of a PNG."""
    import imageio.v3 as iio

    # Not into the file by itself: Pillow's own errors do not say which error of the system they were.
    encoded = iio.imwrite("<bytes>", pixels, plugin="pillow", extension=".png", optimize=optimize)
    assert encoded is not None
    return encoded


class NumberedPngs(Format):
    """A folder beside the video with a PNG of every frame: 00000.png and so on; it holds no times."""

    suffix = "_png"
    takes_comparison = False

    @override
    def obstacle(self, size: Size, clock: OutputClock, frames: int, held_bytes: int) -> str:
        """Return what stands in the way of a video: nothing, for frames are written as they come."""
        return ""

    @override
    @contextlib.contextmanager
    def open(
        self, path: Path, size: Size, clock: OutputClock, say: Callable[[str], None]
    ) -> Iterator[PngFolder]:
        """Lend what writes the folder, which appears when the block ends without an error; see the base class."""
        with whole_folder(path) as hidden:
            yield PngFolder(path, hidden)


@dataclass
class PngFolder:
    """Takes frames and writes each into a file of its own."""

    path: Path
    _hidden: Path
    files: list[str] = field(default_factory=list)
    """What it consists of, as named from the folder that it is in."""

    def write(self, pixels: Pixels) -> None:
        """Append frames, uint8 ``T H W 3``."""
        for picture in pixels:
            name = f"{len(self.files):05d}.png"
            try:
                (self._hidden / name).write_bytes(as_png(picture))
            except OSError as error:
                raise write_error(self.path, error) from error
            self.files.append(f"{self.path.name}/{name}")
