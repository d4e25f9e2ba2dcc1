"""Whether a video is whole, by its structure: a cut one often decodes in silence, only shorter."""

from __future__ import annotations

import os
import struct
from typing import IO, TYPE_CHECKING, NamedTuple

from vae_experiments.sources.paths import SYNC_BYTE, Kind, packet_layout, refuse
from vae_experiments.sources.video_file.matroska import Elements, TornError, segment
from vae_experiments.sources.video_file.sample_tables import Fragments, contradicts_itself

if TYPE_CHECKING:
    from pathlib import Path

_CUT = "the file is cut short: {expected} bytes should be there and {found} are"
_BROKEN = "damaged: what stands at byte {place} is no part of a video"
_TORN = "damaged: the fragment at byte {place} does not say where its frames are"
_UNKNOWN = "damaged: {name!r} is no part of a video in fragments"
_ASTRAY = "damaged: the index at byte {place} does not say where the frames are"
_NO_END = "the file is cut short: its end is missing"
_NO_LENGTH = "this kind of file carries no length: a missing end cannot be noticed"
_LAST_PAGE = 4
_IN_A_FRAGMENTED_FILE = frozenset(
    b"ftyp moov styp sidx ssix prft emsg moof mdat imda mfra free skip wide uuid meta pdin udta".split()
)
_LAST_PART = 4 * 2**20
_LARGEST_INDEX = 64 * 2**20


class Wholeness(NamedTuple):
    """What the structure says: ``cut`` is the sentence for a cut file, empty for a whole one.

    ``tear`` is one for damage that only whoever reads to the end must know: before it, the times of
    what follows leave a gap.
    """

    cut: str = ""
    remark: str = ""
    tear: str = ""


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
            return _walk_matroska(file, size)
        if kind is Kind.AVI:
            return _walk_riff(path, file, size)
        if kind is Kind.OGG:
            return _walk_pages(file, size)
        if kind is Kind.FLV:
            return _measure_flv(file, size)
        if kind is Kind.TRANSPORT:
            return _find_lost_packets(file, size)
    return Wholeness(remark=_NO_LENGTH)


def _walk_boxes(path: Path, file: IO[bytes], size: int) -> Wholeness:
    """Follow the boxes of an mp4 or mov: they tile the file, and one of them is the index (moov)."""
    place, boxes = 0, []
    wholeness, fragments, is_in_fragments = Wholeness(), None, False
    while place < size:
        length, name = box(file, place, size)
        if not name:
            # Fragments come one after another: what is no box among them is a fragment that is damaged.
            wholeness = Wholeness(remark=f"{size - place} bytes follow the end of the video and are left out")
            if is_in_fragments:
                wholeness = Wholeness(cut=_NO_END if size - place < 8 else _BROKEN.format(place=place))
            break
        boxes.append(name)
        is_in_fragments |= name == b"moof"
        if name == b"moov":
            if is_in_fragments:
                return Wholeness(cut=_BROKEN.format(place=place))
            index = _index(file, place, min(length, size - place))
            _check_index(path, index, size)
            fragments, is_in_fragments = Fragments(index, size), b"mvex" in index
        if name == b"moof" and place + length < size:
            fragment = _index(file, place, length)
            if fragments is None or fragments.are_torn_at(place, fragment):
                return Wholeness(cut=_TORN.format(place=place))
        if place + length > size:
            wholeness = Wholeness(cut=_CUT.format(expected=place + length, found=size))
        place += length
    if b"moov" not in boxes:
        raise refuse(path, "the file was not finished (no moov)", "record or copy it again")
    if is_in_fragments and not (_IN_A_FRAGMENTED_FILE.issuperset(boxes) or wholeness.cut):
        wholeness = Wholeness(
            cut=_UNKNOWN.format(name=next(iter({*boxes} - _IN_A_FRAGMENTED_FILE)).decode("latin1"))
        )
    if boxes[-1] == b"moof" and not wholeness.cut:
        wholeness = Wholeness(cut=_NO_END)
    return wholeness


def _check_index(path: Path, index: bytes, size: int) -> None:
    # A protected video track is called encv, and its scheme stands in schm.
    if b"encv" in index and b"schm" in index:
        raise refuse(path, "the video is encrypted (copy protection)", "use a copy without protection")
    if contradicts_itself(index, size):
        raise refuse(path, "damaged: its index contradicts itself", "copy it again, or convert it")


def box(file: IO[bytes], place: int, size: int) -> tuple[int, bytes]:
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


def _walk_matroska(file: IO[bytes], size: int) -> Wholeness:
    """Follow the elements of a mkv or webm: they tile its one great segment."""
    found = segment(file, size)
    if found is None:
        return Wholeness(cut=_NO_END)
    begin, length = found
    end = size if length is None else begin + length
    if end > size:
        return Wholeness(cut=_CUT.format(expected=end, found=size))
    elements = Elements(file)
    try:
        elements.walk(begin, end)
    except TornError as torn:
        return Wholeness(tear=_BROKEN.format(place=torn.place))
    is_streamed = length is None or elements.is_streamed
    return Wholeness(
        remark="the file states no length: a missing end cannot be noticed" if is_streamed else ""
    )


def _walk_riff(path: Path, file: IO[bytes], size: int) -> Wholeness:
    """Follow the great chunks of an avi, and in their lists of frames every chunk: they tile the list.

    Long videos have several great chunks. Microsoft's "AVI RIFF File Reference", and OpenDML 1.02.
    """
    place, great_end, movie_end, streams = 0, 0, 0, 0
    chunks: list[int] = []  # where the chunks of the movie begin
    while place + 8 <= size:
        file.seek(place)
        header = file.read(12)
        name, length, form = header[:4], int.from_bytes(header[4:8], "little"), header[8:]
        end = place + 8 + length + length % 2
        if place >= great_end:
            if name != b"RIFF":
                break
            if length in (0, 0xFFFFFFFF):
                raise refuse(path, "the file was not finished (no length)", "record or copy it again")
            # The last padding byte is often left out.
            if end - length % 2 > size:
                return Wholeness(cut=_CUT.format(expected=end, found=size))
            place, great_end = place + 12, end
        elif name == b"LIST" and form in (b"movi", b"rec "):
            chunks += [place] * (form == b"rec ")
            place, movie_end = place + 12, max(end, movie_end)
        else:
            if form == b"hdrl":
                streams = _index(file, place, length).count(b"strh")
            if name == b"idx1" and length and _points_beside(_index(file, place + 8, length), chunks):
                return Wholeness(cut=_ASTRAY.format(place=place))
            if place < movie_end:
                if not _belongs_to_a_movie(name, streams) or end - length % 2 > movie_end:
                    return Wholeness(cut=_BROKEN.format(place=place))
                chunks.append(place)
            place = end
    return Wholeness()


def _belongs_to_a_movie(name: bytes, streams: int) -> bool:
    """Whether a chunk is one of a stream (00dc), an index of one (ix00), or filling."""
    number = name[2:] if name[:2] == b"ix" else name[:2]
    return name == b"JUNK" or (number.isdigit() and int(number) < streams and name.isalnum())


def _points_beside(index: bytes, chunks: list[int]) -> bool:
    """Whether an entry of an avi's index is no chunk of the movie, or one that stood there already.

    Writers count from different places, so the first entry is the measure of the others.
    """
    entries = [place for _, _, place, _ in struct.iter_unpack("<4sIII", index[: len(index) // 16 * 16])]
    movie = set(chunks)
    return len({*entries}) < len(entries) or not any(
        movie.issuperset(place - entries[0] + first for place in entries) for first in chunks[:100]
    )


def _walk_pages(file: IO[bytes], size: int) -> Wholeness:
    """Follow the pages of an ogg: they tile the file, each stream numbers its own, and the last one says so.

    RFC 3533, section 6.
    """
    place, flags = 0, 0
    numbers: dict[bytes, int] = {}
    while place < size:
        file.seek(place)
        header = file.read(27 + 255)
        if header[:4] != b"OggS"[: size - place]:
            return Wholeness(tear=_BROKEN.format(place=place))
        lengths = header[27 : 27 + header[26]] if len(header) > 26 else b""
        end = place + 27 + len(lengths) + sum(lengths)
        if len(header) < 27 or len(lengths) < header[26] or end > size:
            return Wholeness(cut=_NO_END)
        flags, stream, number = header[5], header[14:18], int.from_bytes(header[18:22], "little")
        if numbers.get(stream, number - 1) != number - 1:
            return Wholeness(tear=_BROKEN.format(place=place))
        numbers[stream], place = number, end
    return Wholeness(cut="" if flags & _LAST_PAGE else _NO_END)


def _find_lost_packets(file: IO[bytes], size: int) -> Wholeness:
    """Look for the byte that begins each packet in the last part of a transport stream.

    What is lost before it leaves a gap that the decoder meets; what is lost there is only a missing end.
    """
    layout = packet_layout(file.read(4096))
    assert layout, "it was told by them"
    place, length = layout
    place += max(0, size - place - _LAST_PART) // length * length
    file.seek(place)
    firsts = file.read()[::length]
    if firsts.strip(bytes([SYNC_BYTE])):
        number = next(number for number, first in enumerate(firsts) if first != SYNC_BYTE)
        return Wholeness(tear=_BROKEN.format(place=place + number * length))
    return Wholeness(remark=_NO_LENGTH)


def _measure_flv(file: IO[bytes], size: int) -> Wholeness:
    """Compare the length that an flv's metadata state, if they do, with the file's."""
    file.seek(0)
    _, found, rest = file.read(4096).partition(b"filesize\0")
    (length,) = struct.unpack(">d", rest[:8]) if found and len(rest) >= 8 else (0.0,)
    if not 0 < length < 2**53:
        return Wholeness(remark=_NO_LENGTH)
    return Wholeness(_CUT.format(expected=int(length), found=size) if length > size else "")
