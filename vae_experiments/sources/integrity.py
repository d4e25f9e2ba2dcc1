"""Whether a video is whole, by its structure: a cut one often decodes in silence, only shorter."""

from __future__ import annotations

import io
import os
import struct
from typing import IO, TYPE_CHECKING, NamedTuple

from vae_experiments.sources.paths import SYNC_BYTE, Kind, packet_layout, refuse
from vae_experiments.sources.video_file.sample_tables import Fragments, contradicts_itself

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CUT = "the file is cut short: {expected} bytes should be there and {found} are"
_BROKEN = "damaged: what stands at byte {place} is no part of a video"
_TORN = "damaged: the fragment at byte {place} does not say where its frames are"
_UNKNOWN = "damaged: {name!r} is no part of a video in fragments"
_ASTRAY = "damaged: the index at byte {place} does not say where the frames are"
_NO_END = "the file is cut short: its end is missing"
_NO_LENGTH = "this kind of file carries no length: a missing end cannot be noticed"
_STREAMED = "the file states no length: a missing end cannot be noticed"
_LAST_PAGE = 4
_IN_A_FRAGMENTED_FILE = frozenset(
    b"ftyp moov styp sidx ssix prft emsg moof mdat imda mfra free skip wide uuid meta pdin udta".split()
)
_LAST_PART = 4 * 2**20
_LARGEST_INDEX = 64 * 2**20


class Integrity(NamedTuple):
    """What the structure says: ``cut`` is the sentence for a cut file, empty for a whole one.

    ``tear`` is one for damage that only whoever reads to the end must know: before it, the times of
    what follows leave a gap.
    """

    cut: str = ""
    remark: str = ""
    tear: str = ""


def inspect(path: Path, kind: Kind) -> Integrity:
    """Walk a file's structure to its end, without decoding anything.

    Raises:
        SourceError: the file was never finished, or is encrypted: no part of it can be read.
    """
    if kind not in _WALKS:
        return Integrity(remark=_NO_LENGTH)
    with path.open("rb") as file:
        return _WALKS[kind](path, file, os.fstat(file.fileno()).st_size)


def _walk_boxes(path: Path, file: IO[bytes], size: int) -> Integrity:
    """Follow the boxes of an mp4 or mov: they tile the file, and one of them is the index (moov)."""
    place, names, fragments, is_in_fragments = 0, list[bytes](), None, False
    while place < size:
        length, name = box(file, place, size)
        if not name:
            # Fragments come one after another: what is no box among them is a fragment that is damaged.
            if is_in_fragments:
                return Integrity(_NO_END if size - place < 8 else _BROKEN.format(place=place))
            break
        names.append(name)
        if name == b"moov":
            if is_in_fragments:
                return Integrity(_BROKEN.format(place=place))
            index = _part(file, place, min(length, size - place))
            # A protected video track is called encv, and its scheme stands in schm.
            if b"encv" in index and b"schm" in index:
                raise refuse(
                    path, "the video is encrypted (copy protection)", "use a copy without protection"
                )
            if contradicts_itself(index, size):
                raise refuse(path, "damaged: its index contradicts itself", "copy it again, or convert it")
            fragments, is_in_fragments = Fragments(index, size), b"mvex" in index
        if name == b"moof":
            is_in_fragments = True
            is_last = place + length >= size
            if not is_last and not (fragments and fragments.follow(place, _part(file, place, length))):
                return Integrity(_TORN.format(place=place))
        place += length
    if b"moov" not in names:
        raise refuse(path, "the file was not finished (no moov)", "record or copy it again")
    if place > size:
        return Integrity(_CUT.format(expected=place, found=size))
    strange = [name for name in names if name not in _IN_A_FRAGMENTED_FILE]
    if is_in_fragments and strange:
        return Integrity(_UNKNOWN.format(name=strange[0].decode("latin1")))
    if names[-1] == b"moof":
        return Integrity(_NO_END)
    rest = size - place
    return Integrity(remark=f"{rest} bytes follow the end of the video and are left out" if rest else "")


def box(file: IO[bytes], place: int, size: int) -> tuple[int, bytes]:
    """Read a box's length and name; the name is empty where no box stands."""
    header = _part(file, place, 16)
    length, name = int.from_bytes(header[:4], "big"), header[4:8]
    if length == 1:
        length = int.from_bytes(header[8:16], "big")
    elif length == 0:
        length = size - place
    is_box = len(name) == 4 and length >= 8 and all(32 <= byte < 127 or byte == 0xA9 for byte in name)
    return (length, name) if is_box else (0, b"")


def _part(file: IO[bytes], place: int, length: int) -> bytes:
    file.seek(place)
    return file.read(min(length, _LARGEST_INDEX))


_SEGMENT, _CLUSTER, _GROUP = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\xa0"
_TRACKS, _TRACK, _TRACK_NUMBER = b"\x16\x54\xae\x6b", b"\xae", b"\xd7"


def _elements(names: str) -> frozenset[bytes]:
    return frozenset(map(bytes.fromhex, names.split()))


_BLOCKS = _elements("a3 a1 af")
_NUMBERS = _elements("e7 a7 ab 9b fa fb")
"""Times, positions and sizes: 8 bytes at most."""
_ANYWHERE = _elements("ec bf")  # filling, and a checksum
_IN_A_SEGMENT = _elements("1654ae6b 1f43b675 114d9b74 1549a966 1c53bb6b 1941a469 1043a770 1254c367")
_CHILDREN = {
    _SEGMENT: _IN_A_SEGMENT | _ANYWHERE,
    _CLUSTER: _elements("e7 a7 ab 5854 a3 af a0") | _ANYWHERE,
    _GROUP: _elements("a1 9b fa fb fd a4 a2 8e 75a1 75a2 c8") | _ANYWHERE,
}


def _walk_matroska(_: Path, file: IO[bytes], size: int) -> Integrity:
    """Follow the elements of a mkv or webm: they tile its one segment (RFC 9559).

    FFmpeg passes over those that it does not know.
    """
    name, begin, length = _element(file, 0)
    while name != _SEGMENT and length is not None and begin + length < size:
        name, begin, length = _element(file, begin + length)
    if name != _SEGMENT:
        return Integrity(_NO_END)
    end = size if length is None else begin + length
    if end > size:
        return Integrity(_CUT.format(expected=end, found=size))
    elements = _Elements(file)
    try:
        elements.follow(_SEGMENT, begin, end)
    except _TornError as torn:
        return Integrity(tear=_BROKEN.format(place=torn))
    return Integrity(remark=_STREAMED if length is None or elements.is_streamed else "")


class _TornError(Exception):
    """At this byte stands an element that may not, or one that is longer than what encloses it."""


class _Elements:
    """Walks a segment; what the decoder reads of its blocks is not looked at."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._tracks = file, set[int]()
        self.is_streamed = False
        """Whether a cluster does not state its length."""

    def follow(self, parent: bytes, place: int, end: int, is_open: bool = False) -> int:
        """Follow what is in an element to its end, and return where that is: what encloses an open one knows it.

        Raises:
            _TornError: its elements do not tile it.
        """
        while place < end:
            name, begin, length = _element(self._file, place)
            if is_open and name in _IN_A_SEGMENT:
                break  # what follows a cluster without a length ends it
            after = end if length is None and name == _CLUSTER else begin + (length or 0)
            if name not in _CHILDREN[parent] or after > end or (name in _NUMBERS and after > begin + 8):
                raise _TornError(place)
            if name in _BLOCKS and _read_number(_part(self._file, begin, 8))[0] not in self._tracks:
                raise _TornError(place)
            if name in _CHILDREN:
                self.is_streamed |= length is None
                after = self.follow(name, begin, after, is_open=length is None)
            elif name == _TRACKS:
                self._tracks = {*_track_numbers(_part(self._file, begin, after - begin))}
            place = after
        return place


def _element(file: IO[bytes], place: int) -> tuple[bytes, int, int | None]:
    """Return an element's name, where its content begins, and its length; the name is empty at the end."""
    header = _part(file, place, 12)
    name = header[: _leading_zeros(header[:1]) + 1]
    length, count = _read_number(header[len(name) :])
    # All ones means unknown.
    return name, place + len(name) + count, None if length == (1 << 7 * count) - 1 else length


def _read_number(start: bytes) -> tuple[int, int]:
    """Return a number whose first zeros tell how many bytes it has, and how many these are."""
    count = _leading_zeros(start[:1]) + 1
    return int.from_bytes(start[:count], "big") & (1 << 7 * count) - 1, count


def _leading_zeros(byte: bytes) -> int:
    return 8 - byte[0].bit_length() if byte and byte[0] else 7


def _track_numbers(tracks: bytes) -> Iterator[int]:
    place = 0
    while place < len(tracks):
        name, begin, length = _element(io.BytesIO(tracks), place)
        after = begin + (length or 0)
        if name == _TRACK_NUMBER:
            yield int.from_bytes(tracks[begin:after], "big")
        # A track's elements follow its head, and those of the next one follow these.
        place = begin if name == _TRACK else after


def _walk_riff(path: Path, file: IO[bytes], size: int) -> Integrity:
    """Follow the RIFF chunks of an avi, and in their lists of frames every chunk: they tile the list.

    Long videos have several RIFF chunks. Microsoft's "AVI RIFF File Reference", and OpenDML 1.02.
    """
    place, great_end, movie_end, streams = 0, 0, 0, 0
    chunks: list[int] = []  # where the chunks of the movie begin
    while place + 8 <= size:
        name, length, form = struct.unpack("<4sI4s", _part(file, place, 12).ljust(12))
        end = place + 8 + length + length % 2
        if place >= great_end:
            if name != b"RIFF":
                break
            if length in (0, 0xFFFFFFFF):
                raise refuse(path, "the file was not finished (no length)", "record or copy it again")
            # The last padding byte is often left out.
            if end - length % 2 > size:
                return Integrity(_CUT.format(expected=end, found=size))
            place, great_end = place + 12, end
        elif name == b"LIST" and form in (b"movi", b"rec "):
            chunks += [place] * (form == b"rec ")
            place, movie_end = place + 12, max(end, movie_end)
        else:
            if form == b"hdrl":
                streams = _part(file, place, length).count(b"strh")
            if name == b"idx1" and length and _points_beside(_part(file, place + 8, length), chunks):
                return Integrity(_ASTRAY.format(place=place))
            if place < movie_end:
                if not _belongs_to_a_movie(name, streams) or end - length % 2 > movie_end:
                    return Integrity(_BROKEN.format(place=place))
                chunks.append(place)
            place = end
    return Integrity()


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


def _walk_pages(_: Path, file: IO[bytes], size: int) -> Integrity:
    """Follow the pages of an ogg: they tile the file, each stream numbers its own, and the last one says so.

    RFC 3533, section 6.
    """
    place, flags = 0, 0
    numbers: dict[bytes, int] = {}
    while place < size:
        header = _part(file, place, 27 + 255)
        if header[:4] != b"OggS"[: size - place]:
            return Integrity(tear=_BROKEN.format(place=place))
        lengths = header[27 : 27 + header[26]] if len(header) > 26 else b""
        end = place + 27 + len(lengths) + sum(lengths)
        if len(header) < 27 or len(lengths) < header[26] or end > size:
            return Integrity(_NO_END)
        flags, stream, number = header[5], header[14:18], int.from_bytes(header[18:22], "little")
        if numbers.get(stream, number - 1) != number - 1:
            return Integrity(tear=_BROKEN.format(place=place))
        numbers[stream], place = number, end
    return Integrity("" if flags & _LAST_PAGE else _NO_END)


def _find_lost_packets(_: Path, file: IO[bytes], size: int) -> Integrity:
    """Look for the byte that begins each packet in the last part of a transport stream.

    What is lost before it leaves a gap that the decoder meets; what is lost there is only a missing end.
    """
    layout = packet_layout(file.read(4096))
    assert layout, "it was told by them"
    place, length = layout
    place += max(0, size - place - _LAST_PART) // length * length
    firsts = _part(file, place, size)[::length]
    strange = [number for number, first in enumerate(firsts) if first != SYNC_BYTE]
    if strange:
        return Integrity(tear=_BROKEN.format(place=place + strange[0] * length))
    return Integrity(remark=_NO_LENGTH)


def _measure_flv(_: Path, file: IO[bytes], size: int) -> Integrity:
    """Compare the length that an flv's metadata state, if they do, with the file's."""
    found, rest = _part(file, 0, 4096).partition(b"filesize\0")[1:]
    (length,) = struct.unpack(">d", rest[:8]) if found and len(rest) >= 8 else (0.0,)
    if not 0 < length < 2**53:
        return Integrity(remark=_NO_LENGTH)
    return Integrity(_CUT.format(expected=int(length), found=size) if length > size else "")


_WALKS = {
    Kind.MP4: _walk_boxes,
    Kind.MATROSKA: _walk_matroska,
    Kind.AVI: _walk_riff,
    Kind.OGG: _walk_pages,
    Kind.FLV: _measure_flv,
    Kind.TRANSPORT: _find_lost_packets,
}
