"""The way through a network: onto its device and back, in halves where memory does not suffice."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from vae_experiments.errors import DeviceError
from vae_experiments.memory import ran_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

    from vae_experiments.device import Chosen

    Call = Callable[[Tensor, int], Tensor]
    """Takes the next batch, time first, and the number of its first latent."""

log = logging.getLogger(__name__)


class Passage:
    """Sends batches through a network on the device that was chosen."""

    chosen: Chosen
    network: Any
    parts_batches: ClassVar[bool] = False
    """Whether what goes through at once can be parted: frame by frame, but not in the middle of a group."""
    most: int | None = None
    """How many may go through at once, after memory did not suffice for more."""

    @property
    def memory_format(self) -> torch.memory_format:
        """Say how tensors lie in memory where the network runs."""
        return self.chosen.memory_format

    def _batches(self, group: Tensor) -> Sequence[Tensor]:
        """Cut a group into what goes through the network at once."""
        return [group]

    def _through(self, call: Call, group: Tensor, first: int) -> Tensor:
        """Send a group, whose first latent has the number ``first``, through the network and back."""
        import torch

        results: list[Tensor] = []
        with torch.inference_mode():
            for batch in self._batches(group):
                results += self._called(call, batch, first)
                first += len(batch)
        # A tensor made under inference_mode cannot be changed or trained on later; this copy can.
        return torch.cat(results)

    def _called(self, call: Call, batch: Tensor, first: int) -> list[Tensor]:
        """Send a batch through the network, in halves where memory does not suffice for all of it.

        Raises:
            DeviceError: it does not suffice for a single one, or for a group that cannot be parted.
        """
        import torch

        if self.most and len(batch) > self.most:
            parts = torch.split(batch, self.most)
            numbers = range(first, first + len(batch), self.most)
            return [
                out for part, at in zip(parts, numbers, strict=True) for out in self._called(call, part, at)
            ]
        moved = batch.to(self.chosen.device, self.chosen.dtype, memory_format=self.memory_format)
        try:
            return [call(moved, first).to("cpu", torch.float32)]
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            self._make_room(len(batch), error)
        return self._called(call, batch, first)

    def _make_room(self, count: int, error: BaseException) -> None:
        """Send fewer through at once from now on, or go on on the CPU where that was allowed."""
        if self.parts_batches and count > 1:
            self.most = count // 2
            log.warning("memory does not suffice for a batch of %d: %d from now on", count, self.most)
        elif self.parts_batches and self.chosen.fallback:
            import torch

            log.warning(
                "the memory of %s does not suffice for one frame: the CPU takes over", self.chosen.device
            )
            cpu = torch.device("cpu")
            self.chosen = replace(self.chosen, device=cpu, dtype=torch.float32, fallback=False)
            self.network = torch.nn.Module.to(self.network, cpu, torch.float32)
        else:
            what = "one frame" if count == 1 else "a group of frames"
            raise DeviceError(
                f"device: memory does not suffice for {what}",
                "use a smaller source.size, device.dtype=bfloat16 or another device",
            ) from error


def compile_parts(network: Any) -> None:
    """Let torch compile encoder and decoder when they are first called."""
    for name in ("encoder", "decoder"):
        if hasattr(network, name):
            getattr(network, name).compile()
