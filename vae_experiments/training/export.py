"""Export: from trained weights to a folder that diffusers, and this package, can load."""

from __future__ import annotations

import copy
import json
import shutil
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from safetensors import SafetensorError

from vae_experiments.errors import WriteError
from vae_experiments.files import hidden_beside, publish, settle, write_json
from vae_experiments.models.normalisation import STATISTICS_FILE
from vae_experiments.runtime.interruption import held
from vae_experiments.training.evaluation import raw_latents

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vae_experiments.tensors import Frames
    from vae_experiments.training.networks.modules import Trainee


RECIPE = "recipe.json"


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


def exported_step(folder: Path) -> int:
    """Return after which step the model in a folder was exported; 0 where there is none."""
    try:
        return int(json.loads((folder / RECIPE).read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def latent_statistics(trainee: Trainee, clips: Sequence[Frames]) -> tuple[list[float], list[float]]:
    """Measure mean and standard deviation of each raw latent channel over all clips and cells."""
    channels = [rearrange(raw_latents(trainee, clip), "b c ... -> c (b ...)") for clip in clips]
    deviation, mean = torch.std_mean(torch.cat(channels, 1).double(), dim=1, correction=0)
    return mean.tolist(), deviation.tolist()
