"""What latents are like: shape, mean, deviation, histogram, from running sums."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vae_experiments.errors import NumbersError

if TYPE_CHECKING:
    import torch

    from vae_experiments.tensors import Latents

REACH, BINS = 4.0, 80


class LatentStatistics:
    """Mean, standard deviation and histogram of latents, from running sums that no chunk size changes."""

    def __init__(self) -> None:
        self.shape: list[int] = []
        self.first: torch.Tensor | None = None
        self._histogram: torch.Tensor
        self._sum: torch.Tensor
        self._squares: torch.Tensor

    def update(self, latents: Latents) -> None:
        """Take in the next latents ``T C h w``."""
        import torch

        if self.first is None:
            self.first = latents[0].clone()
            self._histogram = torch.zeros(BINS, dtype=torch.float64)
            self._sum = self._squares = torch.zeros(latents.shape[1], dtype=torch.float64)
        self.shape = [sum(self.shape[:1]) + len(latents), *latents.shape[1:]]
        for latent in latents:
            # One at a time and in one order of memory: sums over several differ in their last bits.
            values = latent.contiguous()
            self._histogram = self._histogram + torch.histc(values.clamp(-REACH, REACH), BINS, -REACH, REACH)
            self._sum = self._sum + values.double().sum((1, 2))
            self._squares = self._squares + values.double().square().sum((1, 2))

    def summary(self) -> dict[str, list[int] | list[float] | float]:
        """Return shape ``[T, C, h, w]``, mean and std overall and by channel."""
        if self.first is None:
            raise NumbersError("the source gave no frames", "give a source with at least one frame")
        count = self.shape[0] * self.shape[2] * self.shape[3]
        means, squares = self._sum / count, self._squares / count
        return {
            "shape": list(self.shape),
            "mean": float(means.mean()),
            "std": math.sqrt(max(float(squares.mean()) - float(means.mean()) ** 2, 0.0)),
            "channel_means": means.tolist(),
            "channel_stds": (squares - means.square()).clamp(min=0).sqrt().tolist(),
        }

    def density(self) -> list[float]:
        """Return the histogram of all values from ``-REACH`` to ``REACH`` as a density."""
        return list((self._histogram / self._histogram.sum() * BINS / (2 * REACH)).tolist())
