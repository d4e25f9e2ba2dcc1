"""What listeners hear and read beside the latents: the source's sound, a song, another tool's table."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from vae_experiments.errors import SourceError
from vae_experiments.files import expanded
from vae_experiments.schedules import UnheardError, Waveform
from vae_experiments.sources import Content, PlainFile, SourceInfo, read_sound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, eq=False)
class OtherFiles:
    """Reads the files that expressions name, and the sound of one source."""

    info: SourceInfo
    places: Mapping[str, str]
    """Where files lie that are known by another name than their path."""
    contents: dict[str, Content] = field(default_factory=dict)
    """The content of each that was looked over, by the setting that names it."""

    @functools.cached_property
    def _sounds(self) -> dict[str, Waveform]:
        return {}

    def check(self, name: str, setting: str) -> None:
        """Take the digest of a file before anything is written.

        Raises:
            SourceError: there is no such file.
        """
        try:
            self.contents[f"{setting}: {name}"] = Content.of(PlainFile(self.places.get(name, name)))
        except SourceError as error:
            raise SourceError(error.problem.replace("source.path", setting, 1), error.hint) from error

    def path(self, name: str) -> Path:
        """Find a file by its name."""
        return expanded(self.places.get(name, name))

    def sound(self, name: str) -> Waveform:
        """Return the sound of a file from the clip's first frame on, or with no name that of the source.

        Raises:
            UnheardError: there is none.
        """
        if name not in self._sounds:
            self._sounds[name] = self._read(name)
        return self._sounds[name]

    def _read(self, name: str) -> Waveform:
        own = self.info.sound
        if not name and own is None:
            raise UnheardError(
                "the source has no sound to listen to", "name a file with sound, as path=song.wav"
            )
        start = own.start if own and not name else Fraction(0)
        path = self.places.get(name, name) if name or own is None else str(own.path)
        try:
            return read_sound(path, start, self.info.end)
        except SourceError as error:
            raise UnheardError(error.problem.removeprefix("source.path="), error.hint) from error
