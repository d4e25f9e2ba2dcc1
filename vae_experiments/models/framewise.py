"""The frame-wise adapter: 2-D autoencoders, which see each frame by itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import ModelError
from vae_experiments.models.autoencoder import Autoencoder
from vae_experiments.randomness import normal_frames
from vae_experiments.tensors import check_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import torch
    from torch import Tensor

    from vae_experiments.device import Chosen
    from vae_experiments.models.model import Posterior
    from vae_experiments.tensors import Frames, Latents, Size

STATISTICS_FILE = "latent_statistics.json"


@dataclass(frozen=True)
class Dialect:
    """How one diffusers class answers ``encode``."""

    answer: str
    """The field of encode's output that holds the latents, or their distribution."""

    @property
    def has_posterior(self) -> bool:
        """Tell whether the encoder gives a distribution and not one answer."""
        return self.answer == "latent_dist"


DIALECTS = {
    "AutoencoderKL": Dialect("latent_dist"),
    "AutoencoderTiny": Dialect("latents"),
    "AutoencoderDC": Dialect("latent"),
}


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


class Framewise(Autoencoder):
    """Runs a 2-D network of diffusers over a clip, a chunk of frames at a time."""

    time_stride = 1

    def __init__(self, network: Any, folder: Path, chosen: Chosen, posterior: Posterior, seed: int) -> None:

        self.dialect = DIALECTS[type(network).__name__]
        if posterior.name == "sample" and not self.dialect.has_posterior:
            raise ModelError(
                f"model.posterior=sample: {type(network).__name__} has no posterior, its latents are exact",
                "use model.posterior=mode",
            )
        self.network = (
            network.to(chosen.device, memory_format=chosen.memory_format).eval().requires_grad_(False)
        )
        self.normalisation = Normalisation.of(network, folder)
        self.chosen = chosen
        self.seed = seed if posterior.name == "sample" else None
        self.stride, self.latent_channels = self._probe()
        self._check_normalisation(folder)

    def encode(self, chunks: Iterable[Frames]) -> Iterator[Latents]:
        """Encode each chunk by itself; what a frame becomes does not depend on its neighbours."""
        first = 0
        for frames in chunks:
            latents = self.normalisation.apply(self._through(self._raw_latents, self._padded(frames), first))
            check_finite(latents, "latents", first)
            yield latents
            first += len(frames)

    def decode(self, chunks: Iterable[Latents], size: Size) -> Iterator[Frames]:
        """Decode each chunk by itself and cut off what was padded before encoding."""
        first = 0
        for latents in chunks:
            frames = self._through(self._raw_frames, self.normalisation.undo(latents), first)
            check_finite(frames, "decoded frames", first)
            yield frames[:, :, : size.height, : size.width]
            first += len(latents)

    def _through(self, call: Callable[[Tensor, int], Any], batch: Tensor, first: int) -> Tensor:
        """Send a batch through the network; in exact mode frame by frame, since sums depend on the batch."""
        import torch

        each = 1 if self.chosen.exact else len(batch)
        results: list[Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(batch), each):
                part = batch[start : start + each]
                moved = part.to(
                    self.chosen.device, self.chosen.dtype, memory_format=self.chosen.memory_format
                )
                results.append(call(moved, first + start).to("cpu", torch.float32))
        # A tensor made under inference_mode cannot be changed or trained on later; this copy can.
        return torch.cat(results)

    def _raw_latents(self, frames: Frames, first: int) -> Any:
        encoded = getattr(self.network.encode(frames), self.dialect.answer)
        if not self.dialect.has_posterior:
            return encoded
        if self.seed is None:
            return encoded.mode()
        noise = normal_frames(first, encoded.mean.shape, self.seed, "posterior")
        return encoded.mean + encoded.std * noise.to(encoded.mean)

    def _raw_frames(self, latents: Latents, _first: int) -> Any:
        return self.network.decode(latents).sample

    def _padded(self, frames: Frames) -> Frames:
        """Repeat the last row and column up to a size that the network takes."""
        from torch.nn.functional import pad

        height, width = frames.shape[-2:]
        below, right = -height % self.stride, -width % self.stride
        return pad(frames, (0, right, 0, below), mode="replicate") if below or right else frames

    def _check_normalisation(self, folder: Path) -> None:
        mean, std = self.normalisation.mean, self.normalisation.std
        fits = {len(mean), len(std)} <= {1, self.latent_channels}
        if not fits or not (std > 0).all():
            raise ModelError(
                f"model: the normalisation in {folder} does not fit {self.latent_channels} channels, or has a spread of 0",
                "export the model again",
            )

    def _probe(self) -> tuple[int, int]:
        """Ask the network itself for its stride and its channels: configs of old checkpoints lie."""
        import torch

        side = 64
        latents = self._through(self._raw_latents, torch.zeros(1, 3, side, side), 0)
        return side // latents.shape[-1], latents.shape[1]
