"""Animated pictures, stills and folders of numbered pictures, through Pillow."""

from __future__ import annotations

import contextlib
import re
import warnings
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, count, pairwise
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import SourceError
from vae_experiments.sources.container import inspect
from vae_experiments.sources.locating import refuse
from vae_experiments.sources.medium import GO_ON, Medium, Picture, Survey
from vae_experiments.sources.sniffing import sniff
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from vae_experiments.tensors import Pixels

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_FORMATS = ["GIF", "PNG", "JPEG", "WEBP"]
# Browsers show a gif that states no duration, or next to none, at ten frames a second.
_SHORTEST_MS, _USUAL_MS = 20, 100
_ALPHA = "transparent parts are shown over black"


@dataclass(frozen=True)
class Animation(Medium):
    """A gif, webp, png or jpeg: one picture or many."""

    def look_over(self) -> Survey:
        """Walk through the pictures for their durations."""
        whole = inspect(self.path, sniff(self.path))
        if whole.cut and not self.allow_partial:
            raise self.refusal(whole.cut, GO_ON)
        with _opened(self) as image:
            size, remarks = self.header(image)
            milliseconds = [_duration(image) for _ in self._pages(image)]
        if len(milliseconds) == 1 and not whole.cut:
            return Survey(size, (Fraction(0),), None, remarks=remarks)
        begins = tuple(moment / 1000 for moment in accumulate([Fraction(0), *milliseconds]))
        if whole.cut:
            remarks += (whole.cut,)
        return Survey(size, begins[:-1], begins[-1], not self.allow_partial, remarks=remarks)

    def read(self) -> Generator[Picture, None, None]:
        """Yield the pictures; each is composed over black."""
        begins = Fraction(0)
        with _opened(self) as image:
            for page in self._pages(image):
                pixels = _over_black(page, self.rotate)
                yield Picture(begins, lambda pixels=pixels: pixels)  # type: ignore[misc]
                begins += _duration(image) / 1000

    def header(self, image: Any) -> tuple[Size, tuple[str, ...]]:
        """Give the size, upright, and what is to be remarked."""
        with _damage_named(self, 0):
            size = _upright(image) if self.rotate else Size(*image.size)
            return size, (_ALPHA,) if image.has_transparency_data else ()

    def _pages(self, image: Any) -> Iterator[Any]:
        """Turn the pages; a damaged one ends the film or is an error."""
        for number in count():
            try:
                with _damage_named(self, number):
                    image.seek(number)
                    image.load()
            except EOFError:
                return
            except SourceError as error:
                self.end_early(number, error)
                return
            yield image


@dataclass(frozen=True)
class Folder(Medium):
    """A folder of numbered pictures: frame 10 comes after frame 9, whatever the alphabet says."""

    def look_over(self) -> Survey:
        """Read the header of every picture: all must have one size."""
        files = self.files()
        if not files:
            raise self.refusal(
                "this folder holds no pictures (png, jpg)", "give a video file or such a folder"
            )
        remarks: dict[str, None] = {}
        first = None
        for file in files:
            still = self._still(file)
            with _opened(still) as image:
                size, notes = still.header(image)
            remarks.update(dict.fromkeys(notes))
            first = first or size
            if size != first:
                problem = f"{file.name} is {size}, and {files[0].name} is {first}"
                raise self.refusal(problem, "all pictures must have one size: resize or remove the odd one")
        assert first is not None
        begins = tuple(Fraction(number) for number in range(len(files)))
        return Survey(first, begins, None, remarks=(*_gaps(files), *remarks))

    def read(self) -> Generator[Picture, None, None]:
        """Yield the pictures in the order of their numbers."""
        for number, file in enumerate(self.files()):
            still = self._still(file)
            yield Picture(Fraction(number), lambda still=still: next(still.read()).render())  # type: ignore[misc]

    def files(self) -> list[Path]:
        """List the pictures in natural order."""
        try:
            found = [file for file in self.path.iterdir() if file.suffix.lower() in _SUFFIXES]
        except OSError as error:
            raise self.refusal(str(error.strerror).lower(), "allow reading the folder") from None
        return sorted((file for file in found if not file.name.startswith(".")), key=_natural)

    def _still(self, file: Path) -> Animation:
        if not sniff(file).is_picture:
            raise refuse(file, "not a picture, whatever its name says", "replace or remove it")
        return Animation(file, self.rotate, allow_partial=False, max_pixels=self.max_pixels)


@contextlib.contextmanager
def _opened(medium: Medium) -> Iterator[Any]:
    """Open a picture and check its size; its pixels stay undecoded."""
    from PIL import Image

    with _damage_named(medium, 0):
        image = Image.open(medium.path, formats=_FORMATS)
    with image:
        medium.check_size(Size(*image.size))
        yield image


@contextlib.contextmanager
def _damage_named(medium: Medium, number: int) -> Iterator[None]:
    """Turn whatever Pillow's parsers run into, from struct.error to IndexError, into one sentence."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Below Pillow's own limit our budget decides, and its message names the setting.
            warnings.simplefilter("ignore")
            yield
    except (EOFError, SourceError):
        raise
    except Image.DecompressionBombError:
        raise medium.refusal("the picture is far too large", "make it smaller") from None
    except Exception as error:
        raise medium.refusal(f"damaged near frame {number}", GO_ON) from error


def _duration(image: Any) -> Fraction:
    milliseconds = Fraction(image.info.get("duration") or 0).limit_denominator(1000)
    return milliseconds if milliseconds >= _SHORTEST_MS else Fraction(_USUAL_MS)


def _upright(image: Any) -> Size:
    """Give the size after the camera's own note on how it was held (EXIF 5 to 8 lie on the side)."""
    is_lying = _has_note(image) and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return Size(image.height, image.width) if is_lying else Size(*image.size)


def _has_note(image: Any) -> bool:
    # Cameras write jpegs; to look for a note in a png, Pillow would decode all of it.
    return image.format in ("JPEG", "MPO")


def _over_black(image: Any, rotate: bool) -> Pixels:
    import numpy as np
    from PIL import Image, ImageOps

    page = ImageOps.exif_transpose(image) if rotate and _has_note(image) else image
    if page.mode.startswith("I"):
        # Pillow would clip 16-bit grey at 255 instead of scaling it.
        grey = (np.asarray(page).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if page.has_transparency_data:
        black = Image.new("RGBA", page.size, (0, 0, 0, 255))
        page = Image.alpha_composite(black, page.convert("RGBA"))
    return np.array(page.convert("RGB"))


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort numbers in names by value: each piece is a number or a text."""
    pieces = re.split(r"(\d+)", file.name)
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces]


def _gaps(files: list[Path]) -> tuple[str, ...]:
    """Say where the numbers jump; ffmpeg would stop there without a word."""
    found = [re.findall(r"\d+", file.stem) for file in files]
    numbers = [int(digits[-1]) for digits in found if digits]
    if len(numbers) < len(files):
        return ()
    pairs = [(low, high) for low, high in pairwise(numbers) if high - low > 1]
    jumps = ", ".join(f"{low} -> {high}" for low, high in pairs[:3])
    more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
    return (f"the picture numbers jump {jumps}{more}",) if pairs else ()
