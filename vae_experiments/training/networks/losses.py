"""Losses: how far reconstructed frames are from what they should be.

All take frames ``T 3 H W`` in [-1, 1] and give one number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch.nn.functional import avg_pool2d

from vae_experiments.metrics import ssim

if TYPE_CHECKING:
    from vae_experiments.tensors import Frames, Latents


def reconstruction_loss(reconstructed: Frames, original: Frames) -> torch.Tensor:
    """Weigh errors of pixels, edges, coarse brightness and coarse colour into one number."""
    error = reconstructed - original
    loss = charbonnier(error) + 4 * error.square().mean()
    # The order of these terms is that of their gradients' sum, and so decides the last bit.
    loss = loss + 0.25 * (charbonnier(error.diff(dim=2)) + charbonnier(error.diff(dim=3)))
    for scale in (2, 4, 8):
        loss = loss + 0.5 * charbonnier(avg_pool2d(error, scale))
    # Mean errors hide a colour that is never encoded; differences of channels do not.
    coarse = avg_pool2d(error, 8)
    return loss + 0.5 * charbonnier(coarse - coarse.roll(1, 1))


def prior_loss(latents: Latents) -> torch.Tensor:
    """Divergence of the latent channels ``T C h w`` from normal ones: mean 0, variance 1, uncorrelated.

    Without it nothing holds the scale of the latents: it grew a thousandfold, until the residual
    blocks, whose outputs are normalised, no longer mattered and the network was linear. In nats a
    channel. Source: the closed form for normal distributions, as in Bishop, Pattern recognition and
    machine learning, 2006, exercise 2.13.
    """
    channels = rearrange(latents.float(), "b c ... -> c (b ...)")
    mean = channels.mean(1)
    # A covariance is a product of matrices, which autocast would take in bfloat16: of correlated
    # channels its determinant then gets the wrong sign, and the gradient a wrong direction.
    with torch.autocast(latents.device.type, enabled=False):
        covariance = torch.cov(channels, correction=0)
        softened = covariance + 1e-4 * torch.eye(len(mean), device=latents.device)
        log_determinant = torch.linalg.slogdet(softened)[1]
    divergence: torch.Tensor = covariance.trace() + mean.square().sum() - len(mean) - log_determinant
    return 0.5 / len(mean) * divergence


def kl_loss(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Divergence of a normal posterior from one of mean 0 and variance 1, in nats a latent value.

    Source: Kingma and Welling, Auto-encoding variational Bayes, 2013, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def code_losses(latents: Latents, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How far codes are from their latents, and latents from their codes: each pulls one side.

    Source: van den Oord et al., Neural discrete representation learning, 2017, equation 3.
    """
    return (codes - latents.detach()).square().mean(), (latents - codes.detach()).square().mean()


def structure_loss(reconstructed: Frames, original: Frames) -> torch.Tensor:
    """What is missing in structure: 1 - SSIM, mean over frames."""
    similarity = ssim((reconstructed + 1) * 127.5, (original + 1) * 127.5)
    assert similarity is not None, "a crop is at least as large as the window"
    return 1 - similarity.mean()


def charbonnier(error: torch.Tensor, softness: float = 0.01) -> torch.Tensor:
    """Average absolute error, rounded off near zero so that its slope does not jump."""
    return (error.square() + softness**2).sqrt().mean() - softness


def psnr_db(reconstructed: Frames, original: Frames) -> float:
    """Peak signal-to-noise ratio in decibels, of values that are clipped to [-1, 1] as a video's are."""
    error = (reconstructed.clamp(-1, 1) - original).square().mean()
    return float(10 * torch.log10(4 / error.clamp_min(1e-10)))
