"""Export: how good trained weights are, and the folder of them that diffusers, and this package, can load."""

from __future__ import annotations

import copy
import math
import shutil
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from safetensors import SafetensorError

from vae_experiments.errors import WriteError
from vae_experiments.files import hidden_beside, publish, settle, write_json
from vae_experiments.models.normalisation import STATISTICS_FILE
from vae_experiments.runtime.interruption import held
from vae_experiments.training.networks.losses import psnr_db
from vae_experiments.training.resuming import RECIPE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vae_experiments.tensors import Frames, Latents
    from vae_experiments.training.networks.modules import Trainee

_PRIMARIES = [[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]]
_SIDE = 64


def export_model(trainee: Trainee, clips: Sequence[Frames], folder: Path, recipe: dict[str, Any]) -> None:
    """Write config, float16 weights, latent statistics and the recipe into a folder.

    Mean and deviation of each latent channel go into the config where the class has fields for
    them, ``latents_mean`` and ``latents_std``, and else into a file of their own beside it.

    Args:
        trainee: the weights to export, in float32; not modified.
        clips: each ``T 3 H W``, for measuring the statistics.
        folder: replaced if it is there; never there half.
        recipe: what made the weights, for ``recipe.json``.

    Raises:
        WriteError: the folder cannot be written or the disk is full.
    """
    rounded = copy.deepcopy(trainee).half().float()
    # Statistics belong to the weights as they will be loaded, after rounding.
    mean, deviation = latent_statistics(rounded, clips)
    network: Any = rounded.network.half()
    hidden, aside = hidden_beside(folder), hidden_beside(folder)
    try:
        hidden.mkdir(parents=True)
        if "latents_mean" in network.config:
            network.register_to_config(latents_mean=mean, latents_std=deviation)
        else:
            write_json(hidden / STATISTICS_FILE, {"mean": mean, "std": deviation})
        write_json(hidden / RECIPE, recipe)
        network.save_pretrained(hidden, safe_serialization=True)
        for file in hidden.iterdir():
            settle(file)
        with held():
            if folder.exists():
                folder.rename(aside)
            publish(hidden, folder)
    except (OSError, SafetensorError) as error:
        raise WriteError(f"cannot write the model to {folder} ({error})", "free some space") from error
    finally:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        for remains in (hidden, aside):
            shutil.rmtree(remains, ignore_errors=True)


def latent_statistics(trainee: Trainee, clips: Sequence[Frames]) -> tuple[list[float], list[float]]:
    """Measure mean and standard deviation of each raw latent channel over all clips and cells."""
    channels = [rearrange(raw_latents(trainee, clip), "b c ... -> c (b ...)") for clip in clips]
    deviation, mean = torch.std_mean(torch.cat(channels, 1).double(), dim=1, correction=0)
    return mean.tolist(), deviation.tolist()


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
