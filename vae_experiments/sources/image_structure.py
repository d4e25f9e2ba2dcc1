"""The pages of a picture file as its own structure lists them; nothing is decoded.

Pillow ends an animation without a word where it does not understand what follows, and rounds times
to milliseconds: how many frames there must be, and how long each one lasts, is read here.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, field
from fractions import Fraction
from typing import IO, TYPE_CHECKING

from vae_experiments.sources.integrity import box
from vae_experiments.sources.paths import Kind
from vae_experiments.sources.video_file.sample_tables import boxes
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_NO_END = "the file is cut short: its end is missing"
_PIECE = 2**20
_PADDING = b"\0\r\n"
# Browsers show a frame that states no time, and in a gif one of 10 ms at most, for so long.
_USUAL = Fraction(1, 10)
_SHORTEST_GIF = Fraction(1, 50)
_UNKNOWN = Size(0, 0)


class _Damage(Exception):  # noqa: N818  it ends a walk and becomes a sentence
    """The structure breaks off."""


@dataclass
class Pages:
    """What the structure of a picture says: the frames that are whole, up to the first damage."""

    durations: list[Fraction] = field(default_factory=list)
    """How long each whole frame is shown, in seconds."""
    damage: str = ""
    """What is wrong after those frames; empty where nothing is."""
    is_animated: bool = False
    """Whether the header of a png or webp says that frames follow."""
    hidden: int = 0
    """How many pages stand before the first frame: the default image of an APNG may be no frame."""
    canvas: Size = _UNKNOWN
    """How much room the frames take: those of a gif may reach out of the size that it states."""
    exif: bytes = b""
    """A png's block of EXIF, which may stand anywhere in the file."""
    ends: list[int] = field(default_factory=list)
    """Where the data of each frame of a gif or webp end in the file, in bytes."""
    untimed: int = 0
    """How many frames state no time to speak of."""

    def add(self, stated: Fraction, shortest: Fraction = Fraction(0)) -> None:
        """Add a frame by the time it states; one that is too short to be meant lasts as in a browser."""
        is_meant = stated > 0 and stated >= shortest
        self.untimed += not is_meant
        self.durations.append(stated if is_meant else _USUAL)


def list_pages(path: Path, kind: Kind, check: bool = True) -> Pages:
    """Walk through a picture's structure; without ``check``, the pixels of a png stay unread.

    Raises:
        OSError: the disk fails.
    """
    pages = Pages()
    with path.open("rb") as file:
        try:
            if kind is Kind.PNG:
                _walk_png(file, pages, check)
            elif kind in _WALKS:
                _WALKS[kind](file, pages)
            else:
                pages.durations.append(_USUAL)  # a jpeg may hold other pictures, but it shows one
        except _Damage as damage:
            pages.damage = str(damage)
    return pages


def without_damage(path: Path, pages: Pages) -> bytes:
    """Return the bytes of a webp up to the end of its last whole frame; libwebp takes no file that is cut."""
    end = pages.ends[-1]
    with path.open("rb") as file:
        content = file.read(end)
    return content[:4] + struct.pack("<I", end - 8) + content[8:]


def _take(file: IO[bytes], count: int) -> bytes:
    taken = file.read(count)
    if len(taken) < count:
        raise _Damage(_NO_END)
    return taken


def _near(pages: Pages) -> _Damage:
    return _Damage(f"damaged near frame {len(pages.durations)}")


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _walk_gif(file: IO[bytes], pages: Pages) -> None:
    """Follow the blocks of a gif: extensions and pictures, each a chain of short pieces."""
    header = _take(file, 13)
    _skip_colours(file, header[10])
    width, height = struct.unpack("<HH", header[6:10])
    hundredths = 0
    while (mark := _mark(file)) != b";":
        if mark == b",":
            left, top, wide, high, flags = struct.unpack("<HHHHB", _take(file, 9))
            _skip_colours(file, flags)
            _take(file, 1)
            _skip_chain(file)
            pages.add(Fraction(hundredths, 100), _SHORTEST_GIF)
            pages.ends.append(file.tell())
            width, height, hundredths = max(width, left + wide), max(height, top + high), 0
            pages.canvas = Size(width, height)
        elif mark == b"!":
            label = _take(file, 1)
            control = _skip_chain(file)
            if label == b"\xf9" and len(control) >= 4:
                hundredths = int.from_bytes(control[1:3], "little")
        else:
            raise _near(pages)
    # A mark of the end in the middle is none: bytes are lost or doubled before it.
    rest = file.read().rstrip(_PADDING)
    if rest.endswith(b";") or not pages.durations:
        raise _near(pages)


def _mark(file: IO[bytes]) -> bytes:
    """Read what kind of block follows; some writers end a block twice."""
    mark = _take(file, 1)
    return _take(file, 1) if mark == b"\0" else mark


def _skip_colours(file: IO[bytes], flags: int) -> None:
    if flags & 0x80:
        _take(file, 3 << (flags & 7) + 1)


def _skip_chain(file: IO[bytes]) -> bytes:
    """Skip a chain of pieces, each with its length before it, and give the first one."""
    first = None
    while length := _take(file, 1)[0]:
        piece = _take(file, length)
        first = piece if first is None else first
    return first or b""


def _walk_png(file: IO[bytes], pages: Pages, check: bool) -> None:
    """Follow the chunks of a png, each with a checksum; an APNG numbers its own."""
    _take(file, 8)
    listed, sequence, pending, has_data = 0, 0, None, False
    for name, content in _chunks(file, pages, check):
        if name == b"acTL" and not has_data:
            listed = int.from_bytes(content[:4], "big")
            pages.is_animated = listed > 0
        elif name == b"eXIf":
            pages.exif = content
        elif name in (b"fcTL", b"fdAT") and pages.is_animated:
            if int.from_bytes(content[:4], "big") != sequence:
                raise _near(pages)
            sequence += 1
        elif name == b"IDAT" and not has_data:
            has_data = True
            pages.hidden = int(pages.is_animated and pending is None)
        if pending is not None and name in (b"fcTL", b"IEND"):
            pages.add(pending)
            pending = None
        if name == b"fcTL" and pages.is_animated:
            if len(content) < 26:
                raise _near(pages)
            numerator, denominator = struct.unpack(">HH", content[20:24])
            pending = Fraction(numerator, denominator or 100)
    if not pages.is_animated and has_data:
        pages.durations.append(_USUAL)
    elif len(pages.durations) != listed or not has_data:
        raise _Damage(f"damaged: it lists {listed} frames, {len(pages.durations)} are readable")


def _chunks(file: IO[bytes], pages: Pages, check: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of a png to its end, by name, with the first bytes of what they hold.

    Raises:
        _Damage: a checksum is wrong.
    """
    name = b""
    while name != b"IEND":
        length, name = struct.unpack(">I4s", _take(file, 8))
        if not check and name == b"IDAT":
            file.seek(length + 4, os.SEEK_CUR)
            yield name, b""
            continue
        first = _take(file, min(length, _PIECE))
        checksum = zlib.crc32(first, zlib.crc32(name))
        for done in range(_PIECE, length, _PIECE):
            checksum = zlib.crc32(_take(file, min(length - done, _PIECE)), checksum)
        if int.from_bytes(_take(file, 4), "big") != checksum:
            raise _near(pages)
        yield name, first


def _walk_webp(file: IO[bytes], pages: Pages) -> None:
    """Follow the chunks of a webp: they tile what it says is its length, and each frame is one."""
    stated = 8 + struct.unpack("<4sI4s", _take(file, 12))[1]
    size = _size(file)
    while (place := file.tell()) + 8 <= min(stated, size):
        name, length = struct.unpack("<4sI", _take(file, 8))
        first = _take(file, min(length, 24))
        if place + 8 + length > stated or not _is_webp_chunk(name, first, pages):
            raise _near(pages)
        if place + 8 + length > size:
            raise _Damage(_NO_END)
        end = place + 8 + length
        if name == b"VP8X":
            pages.is_animated = bool(first[0] & 2)
            pages.canvas = Size(*(int.from_bytes(first[at : at + 3], "little") + 1 for at in (4, 7)))
        elif name in (b"ANMF", b"VP8 ", b"VP8L"):
            is_frame = name == b"ANMF"
            pages.add(Fraction(int.from_bytes(first[12:15], "little"), 1000) if is_frame else _USUAL)
            pages.ends.append(end)
        file.seek(end + length % 2)
    # The last padding byte is often left out.
    if size + 1 < stated or not pages.durations:
        raise _Damage(f"the file is cut short: {stated} bytes should be there and {size} are")
    file.seek(stated)
    rest = len(file.read().strip(_PADDING))
    if rest:
        raise _Damage(f"damaged: it says that it ends after {stated} bytes, and {size} are there")


def _is_webp_chunk(name: bytes, first: bytes, pages: Pages) -> bool:
    """Whether a chunk may stand where it does: a name that is damaged would hide its frame."""
    if name == b"ANMF":
        return pages.is_animated and len(first) == 24
    if name in (b"VP8 ", b"VP8L", b"ALPH"):
        return not pages.is_animated and not pages.durations
    if name == b"VP8X":
        return len(first) == 10 and not pages.durations
    is_frame = first[16:20] in (b"VP8 ", b"VP8L", b"ALPH")
    return all(32 <= byte < 127 for byte in name) and not is_frame


def _walk_avif(file: IO[bytes], pages: Pages) -> None:
    """Follow the boxes of an AVIF; the times of an animated one stand in the table of its track."""
    size, place, index = _size(file), 0, b""
    while place < size:
        length, name = box(file, place, size)
        if not name or place + length > size:
            raise _Damage(_NO_END)
        if name == b"moov":
            file.seek(place + 8)
            index = file.read(length - 8)
        place += length
    file.seek(8)
    if file.read(4) != b"avis":
        pages.durations.append(_USUAL)
        return
    try:
        scale, table = _timetable(index)
        for count, ticks in struct.iter_unpack(">II", table):
            # Each frame takes bytes: a table of more frames than these is not to be believed.
            if count > size - len(pages.durations):
                raise _near(pages)
            for _ in range(count):
                pages.add(Fraction(ticks, scale))
    except (KeyError, IndexError, struct.error, ZeroDivisionError):
        raise _near(pages) from None


def _timetable(index: bytes) -> tuple[int, bytes]:
    """Find how many ticks a second has, and pairs of how many frames last how many ticks."""
    for name, track in boxes(index):
        media = dict(boxes(dict(boxes(track))[b"mdia"])) if name == b"trak" else {}
        if media.get(b"hdlr", b"")[8:12] == b"pict":
            clock = media[b"mdhd"]
            scale = int.from_bytes(clock[20:24] if clock[0] else clock[12:16], "big")
            table = dict(boxes(dict(boxes(media[b"minf"]))[b"stbl"]))[b"stts"]
            return scale, table[8 : 8 + 8 * int.from_bytes(table[4:8], "big")]
    raise KeyError(b"pict")


_WALKS: dict[Kind, Callable[[IO[bytes], Pages], None]] = {
    Kind.GIF: _walk_gif,
    Kind.WEBP: _walk_webp,
    Kind.AVIF: _walk_avif,
}
