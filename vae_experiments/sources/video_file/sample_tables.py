"""Whether the index of an mp4 or mov agrees with itself (ISO/IEC 14496-12, 8.6 to 8.8).

FFmpeg reads a table with a hole as far as it makes sense, and shows one frame of a thousand.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HAS_BASE, _HAS_DESCRIPTION, _HAS_DURATION, _IS_EMPTY, _FIELDS = 0x1, 0x2, 0x8, 0x10000, 0x3B
"""Flags of a tfhd box; those of the last stand for a field of 4 bytes each, the first for one of 8."""
_HAS_OFFSET, _HAS_FIRST_FLAGS, _HAS_DURATIONS, _OF_EACH = 0x1, 0x4, 0x100, 0xF00
"""Flags of a trun box; the last are of four numbers that each sample may have."""
_LATEST = 2**62
"""In ticks; beyond it FFmpeg's times wrap round, and what begins before 0 is not shown."""
_FREE = {b"free", b"skip", b"uuid", b"meta"}
_IN_A_FRAGMENT = frozenset({b"mfhd", b"traf", b"pssh", *_FREE})
_IN_A_RUN = frozenset(
    {
        b"tfhd",
        b"tfdt",
        b"trun",
        b"sdtp",
        b"sbgp",
        b"sgpd",
        b"subs",
        b"saiz",
        b"saio",
        b"senc",
        b"csgp",
        *_FREE,
    }
)
_WAY_TO_THE_TABLES = (b"mdia", b"minf", b"stbl")


def contradicts_itself(index: bytes, size: int) -> bool:
    """Whether a moov box has a video track whose tables speak of different numbers of samples.

    Or of samples behind the end of the file, which is ``size`` bytes long.
    """
    return any(_track_is_torn(track, size) for name, track in boxes(index[8:]) if name == b"trak")


def boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each box, as far as they tile ``content``."""
    place = 0
    while place + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        if length < 8:
            return
        yield name, content[place + 8 : place + length]
        place += length


def _track_is_torn(track: bytes, size: int) -> bool:
    inside = track
    for name in _WAY_TO_THE_TABLES:
        found = dict(boxes(inside))
        if name == b"minf" and (b"vide" not in found.get(b"hdlr", b"")[8:12] or _has_no_clock(found)):
            return b"vide" in found.get(b"hdlr", b"")[8:12]
        inside = found.get(name, b"")
    try:
        tables = dict(boxes(inside))
        return len(set(_counts(tables))) > 1 or _last_place(tables) >= size
    except (struct.error, KeyError):
        return False  # a table is missing: FFmpeg says so itself


def _has_no_clock(media: dict[bytes, bytes]) -> bool:
    header = media.get(b"mdhd", b"")
    place = 20 if header[:1] == b"\1" else 12
    return not any(header[place : place + 4])


def _counts(tables: dict[bytes, bytes]) -> list[int]:
    """Return how many samples there are by their sizes, by their times, and by their chunks."""
    sizes = tables.get(b"stsz") or tables[b"stz2"]
    (by_size,) = struct.unpack_from(">I", sizes, 8)
    by_time = sum(count for count, _ in _rows(tables[b"stts"], ">II"))
    places = tables.get(b"stco") or tables[b"co64"]
    (chunks,) = struct.unpack_from(">I", places, 4)
    runs = [(first, each) for first, each, _ in _rows(tables[b"stsc"], ">III")]
    by_chunk = sum(
        max(min(until, chunks + 1) - first, 0) * each
        for (first, each), (until, _) in pairwise([*runs, (chunks + 1, 0)])
    )
    return [by_size, by_time, by_chunk]


class Fragments:
    """Whether the fragments of a video, one after the other, say where their samples are and when.

    A reader passes over boxes that it does not know, and so over all frames that a damaged name stood for.
    """

    def __init__(self, index: bytes, size: int) -> None:
        """Begin with a moov box, which knows the tracks, and with the size of the file in bytes."""
        tracks = [dict(boxes(track)) for name, track in boxes(index[8:]) if name == b"trak"]
        headers = [track.get(b"tkhd", b"") for track in tracks]
        self._ends = {
            struct.unpack_from(">I", header, 20 if header[:1] == b"\1" else 12)[0]: 0
            for header in headers
            if len(header) >= 24
        }
        self._size = size

    def are_torn_at(self, place: int, fragment: bytes) -> bool:
        """Whether the next moof box holds what none may hold, or tells of a track, bytes or times that cannot be."""
        inside = fragment[8:]
        runs = [content for name, content in boxes(inside) if name == b"traf"]
        try:
            return not (
                runs
                and _is_tiled(inside, _IN_A_FRAGMENT)
                and all(_is_tiled(run, _IN_A_RUN) and self._takes(run, place) for run in runs)
            )
        except (LookupError, struct.error):
            return True

    def _takes(self, run: bytes, place: int) -> bool:
        """Whether the samples of a traf box follow on those of the same track, and lie within the file."""
        header = dict(boxes(run))[b"tfhd"]
        flags, track = struct.unpack_from(">II", header)
        fields = 4 * (flags & _FIELDS).bit_count() + 4 * (flags & _HAS_BASE)
        if len(header) != 8 + fields:
            return False
        values = [*struct.unpack(f">{(len(header) - 8) // 4}I", header[8:])]
        base, lasts = place, 0
        if flags & _HAS_BASE:
            base = values.pop(0) << 32 | values.pop(0)
        for flag in (_HAS_DESCRIPTION, _HAS_DURATION):
            if flags & flag:
                lasts = values.pop(0)
        samples = [content for name, content in boxes(run) if name == b"trun"]
        if track not in self._ends or bool(samples) == bool(flags & _IS_EMPTY):
            return False
        begins = self._begins(dict(boxes(run)), track)
        is_in_order = self._ends[track] <= begins < _LATEST
        self._ends[track] = begins + sum(_duration(one, lasts) for one in samples)
        return is_in_order and all(_lie_within(one, base, self._size) for one in samples)

    def _begins(self, run: dict[bytes, bytes], track: int) -> int:
        time = run.get(b"tfdt", b"")
        if not time:
            return self._ends[track]
        return int(struct.unpack_from(">Q" if time[0] else ">I", time, 4)[0])


def _is_tiled(inside: bytes, names: frozenset[bytes]) -> bool:
    found = [*boxes(inside)]
    return {name for name, _ in found} <= names and len(inside) == sum(8 + len(box) for _, box in found)


def _samples(run: bytes) -> tuple[int, int, int]:
    """Return the flags of a trun box, the number of its samples, and where they begin in the box."""
    flags, count = struct.unpack_from(">II", run)
    return flags, count, 8 + 4 * bool(flags & _HAS_OFFSET) + 4 * bool(flags & _HAS_FIRST_FLAGS)


def _duration(run: bytes, each: int) -> int:
    flags, count, place = _samples(run)
    if not flags & _HAS_DURATIONS:
        return count * each
    step = 4 * (flags & _OF_EACH).bit_count()
    return sum(struct.unpack_from(">I", run, place + number * step)[0] for number in range(count))


def _lie_within(run: bytes, base: int, size: int) -> bool:
    """Whether a trun box is as long as its number of samples, and these begin within the file."""
    flags, count, place = _samples(run)
    offset = struct.unpack_from(">i", run, 8)[0] if flags & _HAS_OFFSET else 0
    is_as_long = len(run) == place + 4 * count * (flags & _OF_EACH).bit_count()
    return is_as_long and bool(0 <= base + offset < size)


def _last_place(tables: dict[bytes, bytes]) -> int:
    """Return where the chunk of samples begins that lies last in the file."""
    wide = tables.get(b"co64")
    rows = _rows(wide, ">Q") if wide else _rows(tables[b"stco"], ">I")
    return max((place for (place,) in rows), default=-1)


def _rows(table: bytes, row: str) -> Iterator[tuple[int, ...]]:
    (count,) = struct.unpack_from(">I", table, 4)
    size = struct.calcsize(row)
    return struct.iter_unpack(row, table[8 : 8 + min(count, (len(table) - 8) // size) * size])
