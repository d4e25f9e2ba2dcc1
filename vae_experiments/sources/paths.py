"""Local files and folders: a name never becomes a network request, a device or a hang."""

from __future__ import annotations

import os
import re
import stat
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.errors import SourceError, system_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Media libraries take such names for addresses, pipes, cameras and lists of other files.
_ADDRESS = re.compile(r"^([a-z][a-z0-9+.-]+[:,]|<\w+>$)", re.IGNORECASE)
_LONGEST_NAME = 90


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
    path = Path(text if os.path.lexists(text) else os.path.expanduser(text))  # noqa: PTH111  it never raises
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
    """Yield every file below a folder that is not hidden, in the order of their names.

    A link to a folder is followed, once. ``on_error`` is told of what cannot be listed.
    """
    entered = set()
    for place, folders, files in os.walk(folder, onerror=on_error, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
        yield from (Path(place, file) for file in sorted(files) if not file.startswith("."))


def stamp(path: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Return what tells one state of a file (or of all files of a folder) from another, without reading it."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        states = [(file.name, file.stat()) for file in files if file.is_file()]
    except OSError as error:
        raise refuse(path, system_reason(error), "check that it is still there") from None
    return tuple((name, state.st_size, state.st_mtime_ns, state.st_ino) for name, state in states)


def head(path: Path, count: int) -> bytes:
    """Read the first bytes of a file.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise refuse(path, system_reason(error), "allow reading it, or copy it elsewhere") from None


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
