"""How much memory a network will need for a large group, measured on a small one."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.runtime.memory import free_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from vae_experiments.models.tiling import Call, TiledPass

PROBE_SIDE = 64
FEWEST_CELLS = 2
INSIDE = 2
"""What convolutions need inside, beyond the tensors that torch sees: measured on the CPU, the whole was 1.02
to 2.0 times the tensors (2-D networks up to 1.3, Mochi 1.6, Wan 2.0)."""


class Footprint(NamedTuple):
    """What the tensors of a small group took, in bytes."""

    peak_bytes: int
    remembered_bytes: int
    """Of which this stays until the next group."""

    def bytes_for(self, at_once: float, clip: float) -> int:
        """Return what a group takes that is so many times as large, of a clip that is so many times as large."""
        working = self.peak_bytes - self.remembered_bytes
        return int(INSIDE * working * at_once + self.remembered_bytes * max(at_once, clip))


class Forecast:
    """Says whether there is memory enough on this machine for a group, before it is tried."""

    def __init__(self) -> None:
        self.footprints: dict[tuple[str, tuple[int, ...]], Footprint] = {}
        self.fitting: set[tuple[str, torch.Size, int | None]] = set()

    def fits(
        self, tiled_pass: TiledPass, group: Tensor, called: Callable[[Call, Tensor, int], Tensor]
    ) -> bool:
        """Compare what a group will take, in the tiles of its tiled_pass, with the memory that is free."""
        same = (tiled_pass.half, group.shape, tiled_pass.side)
        if same not in self.fitting:
            wanted = self._wanted_bytes(tiled_pass, group, called)
            free = free_memory_bytes(wanted)
            if free is not None and free < wanted:
                return False
            self.fitting.add(same)
        return True

    def _wanted_bytes(
        self, tiled_pass: TiledPass, group: Tensor, called: Callable[[Call, Tensor, int], Tensor]
    ) -> int:
        lengths = (
            (*(len(earlier) for earlier, _ in tiled_pass.past or ()), len(group))
            if tiled_pass.remembers
            else (1,)
        )
        known = self.footprints.get((tiled_pass.half, lengths))
        if known is None:
            known = self.footprints[tiled_pass.half, lengths] = _of_small_groups(
                tiled_pass, group, lengths, called
            )
        tiles = tiled_pass.tiles(group)
        probe = _probe_cells(tiled_pass) ** 2
        times = 1 if tiled_pass.remembers else len(group)
        return known.bytes_for(
            times * tiles.most_cells / probe, times * tiles.cells[0] * tiles.cells[1] / probe
        )


def _probe_cells(tiled_pass: TiledPass) -> int:
    """Return how many latent cells lie along the side of a small group: whole ones, whatever the stride is."""
    return max(FEWEST_CELLS, PROBE_SIDE // tiled_pass.stride)


def _of_small_groups(
    tiled_pass: TiledPass,
    like: Tensor,
    lengths: tuple[int, ...],
    called: Callable[[Call, Tensor, int], Tensor],
) -> Footprint:
    """Take small groups of these lengths through the network, and measure the last of them."""
    side = _probe_cells(tiled_pass) * tiled_pass.scale
    call, first = tiled_pass.begin(), 0
    for length in lengths[:-1]:
        called(call, like.new_zeros(length, like.shape[1], side, side), first)
        first += length
    last = like.new_zeros(lengths[-1], like.shape[1], side, side)
    return measured(lambda: called(call, last, first))


def measured(work: Callable[[], Any]) -> Footprint:
    """Do some work, and count the bytes of the tensors that are alive at once while it is done."""
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    alive: dict[int, weakref.ref[Any]] = {}
    count = {"now": 0, "peak": 0}

    def enter(storage: Any) -> None:
        key, size = id(storage), storage.nbytes()
        if key in alive and alive[key]() is storage:
            return

        def leave(_: object) -> None:
            count["now"] -= size
            alive.pop(key, None)

        alive[key] = weakref.ref(storage, leave)
        count["now"] += size
        count["peak"] = max(count.values())

    class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, operation: Any, _types: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            results = operation(*arguments, **(named or {}))
            given = {
                id(each.untyped_storage()) for each in tree_leaves(arguments) if isinstance(each, Tensor)
            }
            for result in tree_leaves(results):
                # A view of what was there before, a weight say, takes nothing.
                if isinstance(result, Tensor) and id(result.untyped_storage()) not in given:
                    enter(result.untyped_storage())
            return results

    with Counter():  # type: ignore[no-untyped-call]
        work()
    return Footprint(count["peak"], count["now"])
