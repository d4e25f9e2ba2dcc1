"""Finished files that runs would write alike, and the numbers that belong to them: made once, copied out again.

    <key>-videos/numbers.json     the numbers, and under which name all was kept
    <key>-videos/original.mp4     the files, named as in a run's folder
    <key>-videos/SHA256SUMS       written last

They are copied and not linked: what somebody does to a file in one folder happens to no other.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from vae_experiments.cache.store import NUMBERS
from vae_experiments.files import atomic_write, read_sums, whole_folder, write_json, write_sums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from vae_experiments.cache.store import Store

log = logging.getLogger(__name__)
BLOCK_BYTES = 2**20
_NAME = re.compile(r"\w+(/\d+)?\.\w+")
"""What is kept: files, and those of a folder of numbered pictures; nothing that leads elsewhere."""


@dataclass
class KeptFiles:
    """One set of files: copied from where it was kept before, else kept."""

    store: Store | None = None
    name: str = ""
    still_true: Callable[[], bool] = lambda: True
    """Asked before publishing: what the key stands for must not have changed meanwhile."""

    @contextlib.contextmanager
    def copied_into(self, folder: Path) -> Iterator[dict[str, Any] | None]:
        """Lend the numbers of files that appear in a folder when the block ends without an error.

        None, and nothing appears, where they are not kept. A damaged entry is thrown away with one warning.

        Raises:
            WriteError: the folder cannot be written to.
        """
        with ExitStack() as whole:
            numbers = None
            if self.store is not None and self.store.has(self.name):
                try:
                    numbers = self._copied(self.store.folder / self.name, folder, whole)
                    self.store.mark_used(self.name)
                except ValueError as error:
                    log.warning("cache: an entry is damaged (%s); it is made again", error)
                    self.store.discard(self.name)
            yield numbers

    def _copied(self, kept: Path, folder: Path, whole: ExitStack) -> dict[str, Any]:
        """Copy every file of an entry to a hidden name, and leave it to a stack to publish them.

        Raises:
            ValueError: the entry is not what was written.
        """
        sums = read_sums(kept, NUMBERS)
        numbers: dict[str, Any] = json.loads(b"".join(_checked(kept, NUMBERS, sums)))
        if numbers.pop("name", None) != self.name or not all(map(_NAME.fullmatch, sums)):
            raise ValueError("it was kept under another name")
        with ExitStack() as begun:
            folders: dict[str, Path] = {}
            for name in (name for name in sums if name != NUMBERS):
                first, *inner = PurePosixPath(name).parts
                if inner and first not in folders:
                    folders[first] = begun.enter_context(whole_folder(folder / first))
                place = folders[first].joinpath(*inner) if inner else folder / first
                hidden = begun.enter_context(contextlib.nullcontext(place) if inner else atomic_write(place))
                with hidden.open("wb") as copy:
                    copy.writelines(_checked(kept, name, sums))
            whole.enter_context(begun.pop_all())
        return numbers

    def keep(self, folder: Path, names: Sequence[str], numbers: dict[str, Any]) -> None:
        """Keep finished files of a folder, and numbers, unless they are kept already, or cannot be."""
        store = self.store
        if store is None or store.has(self.name) or not self.still_true():
            return

        def fill(hidden: Path) -> None:
            for name in names:
                (hidden / name).parent.mkdir(exist_ok=True)
                with (folder / name).open("rb") as file, (hidden / name).open("wb") as copy:
                    copy.writelines(_blocks(file))
            write_json(hidden / NUMBERS, {"name": self.name, **numbers})
            write_sums(hidden, names, NUMBERS)

        store.unless_impossible(lambda: store.publish_files(self.name, fill))


def _checked(kept: Path, name: str, sums: dict[str, str]) -> Iterator[bytes]:
    """Read a file block by block, and vouch at its end that it is the one that was written.

    Raises:
        ValueError: it is not, or cannot be read.
    """
    sha = sha256()
    try:
        with (kept / name).open("rb") as file:
            for block in _blocks(file):
                sha.update(block)
                yield block
    except OSError as error:
        raise ValueError(str(error)) from error
    if sha.hexdigest() != sums[name]:
        raise ValueError(f"{name} is not what was written")


def _blocks(file: Any) -> Iterator[bytes]:
    return iter(lambda: file.read(BLOCK_BYTES), b"")
