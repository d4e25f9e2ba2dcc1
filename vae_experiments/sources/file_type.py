"""What a file is by its first bytes; its name may say anything."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from vae_experiments.sources.paths import head, refuse

if TYPE_CHECKING:
    from pathlib import Path

_HEAD_BYTES = 4096
_LARGE_JPEG_BYTES = 16 * 2**20
_AGAIN = "copy or download it again"


class Kind(Enum):
    """The groups of files whose wholeness is checked in different ways."""

    MP4 = "mp4"
    MATROSKA = "matroska"
    AVI = "avi"
    OGG = "ogg"
    FLV = "flv"
    TRANSPORT = "transport stream"
    MOTION_JPEG = "a row of JPEGs"
    STREAM = "stream"
    GIF = "gif"
    PNG = "png"
    WEBP = "webp"
    JPEG = "jpeg"
    AVIF = "avif"

    @property
    def is_picture(self) -> bool:
        """Whether Pillow reads it, rather than PyAV."""
        return self in (Kind.GIF, Kind.PNG, Kind.WEBP, Kind.JPEG, Kind.AVIF)


def sniff(path: Path) -> Kind:
    """Return what a file is by its content.

    Raises:
        SourceError: it is empty, a HEIC photo, or a text: a web page, a playlist, a Git LFS pointer.
    """
    start = head(path, _HEAD_BYTES)
    if not start:
        raise refuse(path, "the file is empty", _AGAIN)
    for mark, kind in _MARKS.items():
        if start.startswith(mark):
            if kind is Kind.JPEG and _is_row_of_jpegs(head(path, _LARGE_JPEG_BYTES)):
                return Kind.MOTION_JPEG
            return Kind.WEBP if start[8:12] == b"WEBP" else kind
    if start[4:8] == b"ftyp":
        return _kind_by_brand(path, start)
    _refuse_text(path, start)
    if packet_layout(start):
        return Kind.TRANSPORT
    return Kind.MP4 if start[4:8] in _BOXES else Kind.STREAM


_MARKS = {
    b"GIF8": Kind.GIF,
    b"\x89PNG\r\n\x1a\n": Kind.PNG,
    b"\xff\xd8\xff": Kind.JPEG,
    b"\x1a\x45\xdf\xa3": Kind.MATROSKA,
    b"RIFF": Kind.AVI,
    b"OggS": Kind.OGG,
    b"FLV\x01": Kind.FLV,
    b"YUV4MPEG2 ": Kind.STREAM,
}
_BOXES = (b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"pnot", b"uuid")

SYNC_BYTE = 0x47
_PACKET_LENGTHS, _PACKETS = (188, 192, 204), 5
"""Of ISO/IEC 13818-1, of Blu-ray with a time before each, and of broadcasts with their error correction."""

_AVIF, _HEIC = {b"avif", b"avis"}, {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_EITHER = {b"mif1", b"msf1"}


def _kind_by_brand(path: Path, start: bytes) -> Kind:
    """Return whether it is pictures or video, by the brands that begin an mp4: what it is first, then what else it is."""
    first = start[8:12]
    length = min(int.from_bytes(start[:4], "big"), len(start))
    brands = {start[place : place + 4] for place in range(16, length, 4)} if first in _EITHER else {first}
    if brands & _AVIF:
        return Kind.AVIF
    if first in _EITHER or brands & _HEIC:
        raise refuse(path, "a HEIC photo, which cannot be read here", "convert it to JPEG or PNG")
    return Kind.MP4


def packet_layout(start: bytes) -> tuple[int, int] | None:
    """Return where the first packet of a transport stream begins, and how long each is; None if it is none."""
    for length in _PACKET_LENGTHS:
        for place in range(min(length, len(start) - _PACKETS * length)):
            if {start[place + number * length] for number in range(_PACKETS)} == {SYNC_BYTE}:
                return place, length
    return None


def _is_row_of_jpegs(start: bytes) -> bool:
    """Whether one picture ends where the next begins, and no camera says that they are one photo (MPF)."""
    first, seam, _ = start.partition(b"\xff\xd9\xff\xd8\xff")
    return bool(seam) and b"MPF\0" not in first


def _refuse_text(path: Path, start: bytes) -> None:
    """Refuse texts by name: ffmpeg would follow a playlist to other files and draw an SVG."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        raise refuse(path, "a Git LFS pointer, not the video itself", "run git lfs pull")
    if (
        text.startswith((b"#extm3u", b"ffconcat", b"[playlist]", b"<mpd", b"<asx", b"<smil"))
        or b"<mpd" in text
    ):
        raise refuse(path, "a playlist, which only names other files", "give one of the files that it names")
    if text.startswith((b"<!doctype html", b"<html")) or (text.startswith(b"<") and b"<html" in text):
        raise refuse(path, "this is a web page, not a video", "download the video itself")
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        raise refuse(path, "an SVG drawing, not a video", "export it as PNG")
    if _is_text(start):
        raise refuse(path, "this is a text, not a video", _AGAIN)


def _is_text(start: bytes) -> bool:
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in start):
        return False
    # The head may end inside a letter of several bytes: three bytes may be missing.
    return any(_decodes(start[: len(start) - missing]) for missing in range(min(4, len(start))))


def _decodes(start: bytes) -> bool:
    try:
        start.decode()
    except UnicodeDecodeError:
        return False
    return True
