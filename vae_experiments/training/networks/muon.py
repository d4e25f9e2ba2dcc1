"""Muon: an optimiser that takes equally long steps in every direction of a matrix."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

_NEWTON_SCHULZ, _ROUNDS = (3.4445, -4.7750, 2.0315), 5


class Muon(torch.optim.Optimizer):
    """Replaces the momentum of each weight by the nearest matrix with equal singular values.

    Weights of any rank of 2 or more are taken as matrices, first axis by all the rest; PyTorch's
    own Muon takes only true matrices, and convolutions have four axes. Updates are scaled by
    0.2 sqrt(larger side), so that rates mean about what they mean to AdamW.

    Source: Jordan et al., Muon, 2024, https://kellerjordan.github.io/posts/muon/; the scale is from
    Liu et al., Muon is scalable for LLM training, 2025.
    """

    def __init__(
        self,
        weights: Iterable[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 1e-3,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "dtype": dtype}
        super().__init__(weights, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        assert closure is None, "Muon needs no second look at the loss"
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)

    def _update(self, weight: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(momentum, group["momentum"])  # Nesterov
        direction = orthogonalised(ahead.flatten(1).to(group["dtype"])).to(weight.dtype)
        length = 0.2 * math.sqrt(max(direction.shape))
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(direction.reshape(weight.shape), alpha=-group["lr"] * length)


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """Bring all singular values of a matrix near 1 (0.7 to 1.2) and keep its singular vectors.

    Five rounds of the quintic Newton-Schulz iteration of Muon, whose coefficients give speed
    rather than exactness. A matrix of zeros stays one.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if tall else matrix
    wide = wide / (wide.norm() + 1e-7)
    first, third, fifth = _NEWTON_SCHULZ
    for _ in range(_ROUNDS):
        gram = wide @ wide.T
        wide = first * wide + (third * gram + fifth * gram @ gram) @ wide
    orthogonal: torch.Tensor = wide.T if tall else wide
    return orthogonal
