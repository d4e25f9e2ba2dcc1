"""Whole files: a file under its final name is finished, or it is not there."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import WriteError, system_reason
from vae_experiments.runtime.interruption import unfinished

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_ABOUT_WRITING = (*_NO_SPACE, errno.EFBIG, errno.EROFS)
# A list of numbers as json.dumps indents it, which reads better on one line. A real line break
# stands in no JSON text, so no text is ever taken for such a list.
_NUMBERS = re.compile(r"\[\n\s*([-+\d.eE,\s]*?)\s*\]")
SUMS = "SHA256SUMS"
_SUM = re.compile(r"([0-9a-f]{64})  ([^\n]+)\n")


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Lend a hidden name beside ``path`` to write to; publish it by rename when all went well.

    Readers never see a half-written file, whatever kills the writer: the rename is atomic because
    both names are in one folder.

    Raises:
        WriteError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    with passing(path) as hidden:
        try:
            yield hidden
            publish(hidden, path)
        except OSError as error:
            if not _is_about_writing(error, path):
                raise
            raise write_error(path, error) from error


@contextlib.contextmanager
def passing(path: Path) -> Iterator[Path]:
    """Lend a hidden name beside ``path`` for as long as the block lasts; what is written there goes with it."""
    hidden = hidden_beside(path)
    unfinished.add(hidden)
    try:
        yield hidden
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink(missing_ok=True)
        unfinished.discard(hidden)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Lend a hidden folder beside ``path`` to put files into; publish it by rename when all went well.

    Raises:
        WriteError: the disk is full or broken, or ``path`` is there and not an empty folder; nothing is left behind.
    """
    hidden = hidden_beside(path)
    try:
        with named_as(path):
            hidden.mkdir(parents=True)
        yield hidden
        with named_as(path):
            for file in hidden.iterdir():
                settle(file)
            publish(hidden, path)
    except OSError as error:
        if not _is_about_writing(error, path):
            raise
        raise write_error(path, error) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


@contextlib.contextmanager
def named_as(folder: Path) -> Iterator[None]:
    """Name a folder as it would be called, and not as it is while it is hidden, in the error of a failed write.

    Raises:
        WriteError: in the place of whatever a write below it raises.
    """
    try:
        yield
    except (OSError, WriteError) as error:
        fault = next((one for one in (error, error.__cause__) if isinstance(one, OSError)), None)
        if fault is None:
            raise
        raise write_error(folder, fault) from fault


def expanded(path: str) -> Path:
    """Return a path with ~ for a person's own folder; where there is no such person it is a name like any other."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib's raises


def hidden_beside(path: Path) -> Path:
    """Return what a file or folder is called while it is not whole: hidden, and known to be left by a killed writer."""
    return path.with_name(f".{path.stem[:48]}.{os.getpid()}.{uuid.uuid4().hex[:8]}{path.suffix}")


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic_write(path) as hidden:
        hidden.write_text(text, encoding="utf-8", errors="surrogateescape", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all; a value that JSON does not know is an error."""
    text = json.dumps(value, indent=2, allow_nan=False)
    write_text(
        path, _NUMBERS.sub(lambda found: re.sub(r"\s*\n\s*", " ", found.group(1)).join("[]"), text) + "\n"
    )


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table, whole or not at all."""
    write_text(path, csv_text(header, rows))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV, each line closed by a line feed; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def read_json(path: Path) -> Any:
    """Read a JSON file that somebody gave.

    Raises:
        ValueError: it is no JSON, or nested deeper than Python counts.
        OSError: it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    sha = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    except OSError as error:
        error.filename = str(path)  # which a failed read does not say
        raise
    return sha.hexdigest()


def digest_of(*values: object) -> str:
    """Return the SHA-256, in hex, of a few plain values that together identify something."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def write_sums(folder: Path, names: Iterable[str], last: str) -> None:
    """Write the digests of these files of a folder, as ``sha256sum -c SHA256SUMS`` reads them.

    Written when all else is there, it says that the folder is whole. ``last`` is listed last, so that a
    list that was cut short shows.
    """
    ordered = [*sorted({*names} - {last}), last]
    write_text(folder / SUMS, "".join(f"{digest(folder / name)}  {name}\n" for name in ordered))


def read_sums(folder: Path, last: str) -> dict[str, str]:
    """Read the digests of a folder's files by name.

    Raises:
        ValueError: the list is missing, damaged or cut short.
    """
    try:
        text = (folder / SUMS).read_bytes().decode()
    except OSError as error:
        raise ValueError(f"no {SUMS}") from error
    sums = {found[2]: found[1] for found in _SUM.finditer(text)}
    if "".join(f"{value}  {name}\n" for name, value in sums.items()) != text or [*sums][-1:] != [last]:
        raise ValueError(f"{SUMS} is damaged")
    return sums


def is_complete(folder: Path, last: str) -> bool:
    """Whether a folder was finished and every file of it is still what it was."""
    try:
        return all(digest(folder / name) == value for name, value in read_sums(folder, last).items())
    except (OSError, ValueError):
        return False


def publish(hidden: Path, path: Path) -> None:
    """Give a finished file or folder its name; after a power cut it is there as it was meant, or not at all."""
    settle(hidden)
    hidden.replace(path)
    settle(path.parent)


def settle(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    is_file = path.is_file()
    try:
        # Not by open, which also asks whether it could seek.
        opened = os.open(path, os.O_RDWR if is_file else os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        # Not every system knows how to wait for a folder.
        if is_file or error.errno in (*_NO_SPACE, errno.EIO):
            raise


def _is_about_writing(error: OSError, path: Path) -> bool:
    """Tell a failed write from any other error that passes by while a file is open."""
    # A file that cannot be sought in is how Python tells of a disk that failed when it was asked where it stands.
    is_unnamed_fault = isinstance(error, io.UnsupportedOperation) or (
        error.errno == errno.EIO and error.filename is None
    )
    return error.errno in _ABOUT_WRITING or is_unnamed_fault or str(path.parent) in str(error.filename)


def write_error(path: Path, error: OSError) -> WriteError:
    """Make the sentence for a write that failed."""
    if error.errno == errno.EFBIG:
        return WriteError(
            f"{path} grew beyond the size that a file may have here", "raise the limit (ulimit -f)"
        )
    if error.errno in _NO_SPACE:
        there = next(folder for folder in path.absolute().parents if folder.exists())
        free = shutil.disk_usage(there).free // 10**6
        return WriteError(f"no space left writing {path} ({free} MB free)", "free some space")
    return WriteError(
        f"cannot write {path} ({system_reason(error)})", "choose another folder with hydra.run.dir=FOLDER"
    )
