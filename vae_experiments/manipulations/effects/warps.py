"""Warps: each frame of the latents looked up at other places.

An autoencoder's latents do not turn or stretch with the picture. Where a steering is fitted to the model
(``steering.py``) the detail inside each cell is turned and stretched too; without one, what is decoded
differs from the warped video the more, the further a warp is from a shift by whole cells.
"""

from __future__ import annotations

from math import cos, pi, radians, sin
from typing import TYPE_CHECKING

from vae_experiments.manipulations.effects.space import STEER, frame_by_frame
from vae_experiments.manipulations.lookup import looked_up, places
from vae_experiments.manipulations.manipulation import Manipulation
from vae_experiments.options import Choice, Scheduled, setting
from vae_experiments.tensors import numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.manipulations.lookup import Extent
    from vae_experiments.manipulations.steering import Source
    from vae_experiments.tensors import Latents

    LookUp: TypeAlias = Callable[..., Tensor]
    """Looks a frame up at the places that a source names, and perhaps comes around: plainly or steered."""


class Warp(Manipulation, group="manipulation"):
    """Looks each frame up at other places, measured on the frame and not on the cells that it was padded to."""

    steer: bool | None = setting(STEER, default=None)

    def warped(self, latents: Latents, at: int, clip: Clip, look_up: LookUp) -> Latents:
        """Look every frame of a chunk up, whose scheduled settings are the numbers of their moments."""
        raise NotImplementedError

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Look up chunk after chunk."""
        steering = clip.steered(self.steer)
        look_up = steering.look_up if steering else looked_up_from
        for at, latents in numbered(chunks):
            yield self.during(at, len(latents), clip).warped(latents, at, clip, look_up)


def looked_up_from(frame: Tensor, source: Source, around: Extent | None = None) -> Tensor:
    """Look a frame up at the places that a function of the cells' own places names."""
    return looked_up(frame, *source(*places(frame)), around)


class Rotate(Warp):
    """Turns the picture about its middle; with `steer=false` the detail inside each cell stays upright, and frays.

    Bilinear between cells; outside the frame its border continues.
    """

    gallery_values = ("degrees", (3, 10, 30))

    degrees: Scheduled = setting(
        "angle, counter-clockwise", default=15.0, unit="degrees", minimum=-36000, maximum=36000
    )

    def warped(self, latents: Latents, _at: int, clip: Clip, look_up: LookUp) -> Latents:
        """Turn every frame by the angle of its moment."""
        width, height = clip.extent(latents)

        def turned(frame: Tensor, degrees: float) -> Tensor:
            # y points down: what is shown here was this much further clockwise.
            turn = radians(degrees)

            def source(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
                across, down = x - (width - 1) / 2, y - (height - 1) / 2
                source_x = across * cos(turn) - down * sin(turn) + (width - 1) / 2
                return source_x, across * sin(turn) + down * cos(turn) + (height - 1) / 2

            return look_up(frame, source)

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

    def warped(self, latents: Latents, _at: int, clip: Clip, look_up: LookUp) -> Latents:
        """Move every frame by the way of its moment."""
        extent = clip.extent(latents)
        around = extent if self.edge is Edge.wrap else None

        def moved(frame: Tensor, right: float, down: float) -> Tensor:
            return look_up(frame, lambda x, y: (x - right * extent.width, y - down * extent.height), around)

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

    def warped(self, latents: Latents, _at: int, clip: Clip, look_up: LookUp) -> Latents:
        """Enlarge every frame by the factor of its moment."""
        width, height = clip.extent(latents)

        def enlarged(frame: Tensor, factor: float, x_share: float, y_share: float) -> Tensor:
            # A fraction of the frame counts from its edge, a place from the middle of the first cell.
            centre_x, centre_y = x_share * width - 0.5, y_share * height - 0.5

            def source(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
                return centre_x + (x - centre_x) / factor, centre_y + (y - centre_y) / factor

            return look_up(frame, source)

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

    def warped(self, latents: Latents, at: int, clip: Clip, look_up: LookUp) -> Latents:
        """Bend every frame as at its moment in seconds."""
        import torch

        numbers = range(at, at + len(latents))
        # Whole periods change nothing, and float32 would lose the rest of one late in a long clip.
        passed = torch.tensor([self.speed_hz * clip.seconds(number) % 1 for number in numbers])

        def bent(frame: Tensor, amplitude: float, wavelength: float, passed: float) -> Tensor:
            def source(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
                if self.direction is Direction.vertical:
                    return x, y + amplitude * (2 * pi * (x / wavelength + passed)).sin()
                return x + amplitude * (2 * pi * (y / wavelength + passed)).sin(), y

            return look_up(frame, source)

        return frame_by_frame(bent, latents, self.amplitude, self.wavelength, passed)
