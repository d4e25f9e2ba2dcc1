"""Local files and folders: a name never becomes a network request, a device or a hang.

What a file is, its first bytes tell; its name may say anything.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.errors import SourceError, system_reason
from vae_experiments.files import expanded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Media libraries take such names for addresses, pipes, cameras and lists of other files.
_ADDRESS = re.compile(r"^([a-z][a-z0-9+.-]+[:,]|<\w+>$)", re.IGNORECASE)
_LONGEST_NAME = 90
_HEAD_BYTES = 4096
_LARGE_JPEG_BYTES = 16 * 2**20
MOVING = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".mxf"),
        *(".ogv", ".flv", ".wmv", ".3gp", ".dv", ".y4m"),
    )
)
VIDEOS = MOVING | {".gif", ".webp"}
"""How files are called that are taken out of a folder of videos; the last two may be stills."""
_AGAIN = "copy or download it again"


def refuse(path: Path | str, problem: str, hint: str) -> SourceError:
    """Make the error for a source."""
    return SourceError(f"source.path={say_name(path)}: {problem}", hint)


def say_name(path: Path | str) -> str:
    """Return a name as it may be printed: not too long, and without what a terminal cannot show."""
    name = str(path).encode("utf-8", "backslashreplace").decode()
    name = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)
    return name if len(name) <= _LONGEST_NAME else f"{name[:20]}...{name[-_LONGEST_NAME + 23 :]}"


def locate(text: str) -> Path:
    """Find the regular file or the folder of that name.

    Raises:
        SourceError: it is not there, not local, not readable, or no file at all.
    """
    if not text.strip() or "\0" in text:
        raise refuse(text, "not a local file", "give the name of a video file or of a folder of pictures")
    # A shell leaves the ~ of source.path=~/clip.mp4 alone.
    path = Path(text) if os.path.lexists(text) else expanded(text)
    try:
        # Asked before anything is opened: opening a pipe without a writer waits for ever.
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise _absent(path, text) from None
    except OSError as error:
        raise refuse(path, system_reason(error), "check the name and its links") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise refuse(path, "not a regular file", "give a video file or a folder of pictures")
    if not os.access(path, os.R_OK):
        raise refuse(path, "permission denied", "allow reading it, or copy it elsewhere")
    return path


def files_below(folder: Path, on_error: Callable[[OSError], object] | None = None) -> Iterator[Path]:
    """Yield every file below a folder that is not hidden and that no run wrote, in the order of their names.

    A link to a folder is followed, once. ``on_error`` is told of what cannot be listed.
    """
    entered = set()
    for place, folders, files in os.walk(folder, onerror=on_error, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(one for one in folders if not one.startswith(".") and not _is_ours(place, one))
        yield from (Path(place, file) for file in sorted(files) if not file.startswith("."))


def _is_ours(place: str, folder: str) -> bool:
    """Whether a folder is that of a run or of a sweep, which are below the folder where a person works."""
    return any(os.path.exists(os.path.join(place, folder, mark)) for mark in (".hydra", "multirun.yaml"))  # noqa: PTH110, PTH118  many folders


def stamp(path: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Return what tells one state of a file (or of all files of a folder) from another, without reading it."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        states = [(file.name, file.stat()) for file in files if file.is_file()]
    except OSError as error:
        raise refuse(path, system_reason(error), "check that it is still there") from None
    return tuple((name, state.st_size, state.st_mtime_ns, state.st_ino) for name, state in states)


def _absent(path: Path, text: str) -> SourceError:
    if path.is_symlink():
        return refuse(path, "a link to a file that does not exist", "give the file itself")
    if _ADDRESS.match(text):
        return refuse(text, "not a local file", "download it first and give the file's name")
    try:
        beside = os.listdir(path.parent)  # noqa: PTH208  names are wanted, not paths
    except OSError:
        return refuse(path, "no such file, and no such folder", "check the name")
    near = get_close_matches(path.name, beside, n=1)
    return refuse(
        path, "no such file", f"did you mean {say_name(path.parent / near[0])}?" if near else "check the name"
    )


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
    start = _head(path, _HEAD_BYTES)
    if not start:
        raise refuse(path, "the file is empty", _AGAIN)
    for mark, kind in _MARKS.items():
        if start.startswith(mark):
            if kind is Kind.JPEG and _is_row_of_jpegs(_head(path, _LARGE_JPEG_BYTES)):
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


def _head(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise refuse(path, system_reason(error), "allow reading it, or copy it elsewhere") from None


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
    for beginning, problem, hint in _TEXTS:
        if re.match(beginning, text, re.DOTALL):
            raise refuse(path, problem, hint)
    if _is_text(start):
        raise refuse(path, "this is a text, not a video", _AGAIN)


_TEXTS = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the video itself", "run git lfs pull"),
    (
        rb"#extm3u|ffconcat|\[playlist\]|<asx|<smil|.*<mpd",
        "a playlist, which only names other files",
        "give one of the files that it names",
    ),
    (rb"<!doctype html|<html|<.*<html", "this is a web page, not a video", "download the video itself"),
    (rb"<svg|<\?xml.*<svg", "an SVG drawing, not a video", "export it as PNG"),
)


def _is_text(start: bytes) -> bool:
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in start):
        return False
    try:
        codecs.utf_8_decode(start[:-3] or start)  # it may end inside a letter
    except UnicodeDecodeError:
        return False
    return True
