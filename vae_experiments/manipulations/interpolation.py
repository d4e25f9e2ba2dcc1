"""Ways from one latent to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from vae_experiments.tensors import Latents

PARALLEL = 1e-4
"""Sine of the angle below which two vectors have no plane between them."""


def slerp(first: Latents, second: Latents, share: Tensor) -> Latents:
    """Turn each cell's channel vector from one latent towards another, its length going straight.

    ``T C h w`` both, the share from 0 to 1 as ``T 1 1 1``. Shoemake 1985, in float64; straight where the
    vectors are parallel, opposite or zero, which leaves no plane to turn in.
    """
    import torch

    one, other, way = first.double(), second.double(), share.double()
    lengths = [vectors.norm(dim=1, keepdim=True) for vectors in (one, other)]
    units = [vectors / length.clamp(min=1e-30) for vectors, length in zip((one, other), lengths, strict=True)]
    angle = (units[0] * units[1]).sum(1, keepdim=True).clamp(-1, 1).acos()
    plane = angle.sin()
    turned = ((1 - way) * angle).sin() * units[0] + (way * angle).sin() * units[1]
    turned = turned / plane.clamp(min=PARALLEL) * torch.lerp(lengths[0], lengths[1], way)
    has_plane = (plane > PARALLEL) & (lengths[0] > 0) & (lengths[1] > 0)
    return torch.where(has_plane, turned, one + way * (other - one)).to(first)
