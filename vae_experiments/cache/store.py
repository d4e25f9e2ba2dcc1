"""Entries of the cache on disk: whole or absent, checked at each read, the least recently used go first.

    <folder>/<key>-latents/       normalised latents of one video through one model
    <folder>/<key>-frames/        the same, decoded untouched, as 8-bit pixels
    <folder>/<key>-videos/        the files that a run writes of these frames and of the originals
    <folder>/<key>-flow/          the optical flow of its frames, in cells of latents
    <folder>/<key>-steering/      what turns the detail inside the cells of one model

Nothing is ever locked. A writer prepares its entry under a hidden name of its own and publishes it by
rename; of several that missed the same entry one wins, and the others throw theirs away.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from vae_experiments.cache.latent_files import LatentFolder, checked_chunks
from vae_experiments.errors import WriteError
from vae_experiments.files import hidden_beside, is_complete, read_json, whole_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from torch import Tensor

Done = TypeVar("Done")
log = logging.getLogger(__name__)
ABANDONED_SECONDS = 24 * 3600
NUMBERS = "numbers.json"
"""What an entry of finished files has beside them."""
_NAME = r"[0-9a-f]{40}-(latents|frames|videos|flow|steering)"
_OURS = re.compile(rf"\.{_NAME}\.\d+\.[0-9a-f]{{8}}")
_ENTRY = re.compile(_NAME)


class Entry(NamedTuple):
    """One entry as ``vae-experiments cache list`` shows it."""

    name: str
    size_bytes: int
    used: float
    """When it was last used, in seconds since 1970."""


@dataclass
class Store:
    """Finds, reads, writes and evicts entries, for one run."""

    folder: Path
    limit_bytes: float
    is_given_up: bool = field(default=False, init=False)
    """Whether it could not be written to: the streams of a run share one disk, and one warning."""

    def has(self, name: str) -> bool:
        """Whether there is anything of that name; only reading it shows whether it is whole."""
        # Path.exists raises where a folder may not be looked into.
        return os.path.exists(self.folder / name)  # noqa: PTH110

    def read(self, name: str) -> Iterator[Tensor]:
        """Read an entry, chunk by chunk.

        The name, which is the key, is that of the stream inside too: an entry that was moved to the place of
        another is not taken for it.

        Raises:
            ValueError: it is not what was written, or not under this name; nothing wrong was given.
        """
        self.mark_used(name)
        yield from checked_chunks(self.folder / name, name)

    def mark_used(self, name: str) -> None:
        """Let an entry stay longer than those that were used before it."""
        with contextlib.suppress(OSError):
            os.utime(self.folder / name)

    def write(self, name: str) -> LatentFolder:
        """Begin an entry.

        Raises:
            WriteError: the folder cannot be written to.
        """
        return LatentFolder(self.folder / name)

    def unless_impossible(self, work: Callable[[], Done]) -> Done | None:
        """Do what it is asked to; where the disk does not let it, say so in one line and continue without."""
        if self.is_given_up:
            return None
        try:
            return work()
        except WriteError as error:
            self.is_given_up = True
            log.warning("cache: %s; continuing without it", error.problem)
            return None

    def publish(self, name: str, written: LatentFolder) -> None:
        """Make a finished entry visible, unless another process was faster, and keep to the limit.

        Raises:
            WriteError: the disk is full.
        """
        try:
            written.finish()
        except WriteError:
            written.abandon()
            if self.has(name):
                return
            raise
        self._sweep()
        self._evict(spared=name)

    def publish_files(self, name: str, fill: Callable[[Path], None]) -> None:
        """Have a hidden folder filled and make it visible, as ``publish`` does.

        Raises:
            WriteError: the disk is full.
        """
        try:
            with whole_folder(self.folder / name) as hidden:
                fill(hidden)
        except WriteError:
            if self.has(name):
                return
            raise
        self._sweep()
        self._evict(spared=name)

    def discard(self, name: str) -> None:
        """Take an entry away, at once for whoever looks for it."""
        hidden = hidden_beside(self.folder / name)
        with contextlib.suppress(OSError):
            (self.folder / name).replace(hidden)
            hidden.unlink() if hidden.is_file() else shutil.rmtree(hidden, ignore_errors=True)

    def entries(self) -> list[Entry]:
        """List the entries, the least recently used first."""
        found = []
        for place in self._names(_ENTRY):
            # Another process may evict it meanwhile.
            with contextlib.suppress(OSError):
                used = (self.folder / place).stat().st_mtime
                found.append(Entry(place, _bytes_in(self.folder / place), used))
        return sorted(found, key=lambda entry: entry.used)

    def damaged(self) -> list[str]:
        """Name the entries that are not what was written under their names, each file read and compared."""
        return [entry.name for entry in self.entries() if not self._is_whole(entry.name)]

    def _is_whole(self, name: str) -> bool:
        if name.endswith("-videos"):
            place = self.folder / name
            return is_complete(place, NUMBERS) and read_json(place / NUMBERS)["name"] == name
        try:
            for _ in checked_chunks(self.folder / name, name):
                pass
        except ValueError:
            return False
        return True

    def _evict(self, spared: str) -> None:
        entries = self.entries()
        total = sum(entry.size_bytes for entry in entries)
        for entry in entries:
            if total <= self.limit_bytes:
                return
            if entry.name != spared:
                self.discard(entry.name)
                total -= entry.size_bytes

    def _sweep(self) -> None:
        """Remove what processes that were killed left half-written; a day old, nobody writes it any more."""
        for name in self._names(_OURS):
            with contextlib.suppress(OSError):
                if time.time() - (self.folder / name).stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(self.folder / name, ignore_errors=True)

    def _names(self, pattern: re.Pattern[str]) -> Iterable[str]:
        try:
            return [path.name for path in self.folder.iterdir() if pattern.fullmatch(path.name)]
        except OSError:
            return []


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*"))
