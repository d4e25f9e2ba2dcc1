"""A file that is read as it is, such as a table or a song: its content, and whether it is there still."""

from __future__ import annotations

from typing import NamedTuple

from vae_experiments.files import digest
from vae_experiments.sources.paths import locate, refuse, stamp


class PlainFile(NamedTuple):
    """One file, by its name."""

    name: str

    def title(self) -> str:
        """Name the file, without the way to it."""
        return locate(self.name).name

    def digest(self) -> str:
        """Identify its bytes by SHA-256.

        Raises:
            SourceError: there is no such file.
        """
        path = locate(self.name)
        if path.is_dir():
            raise refuse(path, "is a folder", "give a file")
        return digest(path)

    def state(self) -> object:
        """Return what is another once the file was changed or replaced."""
        return stamp(locate(self.name))
