"""Claims: a folder is one writer's from before its first file until it is finished.

    .claim.json             locked while its process lives, gone when the run has ended
    .hydra/failure.txt      why a run ended without a result

A lock dies with its process, so nothing is stale after ``kill -9`` or a power cut. Where a file system
has no locks, the process that stands in the claim is looked for.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import shutil
import socket
import sys
import threading
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import SettingError
from vae_experiments.files import SUMS, settle, write_error, write_text
from vae_experiments.runtime.interruption import SIGNALS, Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

RESERVATION, FAILURE = ".claim.json", "failure.json"
CONFIG_FOLDER, REASON = ".hydra", "failure.txt"
log = logging.getLogger("vae_experiments.cli.hydra_errors")
LOCKED_BYTE = 1 << 16
"""Behind the content of a claim, where Windows lets others read what is locked."""
ELSEWHERE = "choose another folder, or delete it"
FINISHED = "holds a finished run already"
_HIDDEN = re.compile(r"\..*\.\d+\.[0-9a-f]{8}(\.[^.]*)?")
"""What ``files.hidden_beside`` calls what is not whole."""
_LOCKLESS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_held: dict[tuple[int, Path], Reservation] = {}


class RefusedError(SettingError):
    """A folder is another's; nothing in it may be touched."""


class Reservation:
    """One thread's right to write into a folder; as a context, it ends with the block."""

    def __init__(self, folder: Path, file: int) -> None:
        self.folder, self._file = folder, file
        self._key = threading.get_ident(), folder.resolve()
        _held[self._key] = self

    def clear(self, names: Sequence[str]) -> None:
        """Take away what an unfinished run left, so that nothing of it is taken for this one's."""
        for path in [*_entries(self.folder), *_entries(self.folder / CONFIG_FOLDER)]:
            is_ours = path.parent == self.folder and _is_one_of(path.name, names)
            if is_ours or _HIDDEN.fullmatch(path.name):
                _remove(path)

    def end(self, sentence: str = "") -> None:
        """Let the folder go; a run without a result leaves one sentence that says why."""
        _held.pop(self._key, None)
        kept = False
        place = self.folder / CONFIG_FOLDER
        if sentence and place.is_dir():
            try:
                write_text(place / REASON, " ".join(sentence.split()) + "\n")
            except Exception:  # the disk may be full; then the claim says that this run is unfinished
                kept = True
        with contextlib.suppress(OSError):
            if not kept:
                (self.folder / RESERVATION).unlink()
        with contextlib.suppress(OSError):
            os.close(self._file)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            log.error(_sentence(error))
        self.end(_sentence(error) if error is not None else "")


def held(folder: Path) -> Reservation | None:
    """Return the claim that this thread has on a folder."""
    return _held.get((threading.get_ident(), folder.resolve()))


def one_held() -> Path | None:
    """Return a folder that this process claimed and has not let go."""
    return next((reservation.folder for reservation in _held.values()), None)


def end_all(sentence: str) -> None:
    """Let every folder go that this process still has, each with a sentence that says why nothing came out."""
    for reservation in [*_held.values()]:
        reservation.end(sentence)


@contextlib.contextmanager
def reserved(folder: Path, settings: str, names: Sequence[str]) -> Iterator[None]:
    """Hold a folder while the block runs; whoever claimed it before ends its claim himself.

    Raises:
        RefusedError: the folder is another's.
    """
    if held(folder):
        yield
        return
    reservation = take(folder, settings, names, "folder")
    try:
        reservation.clear(names)
        yield
    finally:
        reservation.end()


def take(
    folder: Path,
    settings: str,
    names: Sequence[str],
    setting: str,
    saved: Callable[[], str | None] = lambda: None,
    is_free: Callable[[], bool] = lambda: False,
) -> Reservation:
    """Claim a folder that holds none of these names, or an unfinished run of the same settings.

    Args:
        folder: made if it is missing.
        settings: what tells the run from another one.
        names: of all that a run writes, as patterns.
        setting: what a person typed the folder as.
        saved: tells the settings of what lies there where no claim does.
        is_free: tells that what lies there may be written over all the same.

    Raises:
        RefusedError: another run is writing there, has written there, or a person's own file lies there.
        WriteError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _locked(folder, setting)
    except OSError as error:
        raise write_error(folder, error) from error
    before = _content(folder)
    problem = obstacle(folder, settings, names, saved)
    if problem and not is_free():
        if not before or problem == FINISHED:  # it was killed between its last file and the end of its claim
            (folder / RESERVATION).unlink(missing_ok=True)
        os.close(file)
        raise RefusedError(setting, folder, problem, ELSEWHERE)
    reservation = Reservation(folder, file)
    if before:
        reservation.clear(())
    try:
        _write(file, {"settings": settings, **_owner()})
        settle(folder)
    except OSError as error:
        reservation.end()
        raise write_error(folder, error) from error
    return reservation


def release_finished(folder: Path) -> None:
    """Take away the claim beside a finished run whose writer was killed before he ended it himself."""
    if (folder / RESERVATION).exists():
        with contextlib.suppress(RefusedError, OSError):
            file = _locked(folder, "folder")
            (folder / RESERVATION).unlink(missing_ok=True)
            os.close(file)


def obstacle(
    folder: Path, settings: str, names: Sequence[str], saved: Callable[[], str | None] = lambda: None
) -> str:
    """Return what in a folder stands in the way of a run; nothing does where one left no more than a reason."""
    found = sorted(path.name for path in _entries(folder) if _is_one_of(path.name, names))
    if SUMS in found:
        return FINISHED
    came_out = {name for name in found if name not in (FAILURE, CONFIG_FOLDER) and not name.endswith(".log")}
    has_failed = not came_out and (folder / CONFIG_FOLDER / REASON).exists()
    before = _content(folder).get("settings") or saved()
    if not found or before == settings or has_failed:
        return ""
    return (
        "holds an unfinished run of other settings"
        if before
        else f"holds {found[0]}, which is not this run's"
    )


def _locked(folder: Path, setting: str) -> int:
    """Open the claim of a folder and lock it, for as long as this process lives."""
    path = folder / RESERVATION
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            is_ours = _lock(folder, file)
        except OSError:
            os.close(file)
            raise
        if not is_ours:
            owner = _content(folder)
            os.close(file)
            who = f"process {owner['pid']} on {owner['host']}" if "pid" in owner else "another process"
            raise RefusedError(setting, folder, f"is being written by {who}", "choose another folder")
        # The one who had it may have taken it away when he ended.
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)


def _lock(folder: Path, file: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            os.lseek(file, LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _LOCKLESS:
            raise
        return not _lives(_content(folder))
    return True


def _owner() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": started(os.getpid())}


def _lives(owner: dict[str, Any]) -> bool:
    """Whether the process of a claim may still be there; of another machine nobody here knows."""
    if "pid" not in owner or owner.get("pid") == os.getpid():
        return False
    return owner.get("host") != socket.gethostname() or (
        (since := started(int(owner["pid"]))) is not None and since == owner.get("started")
    )


def started(process: int) -> str | None:
    """Return when a process began, which tells it from a later one of the same number; None if it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:
        return ""
    return ""


def _content(folder: Path) -> dict[str, Any]:
    """Read a claim; one whose writer was killed on the way says nothing."""
    try:
        value = json.loads((folder / RESERVATION).read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write(file: int, content: dict[str, Any]) -> None:
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, json.dumps(content).encode())
    os.fsync(file)


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != RESERVATION] if folder.is_dir() else []


def _is_one_of(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _sentence(error: BaseException) -> str:
    if isinstance(error, Interrupted):
        return SIGNALS[error.number]
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, SystemExit):
        return "terminated"
    return str(error).strip() or type(error).__name__
