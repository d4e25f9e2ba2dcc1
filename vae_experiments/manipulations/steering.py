"""Steering: what is inside each latent cell turns, stretches and moves with the cells.

A cell stands for a small piece of picture, and which numbers stand for it depends on how the piece lies
in it: a frame of latents that is only looked up at other places keeps each piece upright. A steering puts
that right by two linear maps that are fitted once a model. The first draws a small picture of the latents;
the picture is looked up at the new places, and the second map reads each new cell off the piece of picture
that has come to it, and off the cells around the place it came from, turned as the picture was.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log, pi
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from vae_experiments.manipulations.lookup import WHOLE_CELLS, looked_up, places

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from vae_experiments.manipulations.lookup import Extent

    Source: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    """Says for places, x and y in cells, where what is shown there comes from."""

FINE = 4
"""Dots of the small picture to a cell, each way."""
MARGIN = 4
"""Dots around a cell that it is read off too."""
POSES = tuple((quarters, mirrored) for mirrored in (False, True) for quarters in range(4))
"""How a piece may lie in its cell but for less than an eighth of a turn: quarter turns, then mirrored."""
OVERLAP_DEGREES = 5
"""Around an eighth of a turn two poses are mixed, so that nothing jumps while a picture turns."""
LARGEST_STRETCH = log(2)
MOST_TERMS = 2600
"""Of the cells around, so that many channels stay in bounds: terms of higher degree are left out then."""


class Local(NamedTuple):
    """What a transform does at each of the cells ``h w``: a turn, a stretch, and a place between cells."""

    x: Tensor
    y: Tensor
    angle: Tensor
    """Of the source against what is shown, in radians, after the mirror."""
    stretch: Tensor
    """Logarithm of how many cells of the source one cell shows."""
    is_mirrored: Tensor

    @classmethod
    def of(cls, source: Source, x: Tensor, y: Tensor) -> Local:
        """Measure a transform around each cell."""
        import torch

        here_x, here_y = source(x, y)
        everywhere = 0 * (x + y)
        (xx, yx), (xy, yy) = (
            [
                after - before + everywhere
                for after, before in zip(source(*ahead), source(*behind), strict=True)
            ]
            for ahead, behind in (((x + 0.5, y), (x - 0.5, y)), ((x, y + 0.5), (x, y - 0.5)))
        )
        area = xx * yy - xy * yx
        side = torch.where(area < 0, -1.0, 1.0)
        angle = torch.atan2(yx * side - xy, xx * side + yy)
        stretch = area.abs().clamp(min=1e-9).log() / 2
        stretch = stretch.clamp(-LARGEST_STRETCH, LARGEST_STRETCH)
        return cls(here_x + everywhere, here_y + everywhere, angle, stretch, area < 0)

    @property
    def is_whole_shift(self) -> bool:
        """Whether every cell comes from a cell, all of them from equally far: then nothing is to steer."""
        height, width = self.x.shape
        x, y = places(self.x[None])
        ways = [(self.x - x).flatten(), (self.y - y).flatten()]
        return all(bool((way - way[0].round()).abs().max() < WHOLE_CELLS) for way in ways if height * width)


@dataclass(frozen=True)
class Steering:
    """The maps of one model, ready to look frames up with."""

    drawing: Tensor
    """From 3x3 cells of C channels, and 1, to the dots of the middle one: ``9C+1 3*FINE*FINE``."""
    reading: Tensor
    """For each pose from the dots, 1, and the terms of the cells around, to a cell: ``8 F C``."""
    helps: tuple[bool, ...]
    """For each pose, whether steering it does any good."""

    def look_up(self, frame: Tensor, source: Source, around: Extent | None = None) -> Tensor:
        """Look a frame ``C h w`` up as ``looked_up`` does, and steer what is in the cells."""
        import torch

        x, y = places(frame)
        local = Local.of(source, x, y)
        plain = looked_up(frame, local.x, local.y, around)
        if local.is_whole_shift:
            return plain
        picture = turned(drawn(frame, self.drawing), source, around)
        steered, rest = torch.zeros_like(plain), torch.ones_like(local.x)
        for number, pose in enumerate(POSES):
            share, off = weight(local, pose)
            if not self.helps[number] or not share.any():
                continue
            rest = rest - share
            cells, terms = around_each(frame, local, pose, off, around)
            steered += self._read(number, picture, cells, terms) * share.to(plain)
        return steered + plain * rest.to(plain) if bool((rest > 1e-6).any()) else steered

    def _read(self, number: int, picture: Tensor, cells: Tensor, terms: Tensor) -> Tensor:
        """Return ``C h w``: the product of the map with ``features``, which need not be written down for it."""
        from torch.nn.functional import conv2d

        reading, side = self.reading[number], FINE + 2 * MARGIN
        of_dots, near = reading[: 3 * side**2], reading[3 * side**2 :]
        near = near.reshape(cells.shape[1] + 1, -1, near.shape[1])
        answers = (with_one(cells) @ near.flatten(1)).reshape(len(cells), near.shape[1], -1)
        of_cells = (answers * terms[:, : near.shape[1], None]).sum(1).T
        read = conv2d(_with_margin(picture), of_dots.T.reshape(-1, 3, side, side).contiguous(), stride=FINE)[
            0
        ]
        return read + of_cells.reshape_as(read)

    def packed(self) -> Tensor:
        """Return all of it as one row of numbers, to be kept; half the digits do."""
        import torch

        flags = torch.tensor([float(flag) for flag in self.helps])
        return torch.cat([flags, self.drawing.flatten(), self.reading.flatten()])[None].half()

    @classmethod
    def unpacked(cls, row: Tensor, channels: int) -> Steering:
        """Read back what ``packed`` gave, for a model of so many channels.

        Raises:
            ValueError: these are no such numbers.
        """
        flags, rest = row.flatten().float()[: len(POSES)], row.flatten().float()[len(POSES) :]
        shape = (9 * channels + 1, 3 * FINE**2)
        split = shape[0] * shape[1]
        if len(rest) <= split or (len(rest) - split) % (len(POSES) * channels):
            raise ValueError(f"a steering of {len(rest)} numbers is not one of {channels} channels")
        drawing, reading = rest[:split].reshape(shape), rest[split:].reshape(len(POSES), -1, channels)
        return cls(drawing.contiguous(), reading.contiguous(), tuple(bool(flag) for flag in flags))


def features(dots: Tensor, cells: Tensor, terms: Tensor) -> Tensor:
    """Return what a cell is read off, ``L F``."""
    import torch

    most = max(1, MOST_TERMS // cells.shape[1])
    near = (with_one(cells)[:, :, None] * terms[:, None, :most]).flatten(1)
    return torch.cat([dots, near], 1)


def with_one(rows: Tensor) -> Tensor:
    """Put 1 behind each row."""
    import torch

    return torch.cat([rows, rows.new_ones(len(rows), 1)], 1)


def weight(local: Local, pose: tuple[int, bool]) -> tuple[Tensor, Tensor]:
    """Return how much of each cell lies in a pose, and the angle from it."""
    quarters, mirrored = pose
    off = (local.angle - quarters * pi / 2 + pi).remainder(2 * pi) - pi
    half = OVERLAP_DEGREES * pi / 180
    share = ((pi / 4 + half - off.abs()) / (2 * half)).clamp(0, 1)
    return share * (local.is_mirrored == mirrored), off


def around_each(
    frame: Tensor, local: Local, pose: tuple[int, bool], off: Tensor, around: Extent | None
) -> tuple[Tensor, Tensor]:
    """Return the 3x3 cells around where each comes from, turned as the pose, ``L 9C``, and the terms ``L P``."""
    import torch

    height, width = frame.shape[-2:]
    (xx, xy), (yx, yy) = matrix(pose)
    column, right = _nearest(local.x, width, around and around.width)
    row, down = _nearest(local.y, height, around and around.height)
    near = [
        frame[
            :,
            _inside(row + yx * a + yy * b, height, around and around.height),
            _inside(column + xx * a + xy * b, width, around and around.width),
        ]
        for b in (-1, 0, 1)
        for a in (-1, 0, 1)
    ]
    u, v = xx * right + yx * down, xy * right + yy * down
    off, stretch = off.clamp(-1, 1), local.stretch
    uu, vv = u * u, v * v
    terms = [torch.ones_like(u), u, v, uu, vv, u * v, stretch, off, uu * v, u * vv, uu * u, vv * v, uu * vv]
    return torch.stack(near).flatten(2).flatten(0, 1).T, torch.stack(terms, -1).reshape(-1, len(terms)).to(
        frame
    )


def matrix(pose: tuple[int, bool]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return where a step in what is shown leads in the source: rows for x and y."""
    quarters, mirrored = pose
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters]
    side = -1 if mirrored else 1
    return (cos * side, -sin), (sin * side, cos)


def _nearest(place: Tensor, side: int, length: float | None) -> tuple[Tensor, Tensor]:
    """Return the cell nearest to a place on one axis, and how far it is from there."""
    place = place.clamp(0, side - 1) if length is None else place.remainder(length)
    # Halves up, and not to the even one: over a shift by half a cell all cells are alike.
    cell = (place + 0.5 + WHOLE_CELLS).floor().clamp(max=(side if length is None else ceil(length)) - 1)
    return cell.long(), place - cell


def _inside(cell: Tensor, side: int, length: float | None) -> Tensor:
    return cell.clamp(0, side - 1) if length is None else cell.remainder(ceil(length))


def drawn(frame: Tensor, drawing: Tensor) -> Tensor:
    """Draw the small picture ``3 h*FINE w*FINE`` of a frame ``C h w``."""
    from torch.nn.functional import conv2d, pad, pixel_shuffle

    weights = drawing[:-1].T.reshape(-1, len(frame), 3, 3).contiguous()
    return pixel_shuffle(
        conv2d(pad(frame[None], (1, 1, 1, 1), mode="replicate"), weights, drawing[-1]), FINE
    )[0]


def cells_around(frame: Tensor) -> Tensor:
    """Return the 3x3 cells around each cell of a frame, row after row: ``h*w 9C``."""
    from torch.nn.functional import pad, unfold

    return unfold(pad(frame[None], (1, 1, 1, 1), mode="replicate"), 3)[0].T


def turned(picture: Tensor, source: Source, around: Extent | None = None) -> Tensor:
    """Look a small picture up, dot for dot, at the places in cells that a transform names."""
    x, y = ((place + 0.5) / FINE - 0.5 for place in places(picture))
    across, down = source(x, y)
    extent = around and type(around)(*(side * FINE for side in around))
    return looked_up(picture, (across + 0.5) * FINE - 0.5, (down + 0.5) * FINE - 0.5, extent)


def pieces(picture: Tensor) -> Tensor:
    """Return the dots of each cell and around it: ``h*w 3*(FINE+2*MARGIN)^2``."""
    from torch.nn.functional import unfold

    return unfold(_with_margin(picture), FINE + 2 * MARGIN, stride=FINE)[0].T


def _with_margin(picture: Tensor) -> Tensor:
    from torch.nn.functional import pad

    return pad(picture[None], [MARGIN] * 4, mode="replicate")
