"""Looking a frame of latents up at other places, between its cells."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

WHOLE_CELLS = 1e-4
"""So near to a whole number of cells a place is taken to be there: schedules are float32."""


class Extent(NamedTuple):
    """The width and the height of a frame in latent cells, of which the last ones may be there in part."""

    width: float
    height: float


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
