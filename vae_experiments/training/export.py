"""Export: from trained weights to a folder that diffusers, and this package, can load."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from vae_experiments.errors import WriteError
from vae_experiments.files import write_json
from vae_experiments.models.framewise import STATISTICS_FILE
from vae_experiments.training.networks import encode

if TYPE_CHECKING:
    from pathlib import Path

    from torch.nn import Module

    from vae_experiments.tensors import Frames


def export_model(network: Module, frames: Frames, folder: Path, recipe: dict[str, Any]) -> None:
    """Write config, float16 weights, latent statistics and the recipe into a folder.

    Args:
        network: the weights to export, in float32; not modified.
        frames: ``T 3 H W``, for measuring the mean and the deviation of each latent channel.
        folder: made if absent; older files of the same names are replaced.
        recipe: what made the weights, for ``recipe.json``.

    Raises:
        WriteError: the folder cannot be written or the disk is full.
    """
    small: Any = copy.deepcopy(network).half()
    try:
        small.save_pretrained(folder, safe_serialization=True)
    except (OSError, SafetensorError) as error:
        raise WriteError(f"cannot write the model to {folder} ({error})", "free some space") from error
    # Statistics belong to the weights as they will be loaded, after rounding.
    mean, deviation = latent_statistics(small.float(), frames)
    write_json(folder / STATISTICS_FILE, {"mean": mean, "std": deviation})
    write_json(folder / "recipe.json", recipe)


@torch.no_grad()
def latent_statistics(network: Module, frames: Frames) -> tuple[list[float], list[float]]:
    """Measure mean and standard deviation of each raw latent channel over all frames and cells."""
    latents = torch.cat(
        [encode(network, chunk) for chunk in torch.tensor_split(frames, math.ceil(len(frames) / 8))]
    ).double()
    deviation, mean = torch.std_mean(latents, dim=(0, 2, 3), correction=0)
    return mean.tolist(), deviation.tolist()
