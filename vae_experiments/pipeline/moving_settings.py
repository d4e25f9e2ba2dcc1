"""What settings do over time: a value a frame of each that moves, and the bands of the sound that any listens to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vae_experiments.files import csv_text, write_text
from vae_experiments.schedules import BANDS, Audio, UnheardError
from vae_experiments.writers import plot_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vae_experiments.manipulations import ChainStep, Clip

PICTURE = "settings.png"


@dataclass(frozen=True)
class MovingSettings:
    """The settings of a chain that are expressions, each by its address, a value a frame."""

    begins: Sequence[float] = ()
    """When each frame begins, in seconds."""
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    bands: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """How loud low, mid and high are, where something listens."""

    @classmethod
    def of(cls, links: Sequence[ChainStep], clip: Clip) -> MovingSettings:
        """Take the values of every step of a chain, which was checked for this clip."""
        curves: dict[str, Sequence[float]] = {}
        bands: dict[str, Sequence[float]] = {}
        begins = [clip.timeline.seconds(frame) for frame in range(clip.frames or 0)]
        for link in links:
            for address, values in link.curves(clip).items():
                frames = range(clip.frames or 0)
                curves[address] = [values[min(clip.latent(frame), len(values) - 1)] for frame in frames]
            for path in link.sounds():
                bands |= _bands(clip, path)
            clip = link.after(clip)
        return cls(begins, curves, bands)

    def draw(self, path: Path) -> None:
        """Draw all of it over time."""
        plot_settings(path, self.begins, self.curves, self.bands)

    def write_table(self, path: Path) -> None:
        """Write a row a frame."""
        columns = {**self.curves, **self.bands}
        rows = [
            [frame, round(begins, 6), *(column[frame] for column in columns.values())]
            for frame, begins in enumerate(self.begins)
        ]
        write_text(path, csv_text(["frame", "seconds", *columns], rows))


def _bands(clip: Clip, path: str) -> dict[str, Sequence[float]]:
    """Return the loudness of each band that the sound has, by its name and the file's."""
    found: dict[str, Sequence[float]] = {}
    of_path = f" of {path}" if path else ""
    for name in ("low", "mid", "high"):
        moments = [clip.timeline.seconds(clip.frame(clip.latent(frame))) for frame in range(clip.frames or 0)]
        try:
            found[f"{name}{of_path}"] = [
                Audio(BANDS[name], path).at(moment, clip.timeline) for moment in moments
            ]
        except UnheardError:  # it lies above half the rate
            continue
    return found
