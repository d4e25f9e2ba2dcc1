"""Scratch: a folder for as long as a server runs; those of servers that were killed are cleared away."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: whether a folder is in use shows by nothing, so none is cleared
    fcntl = None  # type: ignore[assignment]

PREFIX = "vae_experiments_web_"


class Scratch:
    """A new folder among the system's temporary ones, which a lock says to be in use until the process ends."""

    def __init__(self) -> None:
        for abandoned in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            if (lock := _locked(abandoned)) is not None:
                shutil.rmtree(abandoned, ignore_errors=True)
                os.close(lock)
        self.folder, self._lock = _new_folder()

    def close(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self._lock)


def _new_folder() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        if fcntl is None:
            return folder, -1
        lock = _locked(folder)
        # Another server that starts may have taken it, unlocked for a moment, for an abandoned one.
        if lock is not None and folder.exists():
            return folder, lock


def _locked(folder: Path) -> int | None:
    """Lock a folder of our own, no link; None where another process holds it."""
    if fcntl is None:
        return None
    lock = None
    with contextlib.suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if os.fstat(lock).st_uid == os.getuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
    if lock is not None:
        os.close(lock)
    return None
