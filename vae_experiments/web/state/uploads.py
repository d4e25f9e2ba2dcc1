"""Uploads: what the browser sent, kept under names that the server made, and never more than fits."""

from __future__ import annotations

import filecmp
import re
import secrets
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import TYPE_CHECKING

from vae_experiments.errors import SourceError
from vae_experiments.files import write_error
from vae_experiments.sources import Video

if TYPE_CHECKING:
    from vae_experiments.sources import SourceInfo

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".mpg", ".mpeg", ".h264", ".y4m",
    ".gif", ".webp", ".apng", ".png", ".jpg", ".jpeg", "",
)  # fmt: skip
"""What the names of videos and pictures end in; what a file is, its content says."""
LONGEST_NAME = 80


@dataclass(frozen=True)
class Limits:
    """What the page takes of files and of work."""

    upload_bytes: int = 200 * 10**6
    stored_bytes: int = 2 * 10**9
    stored_files: int = 200
    pixels: int = 64 * 10**6
    """Frames times width times height of one run."""
    seconds: float = 600.0
    """How long one run may take."""
    free_bytes: int = 10**9
    """What must stay free on the disk for a run to begin."""


@dataclass(frozen=True)
class Upload:
    """One file of a person's, which only its id leads to."""

    id: str
    path: Path
    info: SourceInfo
    damage: str = ""
    """What is wrong with it, where it can be read in part."""

    @property
    def name(self) -> str:
        """The name that the person knows it by, made safe to type and to show."""
        return self.path.name


class Uploads:
    """Keeps uploaded files in a folder of its own; the oldest go when there are too many."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self._kept: dict[str, Upload] = {}
        self._lock = Lock()

    def take(self, file: Path, name: str) -> Upload:
        """Keep a copy of a file that arrived, after a look at what it is.

        Raises:
            SourceError: it is too large, of another kind, or no video that can be read.
            WriteError: there is no room for it.
        """
        shown = safe_name(name)
        if PurePosixPath(shown.lower()).suffix not in SUFFIXES:
            hint = f"give one of {', '.join(SUFFIXES[:-1])}"
            raise SourceError(f"{shown}: no kind of file that this page takes", hint)
        try:
            size = file.stat().st_size
        except FileNotFoundError:  # the same file came twice at once, and the other one has taken it
            raise SourceError(f"{shown}: it is not here any more", "upload it again") from None
        if size > self.limits.upload_bytes:
            most = self.limits.upload_bytes // 10**6
            raise SourceError(f"{shown}: more than {most} MB", "cut it, or type the command yourself")
        key = secrets.token_urlsafe(12)
        place = self.folder / key
        place.mkdir(parents=True)
        try:
            shutil.copyfile(file, place / shown)
            upload = _looked_at(key, place / shown)
        except BaseException as error:
            shutil.rmtree(place, ignore_errors=True)
            if isinstance(error, OSError):
                raise write_error(self.folder / shown, error) from error
            raise
        with self._lock:
            self._kept[key] = upload
            self._make_room()
        return upload

    def get(self, key: object) -> Upload:
        """Find a file again by its id.

        Raises:
            SourceError: it was never there, or had to go.
        """
        if upload := self.find(key):
            return upload
        raise SourceError("no video was uploaded, or it is not kept any more", "upload it again")

    def find(self, key: object) -> Upload | None:
        """Find a file again by its id; None where there is none."""
        return self._kept.get(key) if isinstance(key, str) else None

    def _make_room(self) -> None:
        sizes = {key: upload.path.stat().st_size for key, upload in self._kept.items()}
        while len(sizes) > 1 and (
            sum(sizes.values()) > self.limits.stored_bytes or len(sizes) > self.limits.stored_files
        ):
            oldest = next(iter(sizes))
            shutil.rmtree(self._kept.pop(oldest).path.parent, ignore_errors=True)
            del sizes[oldest]


def _looked_at(key: str, path: Path) -> Upload:
    try:
        return Upload(key, path, Video(path=str(path)).info)
    except SourceError as error:
        try:
            return Upload(key, path, Video(path=str(path), allow_partial=True).info, damage=str(error))
        except SourceError:
            raise error from None


def same_content(one: Upload, other: Upload) -> bool:
    """Whether two uploads are the same file, sent twice."""
    return filecmp.cmp(one.path, other.path, shallow=False)


def safe_name(name: str) -> str:
    """Make of a file's own name one that no shell, config or page reads as anything else."""
    last = unicodedata.normalize("NFKC", name).replace("\\", "/").rpartition("/")[2]
    plain = re.sub(r"[^\w.-]+", "_", last).lstrip("._-") or "video"
    plain = plain if "." in plain or "." not in last else f"video.{plain}"
    stem, dot, suffix = plain.rpartition(".")
    return plain if len(plain) <= LONGEST_NAME else f"{stem[: LONGEST_NAME - len(suffix) - 1]}{dot}{suffix}"
