"""Animated pictures, stills and folders of numbered pictures, through Pillow."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import accumulate, islice, pairwise
from typing import IO, TYPE_CHECKING, Any

from vae_experiments.errors import SourceError, system_reason
from vae_experiments.sources.image_structure import list_pages, without_damage
from vae_experiments.sources.media_reader import GO_ON, MediaInfo, MediaReader
from vae_experiments.sources.paths import MOVING, Kind, refuse, sniff
from vae_experiments.sources.resize import Turn
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from vae_experiments.sources.image_structure import Pages
    from vae_experiments.tensors import Pixels

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".heif")
_AGAIN = "copy or download it again"
_ALPHA = "transparent parts are shown over black"
_UNTIMED = "frames that state no time, or next to none, last 0.1 s each, as in a browser"
# A gif has no checksums. Where bytes are lost or doubled, the data of a frame may run on into the next
# one, which is then gone, and Pillow stops at the last pixel: so it is watched how far it had to read.
_AHEAD, _PADDING = 32, 16
# EXIF 2.32, tag 274: where the first row and the first column of the stored picture belong.
_ORIENTATION = 274
_TURNS = {
    2: Turn(False, True, False),
    3: Turn(False, True, True),
    4: Turn(False, False, True),
    5: Turn(True, False, False),
    6: Turn(True, True, False),
    7: Turn(True, True, True),
    8: Turn(True, False, True),
}


class _Broken(SourceError):  # noqa: N818  said as every SourceError
    """A picture that cannot be decoded."""


@dataclass(frozen=True)
class Animation(MediaReader):
    """A gif, webp, png, jpeg or avif: one picture or many."""

    def look_over(self) -> MediaInfo:
        """Read the header, and from the file's structure how many frames there are, and when."""
        pages, size, remarks = self.header()
        *begins, end = accumulate([Fraction(0), *pages.durations])
        count, damage = self._readable(pages, begins) if self.allow_partial else (len(begins), "")
        if len(begins) == 1 and not pages.damage:
            return MediaInfo(size, (Fraction(0),), None, remarks=remarks)
        is_complete = count == len(begins) and not pages.damage
        end = end if count == len(begins) else begins[count]
        remarks += (damage,) if damage else ()
        return MediaInfo(size, tuple(begins[:count]), end, is_complete, remarks=remarks)

    def read(self) -> Generator[Callable[[], Pixels], None, None]:
        """Yield the pictures of the survey; each is composed over black."""
        media_info, pages = self.media_info(), self._pages()
        with _opened(self, pages) as (image, file):
            turn = self._turn(image, pages)
            for pixels in islice(self._decoded(image, file, pages), len(media_info.begins)):
                yield partial(turn.apply, pixels)

    def _readable(self, pages: Pages, begins: list[Fraction]) -> tuple[int, str]:
        """Count the frames that come before one that cannot be decoded, as far as they are asked for."""
        count = 0
        try:
            with _opened(self, pages) as (image, file):
                for _ in self._decoded(image, file, pages):
                    count += 1
                    if self.stretch.is_past(begins[:count]):
                        return count, ""
        except _Broken:
            if not count:
                raise
            return count, f"damaged near frame {count}; the {count} frames before it are used"
        return count, ""

    def header(self, check: bool = True) -> tuple[Pages, Size, tuple[str, ...]]:
        """Return the pages, their size, upright, and what is to be remarked; see ``list_pages``."""
        pages = self._pages(check)
        self.check_size(pages.canvas)
        with _opened(self, pages) as (image, _), _damage_named(self, 0):
            size = self._turn(image, pages).size(Size(*image.size))
            is_untimed = pages.untimed and len(pages.durations) > 1
            notes = {_ALPHA: image.has_transparency_data, _UNTIMED: is_untimed, pages.damage: pages.damage}
            return pages, size, tuple(note for note, applies in notes.items() if applies)

    def _pages(self, check: bool = True) -> Pages:
        """List the frames; damage is an error, or their end with ``allow_partial``."""
        with _damage_named(self, 0):
            pages = list_pages(self.path, sniff(self.path), check)
        if pages.damage and not (self.allow_partial and pages.durations):
            raise self.refusal(pages.damage, GO_ON if pages.durations else _AGAIN)
        return pages

    def _turn(self, image: Any, pages: Pages) -> Turn:
        return _held(image, pages.exif) if self.rotate else Turn()

    def _decoded(self, image: Any, file: IO[bytes], pages: Pages) -> Iterator[Pixels]:
        """Yield the frames as they are stored, over black.

        Raises:
            _Broken: the next one is damaged.
        """
        width, height = image.size  # a later frame of a gif may reach out of it
        is_gif = image.format == "GIF"
        if is_gif:
            image.decodermaxblock = _AHEAD
        for number in range(-pages.hidden, len(pages.durations)):
            with _damage_named(self, number):
                image.seek(number + pages.hidden)
                image.load()
                if is_gif and not -_AHEAD < pages.ends[number] - file.tell() <= _PADDING:
                    raise ValueError("its data do not end where its picture does")
                if number < 0:
                    # Pillow would show the first frame over it.
                    image.paste(0, (0, 0, width, height))
                    continue
                pixels = _over_black(image)[:height, :width]
            yield pixels


@dataclass(frozen=True)
class ImageFolder(MediaReader):
    """A folder of numbered pictures: frame 10 comes after frame 9, whatever the alphabet says."""

    def look_over(self) -> MediaInfo:
        """Read the header of every picture: all must have one size."""
        files = self.files()
        videos = any(file.suffix.lower() in MOVING and file.name[0] != "." for file in self.path.iterdir())
        each = "-m source=videos makes a job of each video in it"
        if not files:
            hint = each if videos else "give a video file or such a folder"
            raise self.refusal("this folder holds no pictures (png, jpg)", hint)
        remarks: dict[str, None] = (
            {f"only the pictures of this folder are read; {each}": None} if videos else {}
        )
        first = None
        for file in files:
            pages, size, notes = self._still(file).header(check=False)
            remarks.update(dict.fromkeys(notes))
            if len(pages.durations) > 1:
                remarks[f"{file.name} is animated; only its first frame is used"] = None
            first = first or size
            if size != first:
                problem = f"{file.name} is {size}, and {files[0].name} is {first}"
                raise self.refusal(problem, "all pictures must have one size: resize or remove the odd one")
        assert first is not None
        begins = tuple(Fraction(number) for number in range(len(files)))
        return MediaInfo(first, begins, None, remarks=(*_gaps(files), *remarks))

    def read(self) -> Generator[Callable[[], Pixels], None, None]:
        """Yield the pictures in the order of their numbers."""
        for file in self.files():
            still = self._still(file)
            yield lambda still=still: next(still.read())()  # type: ignore[misc]

    def files(self) -> list[Path]:
        """List the pictures in natural order.

        Raises:
            SourceError: one of them is no regular file; to open a pipe would wait for ever.
        """
        try:
            found = [file for file in self.path.iterdir() if file.suffix.lower() in _SUFFIXES]
        except OSError as error:
            raise self.refusal(system_reason(error), "allow reading the folder") from None
        files = sorted((file for file in found if not file.name.startswith(".")), key=_natural)
        for file in files:
            if not file.is_file():
                raise refuse(file, "not a regular file, though its name is a picture's", "remove it")
        return files

    def _still(self, file: Path) -> Animation:
        if not sniff(file).is_picture:
            raise refuse(file, "not a picture, whatever its name says", "replace or remove it")
        return Animation(file, self.rotate, allow_partial=False, max_pixels=self.max_pixels)


@contextlib.contextmanager
def _opened(reader: MediaReader, pages: Pages) -> Iterator[tuple[Any, IO[bytes]]]:
    """Open a picture and check its size; its pixels stay undecoded."""
    from PIL import Image, features

    kind = sniff(reader.path)
    if kind is Kind.AVIF and not features.check("avif"):
        raise reader.refusal("an AVIF, which the Pillow of this machine cannot read", "convert it to PNG")
    with _damage_named(reader, 0):
        is_mended = kind is Kind.WEBP and pages.damage
        content = without_damage(reader.path, pages) if is_mended else b""
        file = io.BytesIO(content) if is_mended else reader.path.open("rb")
    with file:
        with _damage_named(reader, 0):
            image: Any = Image.open(file, formats=[kind.name])
        reader.check_size(Size(*image.size))
        # Pillow would walk through a gif to count, and count the other pictures in a jpeg.
        if kind in (Kind.WEBP, Kind.PNG, Kind.AVIF) and not pages.damage:
            listed, found = pages.hidden + len(pages.durations), image.n_frames
            if listed != found:
                raise reader.refusal(f"damaged: it lists {listed} frames, {found} are readable", GO_ON)
        yield image, file


@contextlib.contextmanager
def _damage_named(reader: MediaReader, number: int) -> Iterator[None]:
    """Turn whatever Pillow's parsers run into, from struct.error to IndexError, into one sentence."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Below Pillow's own limit our budget decides, and its message names the setting.
            warnings.simplefilter("ignore")
            yield
    except SourceError:
        raise
    except Image.DecompressionBombError:
        raise reader.refusal("the picture is far too large", "make it smaller") from None
    except MemoryError:
        raise reader.refusal("one of its pictures does not fit into memory", "make it smaller") from None
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise reader.refusal(system_reason(error), "check the disk") from error
        hint = GO_ON if number > 0 else _AGAIN
        raise _Broken(*reader.refusal(f"damaged near frame {number}", hint).args) from error


def _held(image: Any, exif: bytes) -> Turn:
    """Return how to turn a picture by the camera's own note on how it was held; a broken note says nothing."""
    from PIL import Image

    orientation = 1
    with contextlib.suppress(Exception):
        note = Image.Exif()
        if image.format == "PNG":
            note.load(exif)  # Pillow would decode all of a png to look for it
        else:
            note = image.getexif()
        orientation = note.get(_ORIENTATION, 1)
    return _TURNS.get(orientation, Turn())


def _over_black(page: Any) -> Pixels:
    import numpy as np
    from PIL import Image

    if page.mode.startswith("I"):
        # Pillow would clip 16-bit grey at 255 instead of scaling it.
        values = np.asarray(page).astype(np.int64)
        grey = (values >> 8).clip(0, 255).astype(np.uint8)
        grey[values == page.info.get("transparency", -1)] = 0
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
    """Return where the numbers jump; ffmpeg would stop there without a word."""
    found = [re.findall(r"\d+", file.stem) for file in files]
    numbers = [int(digits[-1]) for digits in found if digits]
    if len(numbers) < len(files):
        return ()
    pairs = [(low, high) for low, high in pairwise(numbers) if high - low > 1]
    jumps = ", ".join(f"{low} -> {high}" for low, high in pairs[:3])
    more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
    return (f"the picture numbers jump {jumps}{more}",) if pairs else ()
