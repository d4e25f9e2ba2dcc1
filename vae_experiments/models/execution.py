"""The way through a network: onto its device and back, in halves and in tiles where memory is not enough."""

from __future__ import annotations

import logging
import weakref
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.errors import DeviceError
from vae_experiments.models.tiling import SMALLEST_TILE, TiledPass, Tiling
from vae_experiments.runtime.memory import free_memory_bytes, ran_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from vae_experiments.models.tiling import Call
    from vae_experiments.runtime.device import DeviceChoice

log = logging.getLogger(__name__)
HALVES = ("encode", "decode")
INSIDE = 2
"""What convolutions need inside, beyond the tensors that torch sees: measured on the CPU, the whole was 1.02
to 2.0 times the tensors (2-D networks up to 1.3, Mochi 1.6, Wan 2.0)."""


class Footprint(NamedTuple):
    """What a half's tensors take for each number that goes in, in bytes."""

    working: float
    remembered: float
    """Beside that, and until the next group."""


class BatchExecutor:
    """Sends batches through a network on the device that was chosen, and less at once where memory is not enough.

    Copies share the network and the lock on it, but not what one of them learns of the memory.
    """

    def __init__(
        self, network: Any, chosen: DeviceChoice, is_framewise: bool, tiling: Tiling, tile: int
    ) -> None:
        """Take a network to its device.

        Args:
            network: of a class of diffusers.
            chosen: the device and its dtype.
            is_framewise: whether what goes through at once can be split; a group of a clip cannot.
            tiling: whether frames go through whole.
            tile: side of a tile, in pixels, that is tried first.

        Raises:
            DeviceError: it was to be compiled, and works across frames.
        """
        import torch

        self.chosen = chosen
        """Where the network runs: not where it was asked to, once the CPU took over."""
        self.is_framewise, self.tiling, self.tile = is_framewise, tiling, tile
        # Channels last is for pictures.
        self.memory_format = chosen.memory_format if is_framewise else torch.contiguous_format
        # What cuts a batch or a clip up behind our back, some of it on by default.
        for cut in ("use_slicing", "use_tiling", "use_framewise_encoding", "use_framewise_decoding"):
            if getattr(network, cut, False):
                setattr(network, cut, False)
        # Past diffusers' own ``to``, which warns of every dtype; no class here keeps parts in float32.
        moved = torch.nn.Module.to(network, chosen.device, chosen.dtype, memory_format=self.memory_format)  # type: ignore[call-overload]
        self.network: Any = moved.eval().requires_grad_(False)
        if chosen.compiled:
            self._compile()
        self.turn = Lock()
        """Held for the time of a call: a network, which copies share, is lent what it remembers of the caller's clip."""
        self.sides: dict[str, int] = dict.fromkeys(HALVES, tile) if tiling is Tiling.on else {}
        """The side of the tiles that each half takes, once it takes any; replaced and never changed, for copies have it too."""
        self.stride = 1
        """How many pixels a latent cell stands for; 1 as long as that is not known."""
        self.is_probing = True
        """Whether the blank frames go through that tell what kind of network this is."""
        self.footprints: dict[str, Footprint] = {}
        """What each half takes, measured on the blank frames; on the CPU alone, where a process that takes too much
        is killed, and not where it is compiled: torch does not use what it compiled once its tensors were counted."""
        self.fitting: set[tuple[str, torch.Size, int | None]] = set()
        """Half, shape and side of the tiles for which there was memory enough."""
        self.most: int | None = None
        """How many may go through at once, after memory was not enough for more."""

    def begin(self, half: str, call: Callable[[], Call]) -> TiledPass:
        """Begin a clip's pass through ``encode`` or ``decode``."""
        return TiledPass(half, call, self.stride, not self.is_framewise, self.sides.get(half))

    def send(self, tiled_pass: TiledPass, group: Tensor, first: int) -> Tensor:
        """Send a group, whose first latent has the number ``first``, through the network and back.

        Raises:
            DeviceError: memory is not enough for a single one, or for a group that cannot be split.
        """
        import torch

        results: list[Tensor] = []
        done = 0
        called = partial(self._called, tiled_pass.half)
        with torch.inference_mode():
            while done < len(group):
                batch = group[done : done + self._at_once(group)]
                try:
                    if self._foresees_trouble(tiled_pass, batch) and self._makes_room(tiled_pass, batch):
                        continue
                    results.append(tiled_pass.send(batch, first + done, called))
                    done += len(batch)
                except (RuntimeError, MemoryError) as error:
                    if not ran_out_of_memory(error):
                        raise
                    if not self._makes_room(tiled_pass, batch):
                        raise self._too_large(tiled_pass, batch) from error
        # A tensor made under inference_mode cannot be changed or trained on later; this copy can.
        return torch.cat(results)

    def _at_once(self, group: Tensor) -> int:
        """Return how much of a group goes through at once; in exact mode one, since sums depend on the batch."""
        if not self.is_framewise:
            return len(group)
        return 1 if self.chosen.exact else self.most or len(group)

    def _compile(self) -> None:
        """Let torch compile encoder and decoder when they are first called.

        Raises:
            DeviceError: the class works across frames. Compiled by torch 2.13, one of these gave
                other numbers (Cosmos) and one did not run at all (HunyuanVideo 1.5).
        """
        if not self.is_framewise:
            problem = f"device.compile=true: {type(self.network).__name__} works across frames"
            raise DeviceError(
                f"{problem}, and torch compiles such networks unreliably", "use device.compile=false"
            )
        for name in ("encoder", "decoder"):
            if hasattr(self.network, name):
                getattr(self.network, name).compile()

    def _called(self, half: str, call: Call, batch: Tensor, first: int) -> Tensor:
        """Take a batch to the device, through the network, and back as float32."""
        with self.turn:
            self._follow()
            moved = batch.to(self.chosen.device, self.chosen.dtype, memory_format=self.memory_format)
            if not self.is_probing or self.chosen.device.type != "cpu" or self.chosen.compiled:
                return call(moved, first).to("cpu").float()
            result, *taken = measured(lambda: call(moved, first))
            before = self.footprints.get(half, (0, 0))
            # A clip's first group may be a single frame: what a later one takes counts if it is more.
            pairs = zip(taken, before, strict=True)
            self.footprints[half] = Footprint(*(max(count / moved.numel(), most) for count, most in pairs))
            return result.float()

    def _foresees_trouble(self, tiled_pass: TiledPass, batch: Tensor) -> bool:
        """Whether there will be too little memory, where that could be measured."""
        footprint = self.footprints.get(tiled_pass.half)
        large = max(batch.shape[-2:]) * self.stride // tiled_pass.scale > SMALLEST_TILE
        same = (tiled_pass.half, batch.shape, tiled_pass.side)
        if footprint is None or not large or self.is_probing or same in self.fitting:
            return False
        of_one_tile = tiled_pass.tiles(batch).largest * INSIDE * footprint.working
        wanted = int(batch.numel() * (of_one_tile + footprint.remembered))
        free = free_memory_bytes(wanted)
        if free is not None and free < wanted:
            return True
        self.fitting.add(same)
        return False

    def _makes_room(self, tiled_pass: TiledPass, batch: Tensor) -> bool:
        """Send less through at once from now on, or go on on the CPU where that was allowed; False if it cannot be."""
        if self.is_framewise and len(batch) > 1:
            self.most = len(batch) // 2
            log.warning("out of memory at batch size %d; retrying with %d", len(batch), self.most)
            return True
        if side := self._smaller_side(tiled_pass, batch):
            tiled_pass.begin_again(side)
            if self.sides.get(tiled_pass.half) != side:
                self.sides = {**self.sides, tiled_pass.half: side}
                log.warning(
                    "out of memory when asked to %s %s at once; retrying with %s (tiling=auto)",
                    tiled_pass.half,
                    _called_what_it_is(batch),
                    tiled_pass.tiles(batch).described(self.stride),
                )
            return True
        if self.is_framewise and self.chosen.fallback:
            self._take_over()
            return True
        return False

    def _take_over(self) -> None:
        """Go on on the CPU."""
        import torch

        log.warning("out of memory on %s for one frame; continuing on the CPU", self.chosen.device)
        with self.turn:
            torch.nn.Module.to(self.network, torch.device("cpu"), torch.float32)
            self._follow()

    def _follow(self) -> None:
        """Go where the weights are: for a twin, which has all or some of them too, the CPU may have taken over."""
        import torch

        weight, chosen = next(self.network.parameters()), self.chosen
        if (weight.device.type, weight.dtype) != (chosen.device.type, chosen.dtype):
            torch.nn.Module.to(self.network, weight.device, weight.dtype)
            reason = f"out of memory on {chosen.device} for one frame"
            self.chosen = replace(
                chosen, device=weight.device, dtype=weight.dtype, reason=reason, fallback=False
            )

    def _smaller_side(self, tiled_pass: TiledPass, batch: Tensor) -> int | None:
        """Choose the next smaller tile, or the one that another clip came to; None if there is none."""
        if self.tiling is Tiling.off or not tiled_pass.can_begin_again:
            return None
        now = tiled_pass.side or max(batch.shape[-2:]) * self.stride // tiled_pass.scale
        reached = self.sides.get(tiled_pass.half)
        if reached and reached < now:
            return reached
        side = self.tile
        while side >= now:
            side //= 2
        return side if side >= SMALLEST_TILE else None

    def _too_large(self, tiled_pass: TiledPass, batch: Tensor) -> DeviceError:
        helps = self.tiling is Tiling.off or not tiled_pass.can_begin_again
        where = "" if tiled_pass.half == "encode" else " (decoder.tiling=on of a decoder of its own)"
        tiling = f"model.tiling=on{where}, " if helps else ""
        return DeviceError(
            f"device: out of memory for {_called_what_it_is(batch)}",
            f"use {tiling}a smaller source.size, device.dtype=bfloat16 or another device",
        )


def _called_what_it_is(batch: Tensor) -> str:
    return "one frame" if len(batch) == 1 else "a group of frames"


def measured(work: Callable[[], Tensor]) -> tuple[Tensor, int, int]:
    """Do some work, and count the bytes of its tensors: alive at once while it is done, and kept beside its result.

    What is kept until the end is left out of the first count.
    """
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    alive: dict[int, weakref.ref[Any]] = {}
    now = most = 0

    def storages(values: Any) -> dict[int, Any]:
        tensors = (value for value in tree_leaves(values) if isinstance(value, Tensor))
        return {id(storage): storage for storage in (tensor.untyped_storage() for tensor in tensors)}

    def enter(key: int, storage: Any) -> None:
        nonlocal now, most
        size = storage.nbytes()

        def leave(_: object) -> None:
            nonlocal now
            now -= size
            alive.pop(key, None)

        alive[key] = weakref.ref(storage, leave)
        now += size
        most = max(most, now)

    class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, operation: Any, _types: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            results = operation(*arguments, **(named or {}))
            given = storages(arguments)
            for key, storage in storages(results).items():
                # A view of what was there before, a weight say, takes nothing.
                if key not in given and key not in alive:
                    enter(key, storage)
            return results

    with Counter():  # type: ignore[no-untyped-call]
        result = work()
    kept = now - sum(storage.nbytes() for key, storage in storages(result).items() if key in alive)
    return result, most - kept, kept
