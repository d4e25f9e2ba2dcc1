"""A set of videos as a source: a sweep makes a job of each."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.errors import SourceError
from vae_experiments.options import setting
from vae_experiments.sources.paths import files_below, locate, refuse
from vae_experiments.sources.video import Video

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vae_experiments.sources.media_reader import MediaReader

_VIDEOS = {
    *(
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".mts",
        ".m2ts",
        ".mxf",
        ".ogv",
    ),
    *(".flv", ".wmv", ".3gp", ".dv", ".y4m", ".gif", ".webp"),
}
"""Files that are taken out of a folder; a pattern takes whatever it matches."""
_PICTURES = {".png", ".jpg", ".jpeg", ".avif", ".heic"}
_HINT = "give a folder of videos, or a pattern such as 'clips/**/*.mp4'"


class Videos(Video):
    """Takes every video of a folder, or that a pattern matches: a sweep makes a job of each."""

    limit: int | None = setting(
        "how many videos at most, the first by name; all if left out", default=None, minimum=1
    )

    def videos(self) -> list[str]:
        """Return the videos, sorted by name; a folder of pictures without a video in it is one as well.

        Raises:
            SourceError: there is none.
        """
        found = _matches(self.path) if is_pattern(self.path) else _below(locate(self.path))
        if not found:
            raise refuse(self.path, "no video is there", _HINT)
        return [str(path) for path in sorted(found, key=lambda path: path.parts)[: self.limit]]

    def _medium(self) -> MediaReader:
        if is_pattern(self.path) or self.videos() != [self.path]:
            raise SourceError(
                f"source.path={self.path} is a set of videos, and a run takes one",
                "type -m, and a sweep makes a job of each",
            )
        return super()._medium()


def is_pattern(path: str) -> bool:
    """Whether a path stands for all that it matches: a file that is really called so is a file."""
    return glob.has_magic(path) and not os.path.lexists(path)


def _matches(pattern: str) -> list[Path]:
    return [Path(path) for path in glob.glob(os.path.expanduser(pattern), recursive=True)]  # noqa: PTH111, PTH207


def _below(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    by_folder: dict[Path, list[Path]] = {}
    for file in files_below(path):
        by_folder.setdefault(file.parent, []).append(file)
    return [found for folder, files in by_folder.items() for found in _of_folder(folder, files)]


def _of_folder(folder: Path, files: Sequence[Path]) -> Sequence[Path]:
    videos = [file for file in files if file.suffix.lower() in _VIDEOS]
    pictures = [file for file in files if file.suffix.lower() in _PICTURES]
    return videos or ([folder] if len(pictures) > 1 else [])
