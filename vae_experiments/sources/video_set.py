"""Sets of videos: what a folder or a pattern holds, for a sweep that makes a job of each, and for training."""

from __future__ import annotations

import glob
import os
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.errors import SourceError
from vae_experiments.files import expanded
from vae_experiments.options import setting
from vae_experiments.sources.paths import VIDEOS, files_below, locate, refuse
from vae_experiments.sources.video import Video

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vae_experiments.sources.media_reader import MediaReader

_PICTURES = {".png", ".jpg", ".jpeg", ".avif", ".heic"}
_HINT = "give a folder of videos, or a pattern such as 'clips/**/*.mp4', in which capitals count"


class Videos(Video):
    """Takes every video of a folder, or that a pattern matches: a sweep makes a job of each."""

    limit: int | None = setting(
        "how many videos at most, the first by name; all if left out", default=None, minimum=1
    )

    def videos(self) -> list[str]:
        """Return the videos; see ``videos_at``."""
        return [str(path) for path in videos_at(self.path, self.limit)]

    def passed_over(self) -> int:
        """Count the other files; see ``passed_over_at``."""
        return passed_over_at(self.path)

    def _medium(self) -> MediaReader:
        if is_pattern(self.path) or self.videos() != [self.path]:
            raise SourceError(
                f"source.path={self.path} is a set of videos, and a run takes one",
                "type -m, and a sweep makes a job of each",
            )
        return super()._medium()


def videos_at(
    path: str,
    limit: int | None = None,
    *,
    stills: bool = False,
    on_error: Callable[[OSError], object] | None = None,
) -> list[Path]:
    """Return the videos of a folder and of all below it, or what a pattern matches, sorted by name.

    A file stands for itself. A folder of pictures without a video in it is a video as well.

    Args:
        path: of the folder or the file, or the pattern.
        limit: the first so many; all if left out.
        stills: take each picture by itself, beside the videos.
        on_error: is told of what cannot be listed.

    Raises:
        SourceError: there is none.
    """
    found = _matches(path) if is_pattern(path) else _below(locate(path), stills, on_error)
    if not found:
        raise refuse(path, "no video is there", _HINT)
    return sorted(found, key=lambda path: path.parts)[:limit]


def passed_over_at(path: str, *, stills: bool = False) -> int:
    """Count the files of a folder that are not hidden and belong to none of the videos that ``videos_at`` finds."""
    if is_pattern(path) or (place := locate(path)).is_file():
        return 0
    taken = set(videos_at(path, stills=stills))
    return sum(not taken & {file, file.parent} for file in files_below(place))


def root_of(path: str) -> Path:
    """Return the folder below which all is that ``videos_at`` finds."""
    if is_pattern(path):
        parts = expanded(path).parts[:-1]
        return Path(*takewhile(lambda part: not glob.has_magic(part), parts))
    place = locate(path)
    return place.parent if place.is_file() else place


def is_pattern(path: str) -> bool:
    """Whether a path stands for all that it matches: a file that is really called so is a file."""
    return glob.has_magic(path) and not os.path.lexists(path)


def _matches(pattern: str) -> list[Path]:
    found = [Path(path) for path in glob.glob(str(expanded(pattern)), recursive=True)]  # noqa: PTH207
    return [path for path in found if not path.is_dir() or _holds_pictures(path)]


def _holds_pictures(folder: Path) -> bool:
    _, _, files = next(os.walk(folder), ("", [], list[str]()))  # which passes over what may not be read
    return any(Path(file).suffix.lower() in _PICTURES for file in files)


def _below(path: Path, stills: bool, on_error: Callable[[OSError], object] | None) -> list[Path]:
    if path.is_file():
        return [path]
    by_folder: dict[Path, list[Path]] = {}
    for file in files_below(path, on_error):
        by_folder.setdefault(file.parent, []).append(file)
    return [found for folder, files in by_folder.items() for found in _of_folder(folder, files, stills)]


def _of_folder(folder: Path, files: Sequence[Path], stills: bool) -> Sequence[Path]:
    videos = [file for file in files if file.suffix.lower().rstrip() in VIDEOS]
    pictures = [file for file in files if file.suffix.lower().rstrip() in _PICTURES]
    if stills:
        return [*videos, *pictures]
    return videos or ([folder] if len(pictures) > 1 else [])
