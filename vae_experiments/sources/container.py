"""Whether a file is whole, by its structure: a cut one often decodes in silence, only shorter."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, NamedTuple

from vae_experiments.sources.locating import refuse
from vae_experiments.sources.sample_tables import contradicts_itself
from vae_experiments.sources.sniffing import Kind

if TYPE_CHECKING:
    from pathlib import Path

_CUT = "the file is cut short: {expected} bytes should be there and {found} are"
_BROKEN = "damaged: what stands at byte {place} is no part of a film"
_NO_END = "the file is cut short: its end is missing"
_LARGEST_INDEX = 64 * 2**20


class Wholeness(NamedTuple):
    """What the structure says: ``cut`` is the sentence for a cut file, empty for a whole one."""

    cut: str = ""
    remark: str = ""


def inspect(path: Path, kind: Kind) -> Wholeness:
    """Walk a file's structure to its end, without decoding anything.

    Raises:
        SourceError: the file was never finished, or is encrypted: no part of it can be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if kind is Kind.MP4:
            return _walk_boxes(path, file, size)
        if kind is Kind.MATROSKA:
            return _measure_matroska(file, size)
        if kind in (Kind.AVI, Kind.WEBP):
            return _walk_riff(path, file, size)
        if kind in (Kind.GIF, Kind.PNG):
            return _find_trailer(file, size, kind)
    if kind is Kind.JPEG:
        return Wholeness()
    return Wholeness(remark="this kind of file carries no length: a missing end cannot be noticed")


def _walk_boxes(path: Path, file: IO[bytes], size: int) -> Wholeness:
    """Follow the boxes of an mp4 or mov: they tile the file, and one of them is the index (moov)."""
    place, boxes = 0, []
    wholeness = Wholeness()
    while place < size:
        length, name = _box(file, place, size)
        if not name:
            # Fragments come one after another: what is no box among them is a fragment that is damaged.
            if b"moof" in boxes:
                wholeness = Wholeness(cut=_NO_END if size - place < 8 else _BROKEN.format(place=place))
            else:
                wholeness = Wholeness(
                    remark=f"{size - place} bytes follow the end of the film and are left out"
                )
            break
        boxes.append(name)
        if name == b"moov":
            index = _index(file, place, min(length, size - place))
            # A protected video track is called encv, and its scheme stands in schm.
            if b"encv" in index and b"schm" in index:
                raise refuse(path, "the film is encrypted (copy protection)", "use a copy without protection")
            if contradicts_itself(index):
                raise refuse(path, "damaged: its index contradicts itself", "copy it again, or convert it")
        if place + length > size:
            wholeness = Wholeness(cut=_CUT.format(expected=place + length, found=size))
        place += length
    if b"moov" not in boxes:
        raise refuse(path, "the file was not finished (no moov)", "record or copy it again")
    if boxes[-1] == b"moof" and not wholeness.cut:
        wholeness = Wholeness(cut=_NO_END)
    return wholeness


def _box(file: IO[bytes], place: int, size: int) -> tuple[int, bytes]:
    """Read a box's length and name; the name is empty where no box stands."""
    file.seek(place)
    header = file.read(16)
    length, name = int.from_bytes(header[:4], "big"), header[4:8]
    if length == 1:
        length = int.from_bytes(header[8:16], "big")
    elif length == 0:
        length = size - place
    is_box = len(name) == 4 and length >= 8 and all(32 <= byte < 127 or byte == 0xA9 for byte in name)
    return (length, name) if is_box else (0, b"")


def _index(file: IO[bytes], place: int, length: int) -> bytes:
    file.seek(place)
    return file.read(min(length, _LARGEST_INDEX))


def _measure_matroska(file: IO[bytes], size: int) -> Wholeness:
    """Compare the length of a mkv's or webm's one great segment with the file's."""
    place = 0
    while place < size:
        file.seek(place)
        header = file.read(12)
        name_length = _leading_zeros(header[:1]) + 1
        length_length = _leading_zeros(header[name_length : name_length + 1]) + 1
        length = int.from_bytes(header[name_length : name_length + length_length], "big")
        length &= (1 << 7 * length_length) - 1
        end = place + name_length + length_length + length
        if header[:4] == b"\x18\x53\x80\x67":
            # All ones means unknown: a recording that was streamed, not a mistake.
            if length == (1 << 7 * length_length) - 1:
                return Wholeness(remark="the file states no length: a missing end cannot be noticed")
            return Wholeness(_CUT.format(expected=end, found=size) if end > size else "")
        place = end
    return Wholeness(cut=_NO_END)


def _leading_zeros(byte: bytes) -> int:
    return 8 - byte[0].bit_length() if byte and byte[0] else 7


def _walk_riff(path: Path, file: IO[bytes], size: int) -> Wholeness:
    """Follow the great chunks of an avi or webp; long avis have several."""
    place = 0
    while place + 8 <= size:
        file.seek(place)
        header = file.read(8)
        if header[:4] != b"RIFF":
            break
        length = int.from_bytes(header[4:], "little")
        if length in (0, 0xFFFFFFFF):
            raise refuse(path, "the file was not finished (no length)", "record or copy it again")
        place += 8 + length + length % 2
        # The last padding byte is often left out.
        if place - length % 2 > size:
            return Wholeness(cut=_CUT.format(expected=place, found=size))
    return Wholeness()


def _find_trailer(file: IO[bytes], size: int, kind: Kind) -> Wholeness:
    """Look for the mark that ends a gif or png; zeros after it are some disks' padding."""
    file.seek(max(size - 4096, 0))
    tail = file.read().rstrip(b"\0\r\n")
    if kind is Kind.GIF:
        return Wholeness(cut="" if tail.endswith(b";") else _NO_END)
    return Wholeness(cut="" if b"IEND\xae\x42\x60" in tail else _NO_END)
