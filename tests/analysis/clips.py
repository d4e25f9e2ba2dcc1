"""Latents whose numbers are known, made for the tests of the analysis."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch

from vae_experiments.analysis.clip_latents import Subject
from vae_experiments.manipulations import Clip
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from vae_experiments.tensors import Latents


def noise(*shape: int, seed: int = 0) -> Latents:
    """Draw normal latents ``T C h w``."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mixed(count: int = 70, channels: int = 5, seed: int = 0) -> Latents:
    """Draw latents whose channels hang together, of several means; longer than one chunk of sums."""
    values = noise(count, channels, 4, 6, seed=seed)
    weights = noise(1, channels, channels, 1, seed=seed + 100)[0, :, :, 0]
    return torch.einsum("tchw,dc->tdhw", values, weights) + torch.arange(channels)[:, None, None]


def wave(hertz: float, rate_hz: float, count: int, amplitude: float = 1.0) -> Latents:
    """Let every value swing at one frequency, each with a phase of its own."""
    phases = noise(1, 2, 3, 3) * 9
    seconds = torch.arange(count, dtype=torch.float64)[:, None, None, None] / rate_hz
    return (amplitude * torch.sin(2 * torch.pi * hertz * seconds + phases)).float()


def subject(latents: Latents, time_stride: int = 1, **other: Any) -> Subject:
    """Put latents into a clip of 8 frames a second and cells of 8x8 pixels."""
    size = Size(latents.shape[3] * 8, latents.shape[2] * 8)
    clip = Clip(fps=8.0, stride=8, time_stride=time_stride).of_length(len(latents))
    return Subject(
        **({"title": "a clip", "latents": latents, "clip": clip, "size": size, "fps": Fraction(8)} | other)
    )
