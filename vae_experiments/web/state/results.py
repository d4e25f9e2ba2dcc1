"""Results: the finished runs that the page shows, each under an id that nobody can guess."""

from __future__ import annotations

import secrets
import shutil
import zipfile
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ARCHIVE = "run.zip"
SHOWN_INLINE = {
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
}
"""What the page shows or links to; a folder's other files are in its archive only."""


@dataclass(frozen=True)
class Kept:
    """One finished run, or one sweep."""

    id: str
    folder: Path
    title: str
    command: str
    metrics: Mapping[str, Any]
    chain: str = ""
    """What the changed video was changed by, in words."""
    passing: bool = False
    """Whether its folder goes when it is no longer shown: a preview."""
    _archive: Lock = field(default_factory=Lock)

    def url(self, name: str) -> str:
        """Return where the browser finds one of its files."""
        return f"results/{self.id}/{name}"

    def file(self, name: str) -> Path | None:
        """Find a file by name among those that are there; no name leads out of the folder."""
        if name == ARCHIVE:
            return self._zipped()
        for path in sorted(self.folder.rglob("*")):
            if path.relative_to(self.folder).as_posix() == name and path.suffix in SHOWN_INLINE:
                return path if path.is_file() and not path.is_symlink() else None
        return None

    def videos(self) -> list[str]:
        """Name the decoded videos, the changed one last."""
        return ["original", *(name for name in self.metrics if name.startswith("reconstructed"))]

    def label(self, name: str) -> str:
        """Name a video for a person: ``with noise + motion gain``."""
        return f"with {self.chain}" if name.startswith("reconstructed_with_") else name

    def _zipped(self) -> Path:
        # Hidden, so that it is no part of the folder that it holds.
        archive = self.folder / f".{ARCHIVE}"
        with self._archive:
            if not archive.exists():
                unfinished = self.folder / f".{ARCHIVE}.part"
                with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as file:
                    for path in sorted(self.folder.rglob("*")):
                        inside = path.relative_to(self.folder)
                        if path.is_file() and not inside.name.startswith(f".{ARCHIVE}"):
                            file.write(path, f"{self.folder.name}/{inside.as_posix()}")
                unfinished.replace(archive)
        return archive


class Results:
    """Remembers the last runs; the folders stay when the memory goes."""

    def __init__(self, most: int = 500) -> None:
        self.most = most
        self._kept: dict[str, Kept] = {}
        self._lock = Lock()

    def keep(
        self,
        folder: Path,
        title: str,
        command: str,
        metrics: Mapping[str, Any],
        chain: str = "",
        passing: bool = False,
    ) -> Kept:
        """Return a finished folder an id."""
        kept = Kept(secrets.token_urlsafe(16), folder, title, command, metrics, chain, passing)
        with self._lock:
            self._kept[kept.id] = kept
            gone = list(self._kept)[: -self.most]
        for key in gone:
            self.drop(key)
        return kept

    def get(self, key: object) -> Kept | None:
        """Find a run by its id; None where there is none."""
        return self._kept.get(key) if isinstance(key, str) else None

    def drop(self, key: object) -> None:
        """Forget a run; a preview's folder goes with it."""
        with self._lock:
            kept = self._kept.pop(key, None) if isinstance(key, str) else None
        if kept is not None and kept.passing:
            shutil.rmtree(kept.folder, ignore_errors=True)
