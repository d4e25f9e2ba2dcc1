"""Whether the index of an mp4 or mov agrees with itself (ISO/IEC 14496-12, 8.6 and 8.7).

FFmpeg reads a table with a hole as far as it makes sense, and shows one frame of a thousand.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAY_TO_THE_TABLES = (b"mdia", b"minf", b"stbl")


def contradicts_itself(index: bytes) -> bool:
    """Whether a moov box has a video track whose tables speak of different numbers of samples."""
    return any(_track_is_torn(track) for name, track in _boxes(index[8:]) if name == b"trak")


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each box, as far as they tile ``content``."""
    place = 0
    while place + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        if length < 8:
            return
        yield name, content[place + 8 : place + length]
        place += length


def _track_is_torn(track: bytes) -> bool:
    inside = track
    for name in _WAY_TO_THE_TABLES:
        found = dict(_boxes(inside))
        if name == b"minf" and (b"vide" not in found.get(b"hdlr", b"")[8:12] or _has_no_clock(found)):
            return b"vide" in found.get(b"hdlr", b"")[8:12]
        inside = found.get(name, b"")
    try:
        counts = _counts(dict(_boxes(inside)))
    except (struct.error, KeyError):
        return False  # a table is missing: FFmpeg says so itself
    return len(set(counts)) > 1


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


def _rows(table: bytes, row: str) -> Iterator[tuple[int, ...]]:
    (count,) = struct.unpack_from(">I", table, 4)
    size = struct.calcsize(row)
    return struct.iter_unpack(row, table[8 : 8 + min(count, (len(table) - 8) // size) * size])
