"""The way through a network: onto its device and back, in halves and in tiles where memory is not enough."""

from __future__ import annotations

import logging
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import DeviceError
from vae_experiments.models.tiling import SMALLEST_TILE, TiledPass, Tiling
from vae_experiments.runtime.memory import ran_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from vae_experiments.models.memory_estimate import Forecast
    from vae_experiments.models.tiling import Call
    from vae_experiments.runtime.device import DeviceChoice

log = logging.getLogger(__name__)
HALVES = ("encode", "decode")


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
        _leave_whole(network)
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
        self.forecast: Forecast | None = None
        """None as long as the stride is not known, by which small groups are cut."""
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
        with torch.inference_mode():
            for batch in self._batches(group):
                results += self._sent(tiled_pass, batch, first)
                first += len(batch)
        # A tensor made under inference_mode cannot be changed or trained on later; this copy can.
        return torch.cat(results)

    def _batches(self, group: Tensor) -> Sequence[Tensor]:
        """Cut a group into what goes through at once; in exact mode frame by frame, since sums depend on the batch."""
        import torch

        if not self.is_framewise:
            return [group]
        return torch.split(group, 1 if self.chosen.exact else min(len(group), self.most or len(group)))

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

    def _sent(self, tiled_pass: TiledPass, batch: Tensor, first: int) -> list[Tensor]:
        """Send a batch through the network, in halves or in tiles where memory is not enough for all of it."""
        import torch

        if self.most and len(batch) > self.most:
            parts = torch.split(batch, self.most)
            numbers = range(first, first + len(batch), self.most)
            return [
                out
                for part, at in zip(parts, numbers, strict=True)
                for out in self._sent(tiled_pass, part, at)
            ]
        try:
            if self._foresees_trouble(tiled_pass, batch) and self._makes_room(tiled_pass, batch):
                return self._sent(tiled_pass, batch, first)
            return [tiled_pass.send(batch, first, self._called)]
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            if not self._makes_room(tiled_pass, batch):
                raise self._too_large(tiled_pass, len(batch)) from error
        return self._sent(tiled_pass, batch, first)

    def _called(self, call: Call, batch: Tensor, first: int) -> Tensor:
        """Take a batch to the device, through the network, and back as float32."""
        with self.turn:
            self._follow()
            moved = batch.to(self.chosen.device, self.chosen.dtype, memory_format=self.memory_format)
            return call(moved, first).to("cpu").float()

    def _foresees_trouble(self, tiled_pass: TiledPass, batch: Tensor) -> bool:
        """Whether there will be too little memory: asked on the CPU, where a process that takes too much is killed.

        Not asked of a compiled network: torch does not use what it compiled once its tensors were counted.
        """
        large = max(batch.shape[-2:]) * self.stride // tiled_pass.scale > SMALLEST_TILE
        asked = large and self.chosen.device.type == "cpu" and not self.chosen.compiled
        return asked and self.forecast is not None and not self.forecast.fits(tiled_pass, batch, self._called)

    def _makes_room(self, tiled_pass: TiledPass, batch: Tensor) -> bool:
        """Send less through at once from now on, or go on on the CPU where that was allowed; False if it cannot be."""
        if self.is_framewise and len(batch) > 1:
            self.most = len(batch) // 2
            log.warning("out of memory at batch size %d; retrying with %d", len(batch), self.most)
            return True
        side = self._smaller_side(tiled_pass, batch)
        if side:
            tiled_pass.begin_again(side)
            if self.sides.get(tiled_pass.half) != side:
                self.sides = {**self.sides, tiled_pass.half: side}
                log.warning(
                    "out of memory when asked to %s %s at once; retrying with %s (model.tiling=auto)",
                    tiled_pass.half,
                    "one frame" if len(batch) == 1 else "a group of frames",
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

    def _too_large(self, tiled_pass: TiledPass, count: int) -> DeviceError:
        what = "one frame" if count == 1 else "a group of frames"
        helps = self.tiling is Tiling.off or not tiled_pass.can_begin_again
        tiling = "model.tiling=on, " if helps else ""
        return DeviceError(
            f"device: out of memory for {what}",
            f"use {tiling}a smaller source.size, device.dtype=bfloat16 or another device",
        )


def _leave_whole(network: Any) -> None:
    """Switch off what cuts a batch or a clip up behind the executor's back, some of it on by default."""
    for cut in ("use_slicing", "use_tiling", "use_framewise_encoding", "use_framewise_decoding"):
        if getattr(network, cut, False):
            setattr(network, cut, False)
