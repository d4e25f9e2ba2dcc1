"""Evaluation: how good a network is on what training never sees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from einops import rearrange

from vae_experiments.training.networks.losses import psnr_db

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vae_experiments.tensors import Frames, Latents
    from vae_experiments.training.networks.modules import Trainee

_PRIMARIES = [[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]]
_SIDE = 64


@torch.no_grad()
def reconstruct(trainee: Trainee, clip: Frames) -> Frames:
    """Take one clip ``T 3 H W`` through a network and back, as it is: no noise, no batch."""
    return _clip(trainee.decode(trainee.encode(_batch(trainee, clip))))


@torch.no_grad()
def raw_latents(trainee: Trainee, clip: Frames) -> Latents:
    """Return the raw latents of one clip, ``T C h w``."""
    return _clip(trainee.encode(_batch(trainee, clip)))


def mean_psnr_db(pairs: Sequence[tuple[Frames, Frames]]) -> float:
    """Mean over clips of the PSNR of each, in decibels; not a number if one is not."""
    values = [psnr_db(reconstructed, original) for original, reconstructed in pairs]
    return math.fsum(values) / len(values)


def worst_primary_db(trainee: Trainee, frames: int, stride: int) -> float:
    """PSNR of the worst of six flat colours: a mean over clips hides a colour that is never encoded."""
    side = math.ceil(_SIDE / stride) * stride
    colours = torch.tensor(_PRIMARIES, dtype=torch.float32)[:, None, :, None, None]
    clips = colours.expand(-1, frames, -1, side, side)
    return min(psnr_db(reconstruct(trainee, clip), clip) for clip in clips)


def _batch(trainee: Trainee, clip: Frames) -> Frames:
    """Shape a clip as the network takes it: frames as a batch, or one clip ``1 3 T H W``."""
    there = clip.to(next(trainee.parameters()).device)
    if trainee.sees_clips:
        return rearrange(there, "t c h w -> 1 c t h w")
    return there.contiguous(memory_format=torch.channels_last)


def _clip(answer: torch.Tensor) -> torch.Tensor:
    """Return an answer back with time first, on the CPU."""
    clip = rearrange(answer, "1 c t h w -> t c h w") if answer.ndim == 5 else answer
    return clip.to("cpu", torch.float32)
