"""Whether the elements of a mkv or webm tile it (RFC 9559): FFmpeg passes over those that it does not know."""

from __future__ import annotations

import io
from typing import IO

_SEGMENT, _CLUSTER, _GROUP = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\xa0"
_TRACKS, _TRACK, _TRACK_NUMBER = b"\x16\x54\xae\x6b", b"\xae", b"\xd7"
_BLOCKS = {b"\xa3", b"\xa1", b"\xaf"}
_NUMBERS = {b"\xe7", b"\xa7", b"\xab", b"\x9b", b"\xfa", b"\xfb"}
"""Times, positions and sizes: 8 bytes at most."""
_ANYWHERE = {b"\xec", b"\xbf"}  # filling, and a checksum
_CHILDREN = {
    _SEGMENT: {_TRACKS, _CLUSTER, *_ANYWHERE}
    | {
        bytes.fromhex(name)
        for name in ("114d9b74", "1549a966", "1c53bb6b", "1941a469", "1043a770", "1254c367")
    },
    _CLUSTER: {b"\xe7", b"\xa7", b"\xab", b"\x58\x54", b"\xa3", b"\xaf", _GROUP, *_ANYWHERE},
    _GROUP: {b"\xa1", b"\x9b", b"\xfa", b"\xfb", b"\xfd", b"\xa4", b"\xa2", b"\x8e", *_ANYWHERE}
    | {b"\x75\xa1", b"\x75\xa2", b"\xc8"},
}
_LARGEST_TRACKS = 16 * 2**20


class TornError(Exception):
    """An element is none that may stand there, or is longer than what encloses it."""

    def __init__(self, place: int) -> None:
        super().__init__(f"at byte {place}")
        self.place = place


def segment(file: IO[bytes], size: int) -> tuple[int, int | None] | None:
    """Return where the content of the one great segment begins, and how long it is; None if there is none.

    The length is None for a recording that was streamed.
    """
    place = 0
    while place < size:
        name, begin, length = _element(file, place)
        if name == _SEGMENT:
            return begin, length
        if not name or length is None:
            return None
        place = begin + length
    return None


class Elements:
    """Walks a segment; what the decoder reads of its blocks is not looked at."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._tracks = file, set[int]()
        self.is_streamed = False
        """Whether a cluster does not state its length."""

    def walk(self, begin: int, end: int) -> None:
        """Follow the elements of a segment to its end.

        Raises:
            TornError: they do not tile it.
        """
        self._walk(_SEGMENT, begin, end)

    def _walk(self, parent: bytes, place: int, end: int, *, is_open: bool = False) -> int:
        while place < end:
            name, begin, length = _element(self._file, place)
            if is_open and name in _CHILDREN[_SEGMENT] - _ANYWHERE:
                break  # what follows a cluster without a length ends it
            after = end if length is None and name == _CLUSTER else begin + (length or 0)
            if name not in _CHILDREN[parent] or after > end or (name in _NUMBERS and after > begin + 8):
                raise TornError(place)
            if name in _BLOCKS and self._number(begin) not in self._tracks:
                raise TornError(place)
            if name in _CHILDREN:
                self.is_streamed |= length is None
                after = self._walk(name, begin, after, is_open=length is None)
            elif name == _TRACKS:
                self._file.seek(begin)
                self._tracks = set(_track_numbers(self._file.read(min(after - begin, _LARGEST_TRACKS))))
            place = after
        return place

    def _number(self, place: int) -> int:
        self._file.seek(place)
        return _read_number(self._file.read(8))[0]


def _element(file: IO[bytes], place: int) -> tuple[bytes, int, int | None]:
    """Return an element's name, where its content begins, and its length; the name is empty at the end."""
    file.seek(place)
    header = file.read(12)
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


def _track_numbers(tracks: bytes) -> list[int]:
    numbers, inside = list[int](), io.BytesIO(tracks)
    place = 0
    while place < len(tracks):
        name, begin, length = _element(inside, place)
        if name == _TRACK_NUMBER:
            numbers.append(int.from_bytes(tracks[begin : begin + (length or 0)], "big"))
        # A track's elements follow its head, and those of the next one follow these.
        place = begin if name == _TRACK else begin + (length or 0)
    return numbers
