"""Warps: each frame of the latents looked up at other places.

An autoencoder's latents do not turn or stretch with the picture, so that what is decoded differs from
the warped video the more, the further a warp is from a shift by whole cells.
"""

from __future__ import annotations

from math import ceil, cos, pi, radians, sin
from typing import TYPE_CHECKING

from vae_experiments.manipulations.effects.space import frame_by_frame
from vae_experiments.manipulations.manipulation import Manipulation
from vae_experiments.options import Choice, Scheduled, setting
from vae_experiments.tensors import numbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip, Extent
    from vae_experiments.tensors import Latents

WHOLE_CELLS = 1e-4
"""So near to a whole number of cells a place is taken to be there: schedules are float32."""


class Warp(Manipulation, group="manipulation"):
    """Looks each frame up at other places, measured on the frame and not on the cells that it was padded to."""

    def warped(self, latents: Latents, at: int, clip: Clip) -> Latents:
        """Look every frame of a chunk up, whose scheduled settings are the numbers of their moments."""
        raise NotImplementedError

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Look up chunk after chunk."""
        for at, latents in numbered(chunks):
            yield self.during(at, len(latents), clip).warped(latents, at, clip)


class Rotate(Warp):
    """Turns the picture about its middle; the detail inside each cell stays upright, and frays.

    Bilinear between cells; outside the frame its border continues.
    """

    gallery_values = ("degrees", (3, 10, 30))

    degrees: Scheduled = setting(
        "angle, counter-clockwise", default=15.0, unit="degrees", minimum=-36000, maximum=36000
    )

    def warped(self, latents: Latents, _at: int, clip: Clip) -> Latents:
        """Turn every frame by the angle of its moment."""
        width, height = clip.extent(latents)

        def turned(frame: Tensor, degrees: float) -> Tensor:
            x, y = places(frame)
            across, down = x - (width - 1) / 2, y - (height - 1) / 2
            # y points down: what is shown here was this much further clockwise.
            turn = radians(degrees)
            source_x = across * cos(turn) - down * sin(turn) + (width - 1) / 2
            source_y = across * sin(turn) + down * cos(turn) + (height - 1) / 2
            return looked_up(frame, source_x, source_y)

        return frame_by_frame(turned, latents, self.degrees)


class Edge(Choice):
    """What comes in from outside the frame."""

    wrap = "what leaves on the other side"
    border = "the border continues"


class Shift(Warp):
    """Moves the picture across the frame; a ramp of x or y is a pan.

    Bilinear between cells, and exact where the shift is a whole number of them.
    """

    gallery_values = ("x", (0.05, 0.2, 0.5))

    x: Scheduled = setting(
        "way to the right", default=0.25, unit="widths of the frame", minimum=-100, maximum=100
    )
    y: Scheduled = setting("way down", default=0.0, unit="heights of the frame", minimum=-100, maximum=100)
    edge: Edge = setting("what comes in from outside the frame", default=Edge.wrap)

    def warped(self, latents: Latents, _at: int, clip: Clip) -> Latents:
        """Move every frame by the way of its moment."""
        extent = clip.extent(latents)
        around = extent if self.edge is Edge.wrap else None

        def moved(frame: Tensor, right: float, down: float) -> Tensor:
            x, y = places(frame)
            return looked_up(frame, x - right * extent.width, y - down * extent.height, around)

        return frame_by_frame(moved, latents, self.x, self.y)


class Zoom(Warp):
    """Enlarges the picture about a point, or shrinks it; a ramp is a ride into it.

    Bilinear between cells; outside the frame its border continues.
    """

    gallery_values = ("factor", (1.1, 1.4, 2))

    factor: Scheduled = setting(
        "size against before: 1 changes nothing, below 1 shrinks", default=1.5, minimum=0.01
    )
    x: Scheduled = setting(
        "the point that stays, from the left",
        default=0.5,
        unit="widths of the frame",
        minimum=-10,
        maximum=10,
    )
    y: Scheduled = setting(
        "the point that stays, from the top",
        default=0.5,
        unit="heights of the frame",
        minimum=-10,
        maximum=10,
    )

    def warped(self, latents: Latents, _at: int, clip: Clip) -> Latents:
        """Enlarge every frame by the factor of its moment."""
        width, height = clip.extent(latents)

        def enlarged(frame: Tensor, factor: float, x_share: float, y_share: float) -> Tensor:
            x, y = places(frame)
            # A fraction of the frame counts from its edge, a place from the middle of the first cell.
            centre_x, centre_y = x_share * width - 0.5, y_share * height - 0.5
            return looked_up(frame, centre_x + (x - centre_x) / factor, centre_y + (y - centre_y) / factor)

        return frame_by_frame(enlarged, latents, self.factor, self.x, self.y)


class Direction(Choice):
    """Which way the waves swing; they travel across that."""

    vertical = "up and down"
    horizontal = "to and fro"


class Wave(Warp):
    """Bends the picture in waves that travel across it.

    Each column is looked up at ``y + amplitude * sin(2 pi (x / wavelength + speed_hz * t))``, t in
    seconds, or each row at x with the axes exchanged. Bilinear; outside the frame its border continues.
    """

    gallery_values = ("amplitude", (0.4, 1, 2.5))

    amplitude: Scheduled = setting(
        "height of the waves: 0 is none", default=1.0, unit="latent cells", minimum=-1000, maximum=1000
    )
    wavelength: Scheduled = setting("from crest to crest", default=8.0, unit="latent cells", minimum=1)
    speed_hz: float = setting(
        "waves that pass a place in a second", default=0.5, unit="Hz", minimum=-1000, maximum=1000
    )
    direction: Direction = setting("which way the waves swing", default=Direction.vertical)

    def warped(self, latents: Latents, at: int, clip: Clip) -> Latents:
        """Bend every frame as at its moment in seconds."""
        import torch

        numbers = range(at, at + len(latents))
        # Whole periods change nothing, and float32 would lose the rest of one late in a long clip.
        passed = torch.tensor([self.speed_hz * clip.seconds(number) % 1 for number in numbers])
        return frame_by_frame(self._bent, latents, self.amplitude, self.wavelength, passed)

    def _bent(self, frame: Tensor, amplitude: float, wavelength: float, passed: float) -> Tensor:
        x, y = places(frame)
        if self.direction is Direction.vertical:
            return looked_up(frame, x, y + amplitude * (2 * pi * (x / wavelength + passed)).sin())
        return looked_up(frame, x + amplitude * (2 * pi * (y / wavelength + passed)).sin(), y)


def places(frame: Tensor) -> tuple[Tensor, Tensor]:
    """Return the place of each cell of a frame ``C h w``: x as ``1 w`` and y as ``h 1``, in cells."""
    import torch

    height, width = frame.shape[-2:]
    return torch.arange(width, dtype=torch.float64)[None], torch.arange(height, dtype=torch.float64)[:, None]


def looked_up(frame: Tensor, x: Tensor, y: Tensor, around: Extent | None = None) -> Tensor:
    """Look a frame ``C h w`` up at places in cells, bilinear; outside its border continues, or it comes around.

    The same as ``grid_sample``, which knows no wrapping, but bit for bit the cell itself at whole cells:
    grid_sample's float32 places from -1 to 1 seldom meet one.
    """
    import torch

    height, width = frame.shape[-2:]
    (left, right, rightwards), (above, below, downwards) = (
        _neighbours(place, side, length)
        for place, side, length in zip((x, y), (width, height), around or (None, None), strict=True)
    )
    rightwards, downwards = rightwards.to(frame), downwards.to(frame)
    upper = torch.lerp(frame[:, above, left], frame[:, above, right], rightwards)
    lower = torch.lerp(frame[:, below, left], frame[:, below, right], rightwards)
    return torch.lerp(upper, lower, downwards)


def _neighbours(place: Tensor, side: int, length: float | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cells before and after a place on one axis, and the fraction of the way between them.

    After ``length`` cells the first one comes again: where the frame ends inside its last cell, sooner after
    that one than a cell.
    """
    import torch

    nearest = place.round()
    place = torch.where((place - nearest).abs() < WHOLE_CELLS, nearest, place)
    if length is None:
        place = place.clamp(0, side - 1)
        first = place.floor().long()
        return first, (first + 1).clamp(max=side - 1), place - first
    last = ceil(length) - 1
    place = place.remainder(length)
    first = place.floor().long()
    gap = torch.where(first == last, length - last, 1.0)
    return first, torch.where(first == last, 0, first + 1), (place - first) / gap
