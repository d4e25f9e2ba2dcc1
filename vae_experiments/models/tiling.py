"""Tiles: a frame that memory is not enough for goes through the network in parts, which are blended.

This is done around the network and not by diffusers' ``enable_tiling``, which means something else in
every class: in 0.42.1 it changes nothing in Cosmos and KVAE video, raises in VQ and asymmetric models,
is half of what Allegro does, and cuts up the clip in time as well in others. Here every class is
tiled in the same way, in space alone, and each tile of a clip has its own memory over time.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise, product
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.options import Choice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor

    Call = Callable[[Tensor, int], Tensor]
    """Takes the next batch, time first, and the number of its first latent."""

SMALLEST_TILE = 128
"""Pixels: under this side tiles would be nothing but what they share with their neighbours."""
LEAST_OVERLAP = 8
"""Latent cells, since what a cell sees of its surroundings is a matter of cells and not of tiles."""


class Tiling(Choice):
    """Whether frames go through the network whole or in tiles."""

    auto = "whole, and in tiles from where memory is not enough for one"
    on = "in tiles, where a frame is larger than one"
    off = "whole"


class Span(NamedTuple):
    """Where a tile lies on one axis, in latent cells, and how many of them it shares with its neighbours."""

    start: int
    end: int
    before: int
    after: int

    def places(self, scale: int) -> slice:
        """Return where it lies among ``scale`` places a cell."""
        return slice(self.start * scale, self.end * scale)

    def shares(self, scale: int) -> Tensor:
        """Return how much the tile counts, from 0 to 1, at each of ``scale`` places a cell."""
        import torch

        places = torch.arange((self.end - self.start) * scale) + 0.5
        shares = torch.ones(len(places))
        if self.before:
            shares = _rising(places / (self.before * scale))
        if self.after:
            shares = shares.minimum(_rising((len(places) - places) / (self.after * scale)))
        return shares


def _rising(place: Tensor) -> Tensor:
    """Go straight from 0 to 1 over the middle half of what two tiles share.

    The quarter beside a tile's edge is context: it does not count at all, since what lies beyond the edge
    is missing there. Without it the bundled model's tiles of 256 pixels came 7 dB less near to the whole.
    """
    return (2 * place - 0.5).clamp(0, 1)


def spans(cells: int, most: int) -> list[Span]:
    """Spread as few equal tiles of at most ``most`` cells over an axis as share enough with their neighbours.

    That is a quarter of a tile, and 8 cells where that is less, but never more than half of it.
    """
    if cells <= most:
        return [Span(0, cells, 0, 0)]
    overlap = min(max(most // 4, LEAST_OVERLAP), most // 2)
    count = -(-(cells - overlap) // (most - overlap))
    side = -(-(cells + (count - 1) * overlap) // count)
    starts = [round(number * (cells - side) / (count - 1)) for number in range(count)]
    shared = pairwise([0, *(start + side - after for start, after in pairwise(starts)), 0])
    return [Span(start, start + side, *beside) for start, beside in zip(starts, shared, strict=True)]


def tile_cells(side: int | None, stride: int) -> int | None:
    """Return how many latent cells lie along the side of a tile, which is given in pixels."""
    return None if side is None else max(2, side // stride)


class Tiles:
    """Cuts what is ``height`` and ``width`` latent cells large, and puts the results together.

    Where tiles overlap, they pass linearly into each other. None for ``most`` is one tile, the whole.
    """

    def __init__(self, height: int, width: int, most: int | None) -> None:
        self.cells, self.whole = (height, width), most is None
        self.rows = spans(height, most or height)
        self.columns = spans(width, most or width)

    @property
    def largest(self) -> float:
        """How much of the whole the largest tile is, from 0 to 1."""
        sides = (max(span.end - span.start for span in spans) for spans in (self.rows, self.columns))
        return prod(sides) / prod(self.cells)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def cut(self, whole: Tensor) -> Iterator[Tensor]:
        """Yield the tiles of frames ``T 3 H W`` or of latents ``T C h w``, row after row."""
        scale = whole.shape[-1] // self.cells[1]
        for row, column in product(self.rows, self.columns):
            yield whole[..., row.places(scale), column.places(scale)]

    def joined(self, results: Iterable[Tensor]) -> Tensor:
        """Blend what became of the tiles, in the same order, on the CPU."""
        import torch

        whole: Tensor | None = None
        for (row, column), result in zip(product(self.rows, self.columns), results, strict=True):
            if len(self) == 1:
                return result
            scale = result.shape[-1] // (column.end - column.start)
            if whole is None:
                height, width = self.cells
                whole = torch.zeros(*result.shape[:2], height * scale, width * scale)
            place = whole[..., row.places(scale), column.places(scale)]
            place += result * row.shares(scale)[:, None] * column.shares(scale)
        assert whole is not None
        return whole

    def described(self, stride: int) -> str:
        """Return what the tiles are, in pixels."""
        if self.whole:
            return "whole frames"
        if len(self) == 1:
            return "whole frames, each of which one tile holds"
        row, column = self.rows[0], self.columns[0]
        width, height = ((span.end - span.start) * stride for span in (column, row))
        return f"{len(self.columns)}x{len(self.rows)} tiles of {width}x{height}"


class TiledPass:
    """Takes a clip through one half of a network, whole or each tile by a call that remembers that tile.

    As long as memory was not seen to be enough for a later group of the clip, which may be larger than
    the first, that one is kept, so that smaller tiles can be taken through it and remember it as well.
    """

    def __init__(
        self, half: str, begin: Callable[[], Call], stride: int, remembers: bool, side: int | None
    ) -> None:
        self.half, self.stride, self.remembers = half, stride, remembers
        self.side = side
        """The side of a tile, in pixels; None for whole frames."""
        self.scale = stride if half == "encode" else 1
        """How many places of an input lie along one latent cell."""
        self.calls: defaultdict[int, Call] = defaultdict(begin)
        self.begin_anew()

    def begin_anew(self) -> None:
        """Know that the network takes the next group for the beginning of a clip."""
        self.past: tuple[Tensor, int] | None = None
        self.can_begin_again = True
        """Whether all that its calls remember is still known."""

    def begin_again(self, side: int) -> None:
        """Forget all calls, and take what they have seen through tiles of another side first."""
        assert self.can_begin_again
        self.side = side
        self.calls.clear()

    def tiles(self, group: Tensor) -> Tiles:
        """Return how a group is cut."""
        height, width = (length // self.scale for length in group.shape[-2:])
        return Tiles(height, width, tile_cells(self.side, self.stride))

    def send(self, group: Tensor, first: int, called: Callable[[Call, Tensor, int], Tensor]) -> Tensor:
        """Take the next group through, tile after tile, each on the device by ``called``."""
        if self.past and not self.calls:
            self._sent(*self.past, called)
        results = self._sent(group, first, called)
        if self.remembers:
            self.can_begin_again = self.can_begin_again and self.past is None
            self.past = (group, first) if self.can_begin_again else None
        return results

    def _sent(self, group: Tensor, first: int, called: Callable[[Call, Tensor, int], Tensor]) -> Tensor:
        tiles = self.tiles(group)
        return tiles.joined(
            called(self.calls[number], tile, first) for number, tile in enumerate(tiles.cut(group))
        )
