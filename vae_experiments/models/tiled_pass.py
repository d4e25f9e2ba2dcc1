"""The pass of one clip through one half of a network: in tiles or whole, begun again where tiles get smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.models.tiling import Tiles, tile_cells

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    Call = Callable[[Tensor, int], Tensor]
    """Takes the next batch, time first, and the number of its first latent."""


class TiledPass:
    """Takes a clip through one half of a network, each tile by a call that remembers that tile.

    As long as there was not seen to be memory enough for a later group of the clip, which may be larger than
    the first, the group before it is kept, so that smaller tiles can be taken through it and
    remember it as well.
    """

    def __init__(
        self, half: str, begin: Callable[[], Call], stride: int, remembers: bool, side: int | None
    ) -> None:
        self.half, self.begin, self.stride, self.remembers = half, begin, stride, remembers
        self.side = side
        """The side of a tile, in pixels; None for whole frames."""
        self.calls: dict[int, Call] = {}
        self.past: list[tuple[Tensor, int]] | None = []
        self.owed: list[tuple[Tensor, int]] = []

    @property
    def scale(self) -> int:
        """How many places of an input lie along one latent cell."""
        return self.stride if self.half == "encode" else 1

    @property
    def can_begin_again(self) -> bool:
        """Whether all that its calls remember is still known."""
        return self.past is not None

    def begin_again(self, side: int) -> None:
        """Forget all calls, and take what they have seen through tiles of another side first."""
        assert self.past is not None
        self.side, self.calls, self.owed = side, {}, list(self.past)

    def begin_anew(self) -> None:
        """Know that the network takes the next group for the beginning of a clip."""
        self.past, self.owed = [], []

    def tiles(self, group: Tensor) -> Tiles:
        """Return how a group is cut."""
        height, width = (length // self.scale for length in group.shape[-2:])
        return Tiles(height, width, tile_cells(self.side, self.stride))

    def send(self, group: Tensor, first: int, called: Callable[[Call, Tensor, int], Tensor]) -> Tensor:
        """Take the next group through, tile after tile, each on the device by ``called``."""
        while self.owed:
            self._sent(*self.owed[0], called)
            self.owed.pop(0)
        results = self._sent(group, first, called)
        if self.remembers and self.past is not None:
            self.past = None if self.past else [(group, first)]
        return results

    def _sent(self, group: Tensor, first: int, called: Callable[[Call, Tensor, int], Tensor]) -> Tensor:
        tiles = self.tiles(group)

        def results() -> Iterator[Tensor]:
            for number, tile in enumerate(tiles.cut(group)):
                if number not in self.calls:
                    self.calls[number] = self.begin()
                yield called(self.calls[number], tile, first)

        return tiles.joined(results())
