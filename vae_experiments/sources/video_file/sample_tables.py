"""Whether the index of an mp4 or mov agrees with itself (ISO/IEC 14496-12, 8.6 to 8.8).

FFmpeg reads a table with a hole as far as it makes sense, and shows one frame of a thousand.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Flags of a tfhd box, each with the field that it stands for, in their order: where the samples lie,
# which description they have, how long each lasts, its size and its flags. And one without a field.
_BASE, _EACH_LASTS, _IS_EMPTY = 0x1, 0x8, 0x10000
_FIELDS = {_BASE: "Q", 0x2: "I", _EACH_LASTS: "I", 0x10: "I", 0x20: "I"}
_HAS_OFFSET, _HAS_FIRST_FLAGS, _HAS_DURATIONS, _OF_EACH = 0x1, 0x4, 0x100, 0xF00
"""Flags of a trun box; the last are of four numbers that each sample may have."""
_LATEST = 2**62
"""In ticks; beyond it FFmpeg's times wrap round, and what begins before 0 is not shown."""
_IN_A_FRAGMENT = frozenset(b"mfhd traf pssh free skip uuid meta".split())
_IN_A_RUN = frozenset(b"tfhd tfdt trun sdtp sbgp sgpd subs saiz saio senc csgp free skip uuid meta".split())


def boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each box, as far as they tile ``content``."""
    place = 0
    while place + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        if length < 8:
            return
        yield name, content[place + 8 : place + length]
        place += length


def inside(content: bytes, *names: bytes) -> dict[bytes, bytes]:
    """Return what is in the box that is found by these names, each one in the one before; nothing where it is missing."""
    for name in names:
        content = dict(boxes(content)).get(name, b"")
    return dict(boxes(content))


def ticks_a_second(media: dict[bytes, bytes]) -> int:
    """Return the clock rate of a track by what its mdia box holds; 0 where that says nothing."""
    header = media.get(b"mdhd", b"")
    place = 20 if header[:1] == b"\1" else 12
    return int.from_bytes(header[place : place + 4], "big")


def contradicts_itself(index: bytes, size: int) -> bool:
    """Whether a moov box has a video track without a clock, or with tables that cannot be true.

    They speak of different numbers of samples, or of samples behind the end of the file, which is
    ``size`` bytes long.
    """
    return any(_is_torn(track, size) for name, track in boxes(index[8:]) if name == b"trak")


def _is_torn(track: bytes, size: int) -> bool:
    media = inside(track, b"mdia")
    if b"vide" not in media.get(b"hdlr", b"")[8:12]:
        return False
    if not ticks_a_second(media):
        return True
    tables = inside(track, b"mdia", b"minf", b"stbl")
    try:
        return len(set(_counts(tables))) > 1 or _last_place(tables) >= size
    except (struct.error, KeyError):
        return False  # a table is missing: FFmpeg says so itself


def _counts(tables: dict[bytes, bytes]) -> list[int]:
    """Return how many samples there are by their sizes, by their times, and by their chunks."""
    (by_size,) = struct.unpack_from(">I", tables.get(b"stsz") or tables[b"stz2"], 8)
    by_time = sum(count for count, _ in _rows(tables[b"stts"], ">II"))
    (chunks,) = struct.unpack_from(">I", tables.get(b"stco") or tables[b"co64"], 4)
    runs = [(first, each) for first, each, _ in _rows(tables[b"stsc"], ">III")]
    by_chunk = sum(
        max(min(until, chunks + 1) - first, 0) * each
        for (first, each), (until, _) in pairwise([*runs, (chunks + 1, 0)])
    )
    return [by_size, by_time, by_chunk]


def _last_place(tables: dict[bytes, bytes]) -> int:
    """Return where the chunk of samples begins that lies last in the file."""
    wide = tables.get(b"co64")
    rows = _rows(wide, ">Q") if wide else _rows(tables[b"stco"], ">I")
    return max((place for (place,) in rows), default=-1)


def _rows(table: bytes, row: str) -> Iterator[tuple[int, ...]]:
    (count,) = struct.unpack_from(">I", table, 4)
    size = struct.calcsize(row)
    return struct.iter_unpack(row, table[8 : 8 + min(count, (len(table) - 8) // size) * size])


class Fragments:
    """Whether the fragments of a video, one after the other, say where their samples are and when.

    A reader passes over boxes that it does not know, and so over all frames that a damaged name stood for.
    """

    def __init__(self, index: bytes, size: int) -> None:
        """Begin with a moov box, which knows the tracks, and with the size of the file in bytes."""
        tracks = [inside(track) for name, track in boxes(index[8:]) if name == b"trak"]
        headers = [track.get(b"tkhd", b"") for track in tracks]
        self._size = size
        self._ends = {
            struct.unpack_from(">I", header, 20 if header[:1] == b"\1" else 12)[0]: 0
            for header in headers
            if len(header) >= 24
        }

    def follow(self, place: int, fragment: bytes) -> bool:
        """Whether the next moof box holds only what one may hold, and tells of tracks, bytes and times that can be."""
        runs = [content for name, content in boxes(fragment[8:]) if name == b"traf"]
        try:
            return (
                bool(runs)
                and _is_tiled(fragment[8:], _IN_A_FRAGMENT)
                and all(_is_tiled(run, _IN_A_RUN) and self._takes(run, place) for run in runs)
            )
        except (LookupError, struct.error):
            return False

    def _takes(self, run: bytes, place: int) -> bool:
        """Whether the samples of a traf box follow on those of the same track, and lie within the file."""
        header, time = inside(run)[b"tfhd"], inside(run).get(b"tfdt", b"")
        flags, track = struct.unpack_from(">II", header)
        fields = [flag for flag in _FIELDS if flags & flag]
        form = "".join(_FIELDS[flag] for flag in fields)
        values = dict(zip(fields, struct.unpack(f">{form}", header[8:]), strict=True))
        samples = [content for name, content in boxes(run) if name == b"trun"]
        latest = self._ends[track]
        begins = struct.unpack_from(">Q" if time[0] else ">I", time, 4)[0] if time else latest
        base, lasts = values.get(_BASE, place), values.get(_EACH_LASTS, 0)
        self._ends[track] = begins + sum(self._duration(one, base, lasts) for one in samples)
        return bool(samples) != bool(flags & _IS_EMPTY) and latest <= begins < _LATEST

    def _duration(self, samples: bytes, base: int, each: int) -> int:
        """Return how many ticks the samples of a trun box last.

        Raises:
            struct.error: it is not as long as its number of samples.
            LookupError: they do not begin within the file.
        """
        flags, count = struct.unpack_from(">II", samples)
        offset = struct.unpack_from(">i", samples, 8)[0] if flags & _HAS_OFFSET else 0
        if not 0 <= base + offset < self._size:
            raise LookupError(offset)
        place = 8 + 4 * bool(flags & _HAS_OFFSET) + 4 * bool(flags & _HAS_FIRST_FLAGS)
        width = (flags & _OF_EACH).bit_count()
        numbers = struct.unpack(f">{count * width}I", samples[place:])
        return sum(numbers[::width]) if flags & _HAS_DURATIONS else count * each


def _is_tiled(content: bytes, names: frozenset[bytes]) -> bool:
    found = [*boxes(content)]
    return {name for name, _ in found} <= names and len(content) == sum(8 + len(box) for _, box in found)
