"""Bringing a network's raw latents to about unit variance, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import ModelError
from vae_experiments.files import read_json

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from vae_experiments.tensors import Latents

STATISTICS_FILE = "latent_statistics.json"


@dataclass(frozen=True)
class Normalisation:
    """Brings a network's raw latents to about unit variance, and back.

    ``normalised = (raw - mean) / std``; mean and std have shape ``C 1 1`` or ``1 1 1``, or ``T C 1 1``
    where the first latents of a clip each have numbers of their own, the last of which go on.
    """

    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def none(cls) -> Normalisation:
        """Leave latents in the network's own units."""
        return cls(_column(0.0), _column(1.0))

    @classmethod
    def of(cls, network: Any, folder: Path) -> Normalisation:
        """Read it from the statistics beside the weights, else from the network's config or buffers.

        diffusers' conventions, applied by its pipelines and not by ``encode``, are
        ``(raw - shift_factor) * scaling_factor`` and
        ``(raw - latents_mean) * scaling_factor / latents_std``, where LTX keeps the mean and the std in
        buffers and Cosmos has them for each latent of a clip (its pipeline's ``sigma_data`` is its
        scheduler's, and left out); Flux 2 has a batch norm instead.

        Raises:
            ModelError: what is written there is not one number, or one a channel.
        """
        file = folder / STATISTICS_FILE
        try:
            if file.is_file():
                found = read_json(file)
                return cls(_column(found["mean"]), _column(found["std"]))
            return _own(network)
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
        fits = {self.mean.shape[-3], self.std.shape[-3]} <= {1, channels}
        if not fits or not (self.std > 0).all():
            raise ModelError(
                f"model: the normalisation in {folder} does not fit {channels} channels, or has a spread of 0",
                "export the model again",
            )

    def apply(self, raw: Latents, first: int = 0) -> Latents:
        """Normalise float32 latents ``T C h w`` on the CPU, of which the first has the number ``first``."""
        return (raw - _at(self.mean, first, len(raw))) / _at(self.std, first, len(raw))

    def undo(self, latents: Latents, first: int = 0) -> Latents:
        """Return latents in the network's own units."""
        return latents * _at(self.std, first, len(latents)) + _at(self.mean, first, len(latents))


def _own(network: Any) -> Normalisation:
    """Read what diffusers keeps of it in a network."""
    config = network.config
    batch_norm = getattr(network, "bn", None)
    if batch_norm is not None:
        variance = batch_norm.running_var + batch_norm.eps
        return Normalisation(_column(batch_norm.running_mean.tolist()), _column(variance.sqrt().tolist()))
    buffers = dict(network.named_buffers())
    mean, spread = (
        config.get(name) or _listed(buffers.get(name)) for name in ("latents_mean", "latents_std")
    )
    if mean is None:
        mean = config.get("shift_factor") or 0.0
    channels = config.get("latent_channels") if isinstance(mean, (list, tuple)) else None
    scale = float(config.get("scaling_factor") or 1.0)
    return Normalisation(
        _column(mean, channels), _column(1.0 if spread is None else spread, channels) / scale
    )


def _listed(buffer: Tensor | None) -> list[float] | None:
    return None if buffer is None else buffer.tolist()


def _at(column: Tensor, first: int, count: int) -> Tensor:
    """Take the numbers of the latents from ``first`` on."""
    if column.ndim == 3:
        return column
    import torch

    return column[torch.arange(first, first + count).clamp(max=len(column) - 1)]


def _column(values: float | list[float], channels: int | None = None) -> Tensor:
    """Shape one number, one a channel, or several a channel, so that they meet latents ``T C h w``."""
    import torch
    from einops import rearrange

    column = torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1)
    if not column.isfinite().all():
        raise ValueError("a number is not finite")
    if channels is None or len(column) == channels or len(column) % channels:
        return column
    return rearrange(column, "(c t) 1 1 -> t c 1 1", c=channels)
