"""Losses: how far reconstructed frames are from what they should be.

All take frames ``T 3 H W`` in [-1, 1] and give one number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import avg_pool2d

if TYPE_CHECKING:
    from vae_experiments.tensors import Frames, Latents


def reconstruction_loss(reconstructed: Frames, original: Frames) -> torch.Tensor:
    """Weigh errors of pixels, edges, coarse brightness and coarse colour into one number."""
    error = reconstructed - original
    loss = charbonnier(error) + 4 * error.square().mean() + 0.25 * _edges(error)
    for scale in (2, 4, 8):
        loss = loss + 0.5 * charbonnier(avg_pool2d(error, scale))
    # Mean errors hide a colour that is never encoded; differences of channels do not.
    coarse = avg_pool2d(error, 8)
    return loss + 0.5 * charbonnier(coarse - coarse.roll(1, 1))


def prior_loss(latents: Latents) -> torch.Tensor:
    """Divergence of each latent channel ``T C h w`` from a normal one of mean 0 and variance 1.

    Without it nothing holds the scale of the latents: it grew a thousandfold, until the residual
    blocks, whose outputs are normalised, no longer mattered and the network was linear.
    Source: the closed form of Kingma and Welling, Auto-encoding variational Bayes, 2013, appendix B.
    """
    variance, mean = torch.var_mean(latents, dim=(0, 2, 3), correction=0)
    return 0.5 * (mean.square() + variance - 1 - (variance + 1e-6).log()).mean()


def charbonnier(error: torch.Tensor, softness: float = 0.01) -> torch.Tensor:
    """Average absolute error, rounded off near zero so that its slope does not jump."""
    return (error.square() + softness**2).sqrt().mean() - softness


def psnr_db(reconstructed: Frames, original: Frames) -> float:
    """Peak signal-to-noise ratio in decibels, of values that are clipped to [-1, 1] as a video's are."""
    error = (reconstructed.clamp(-1, 1) - original).square().mean()
    return float(10 * torch.log10(4 / error.clamp_min(1e-10)))


def _edges(error: torch.Tensor) -> torch.Tensor:
    return charbonnier(error.diff(dim=2)) + charbonnier(error.diff(dim=3))
