"""Bringing a network's raw latents to about unit variance, and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from vae_experiments.tensors import Latents

STATISTICS_FILE = "latent_statistics.json"


@dataclass(frozen=True)
class Normalisation:
    """Brings a network's raw latents to about unit variance, and back.

    ``normalised = (raw - mean) / std``; mean and std have shape ``C 1 1`` or are single numbers.
    """

    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def of(cls, network: Any, folder: Path) -> Normalisation:
        """Read it from the statistics beside the weights, else from the network's own config.

        diffusers' conventions, applied by its pipelines and not by ``encode``, are
        ``(raw - shift_factor) * scaling_factor`` and
        ``(raw - latents_mean) * scaling_factor / latents_std``.

        Raises:
            ModelError: what is written there is not one number, or one a channel.
        """
        file, config = folder / STATISTICS_FILE, network.config
        try:
            if file.is_file():
                found = json.loads(file.read_text())
                return cls(_column(found["mean"]), _column(found["std"]))
            mean = config.get("latents_mean") or config.get("shift_factor") or 0.0
            spread = config.get("latents_std") or 1.0
            return cls(_column(mean), _column(spread) / float(config.get("scaling_factor") or 1.0))
        except (ValueError, KeyError, TypeError) as error:
            where = file if file.is_file() else folder / "config.json"
            raise ModelError(
                f"model: {where} holds no usable normalisation ({error})", "export the model again"
            ) from error

    def check(self, channels: int, folder: Path) -> None:
        """Refuse numbers that are not meant for so many channels.

        Raises:
            ModelError: there is another number of them, or a spread that nothing can be divided by.
        """
        fits = {len(self.mean), len(self.std)} <= {1, channels}
        if not fits or not (self.std > 0).all():
            raise ModelError(
                f"model: the normalisation in {folder} does not fit {channels} channels, or has a spread of 0",
                "export the model again",
            )

    def apply(self, raw: Latents) -> Latents:
        """Normalise float32 latents ``T C h w`` on the CPU."""
        return (raw - self.mean) / self.std

    def undo(self, latents: Latents) -> Latents:
        """Give back the network's own units."""
        return latents * self.std + self.mean


def _column(values: float | list[float]) -> Tensor:
    """Shape one number, or one a channel, so that it meets latents ``T C h w``."""
    import torch

    column = torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1)
    if not column.isfinite().all():
        raise ValueError("a number is not finite")
    return column
