"""The training loop: batches in, a better network out, nothing lost when it goes wrong."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vae_experiments.errors import TrainingError
from vae_experiments.training.batches import batches, validation_frames
from vae_experiments.training.checkpoints import read_checkpoint, write_checkpoint
from vae_experiments.training.export import export_model
from vae_experiments.training.losses import prior_loss, psnr_db, reconstruction_loss
from vae_experiments.training.muon import Muon
from vae_experiments.training.networks import build_autoencoder, decode, encode, split_parameters

if TYPE_CHECKING:
    from vae_experiments.tensors import Frames, Latents
    from vae_experiments.training.checkpoints import Weights
    from vae_experiments.training.settings import Autoencoder

log = logging.getLogger(__name__)

CHECKPOINT, MODEL = "checkpoint.safetensors", "model"
MOST_SKIPPED = 10
"""So many steps in a row without a usable loss end the training."""

_LARGEST_LOSS = 1e4  # frames lie in [-1, 1]: a loss like this is an overflow on its way
_PRIMARIES = [[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]]


class Trainer:
    """Trains one autoencoder; two with the same settings take the same steps."""

    def __init__(self, settings: Autoencoder, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(settings.seed)
        self.network = build_autoencoder(
            settings.widths, settings.encoder_blocks, settings.decoder_blocks, settings.latent_channels
        )
        if settings.start:
            self.network.load_state_dict(_weights_to_start_from(Path(settings.start), self.network))
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        inner, others = split_parameters(self.network)
        dtype = torch.bfloat16 if settings.bfloat16 else torch.float32
        self.optimisers: list[torch.optim.Optimizer] = [
            Muon(inner, settings.rate, weight_decay=settings.weight_decay, dtype=dtype),
            torch.optim.AdamW(others, settings.rate / 2, betas=(0.9, 0.99), weight_decay=1e-3),
        ]
        self.full_rates = [optimiser.param_groups[0]["lr"] for optimiser in self.optimisers]
        self.skipped = self.skipped_in_a_row = 0
        self.validation = validation_frames(settings.seed, settings.validation)
        self.started_seconds = time.monotonic()

    def train(self) -> Path:
        """Take every step, save now and then, and give the folder of the exported model.

        Raises:
            TrainingError: too many steps in a row gave no usable loss.
        """
        settings = self.settings
        for step, frames in enumerate(batches(settings)):
            loss = self.learn(step, frames)
            done = step + 1
            if done % settings.log_every == 0:
                log.info("step %d of %d: loss %.4f, %.0f s", done, settings.steps, loss, self._seconds())
            if done % settings.save_every == 0 or done == settings.steps:
                self.save(done)
        return self.folder / MODEL

    def learn(self, step: int, frames: Frames) -> float:
        """Learn from one batch, unless its loss or its gradient is not usable; give the loss.

        Raises:
            TrainingError: it was the last of too many in a row that were not usable.
        """
        self._set_rates(step)
        loss = self._loss(step, frames)
        usable = bool(loss < _LARGEST_LOSS)  # what is not a number is not below anything
        if usable:
            loss.backward()  # type: ignore[no-untyped-call]
            usable = bool(torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0).isfinite())
        if usable:
            self._update(step)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        if not usable:
            self._skip(step, float(loss.detach()))
        return float(loss.detach())

    def save(self, done: int) -> None:
        """Measure the averaged weights and, if they are sound, save them and the model made of them."""
        colours = torch.tensor(_PRIMARIES, dtype=torch.float32)[:, :, None, None].expand(-1, -1, 64, 64)
        worst_primary_db = min(map(self._quality_db, colours))
        mean_db = sum(map(self._quality_db, self.validation)) / len(self.validation)
        log.info(
            "after step %d: %.2f dB on new frames, %.1f dB on the worst primary",
            done,
            mean_db,
            worst_primary_db,
        )
        if not math.isfinite(mean_db):
            return
        progress = {
            "step": done,
            "skipped": self.skipped,
            "seconds": round(self._seconds(), 1),
            "psnr_db": round(mean_db, 3),
            "worst_primary_db": round(worst_primary_db, 3),
            "settings": dataclasses.asdict(self.settings),
        }
        weights = {"network": self.network.state_dict(), "average": self.average.state_dict()}
        write_checkpoint(self.folder / CHECKPOINT, weights, progress)
        export_model(self.average, self.validation, self.folder / MODEL, progress)

    def _loss(self, step: int, frames: Frames) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.bfloat16):
            latents = encode(self.network, frames)
            reconstructed = decode(self.network, self._disturbed(step, latents))
        prior = self.settings.prior * prior_loss(latents.float())
        return reconstruction_loss(reconstructed.float(), frames) + prior

    def _disturbed(self, step: int, latents: Latents) -> Latents:
        """Add noise to the latents, of a level that each crop draws for itself.

        Drawn from the seed and the step, so that a step is the same whatever came before it.
        """
        random = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + step)
        level = torch.rand(len(latents), 1, 1, 1, generator=random) * 1.25 - 0.25
        noise = torch.randn(latents.shape, generator=random)
        deviation = latents.detach().float().std(dim=(0, 2, 3), keepdim=True)
        return latents + self.settings.latent_noise * level.clamp_min(0) * deviation * noise

    def _set_rates(self, step: int) -> None:
        """Rise to the full rate during the warm-up, and fall along a cosine to nothing at the end."""
        rise = min(1.0, (step + 1) / (self.settings.warm_up + 1))
        fall = 0.5 + 0.5 * math.cos(math.pi * step / self.settings.steps)
        for optimiser, rate in zip(self.optimisers, self.full_rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * rise * fall

    def _update(self, step: int) -> None:
        self.skipped_in_a_row = 0
        for optimiser in self.optimisers:
            optimiser.step()
        # A young average forgets its random start faster.
        decay = min(self.settings.averaging, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(new, 1 - decay)

    def _skip(self, step: int, loss: float) -> None:
        self.skipped += 1
        self.skipped_in_a_row += 1
        log.warning("skipped batch %d of seed %d: its loss is %g", step, self.settings.seed, loss)
        if self.skipped_in_a_row < MOST_SKIPPED:
            return
        checkpoint = self.folder / CHECKPOINT
        kept = f"; the last good weights are in {checkpoint}" if checkpoint.exists() else ""
        raise TrainingError(
            f"the training diverged: {MOST_SKIPPED} steps in a row up to step {step + 1} had no usable loss",
            f"use a lower training.rate than {self.settings.rate:g}{kept}",
        )

    @torch.no_grad()
    def _quality_db(self, frame: Frames) -> float:
        frames = frame[None].contiguous(memory_format=torch.channels_last)
        return psnr_db(decode(self.average, encode(self.average, frames)), frames)

    def _seconds(self) -> float:
        return time.monotonic() - self.started_seconds


def _weights_to_start_from(checkpoint: Path, network: torch.nn.Module) -> Weights:
    """Read the averaged weights of a checkpoint, if they fit the network.

    Raises:
        TrainingError: there is no such checkpoint, or it is of another network.
    """
    if not checkpoint.is_file():
        raise TrainingError(f"there is no checkpoint {checkpoint}", f"give the path of a {CHECKPOINT}")
    weights = read_checkpoint(checkpoint)[0]["average"]
    shapes, needed = ({name: t.shape for name, t in w.items()} for w in (weights, network.state_dict()))
    if shapes != needed:
        raise TrainingError(
            f"the weights in {checkpoint} are of another network",
            "give the widths and blocks of that training",
        )
    return weights
