"""PNG: the very pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.files import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

    from vae_experiments.tensors import Pixels


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
