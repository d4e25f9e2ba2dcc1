"""The learner: a network that gets better by a step, and the numbers that it computes in."""

from __future__ import annotations

import copy
import logging
import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange

from vae_experiments.errors import TrainingError
from vae_experiments.training.checkpoints import Weights, load_optimiser_state, load_weights, optimiser_state
from vae_experiments.training.networks.build import split_parameters
from vae_experiments.training.networks.losses import psnr_db, reconstruction_loss, structure_loss
from vae_experiments.training.networks.modules import StepOutput, StepRandom, Trainee
from vae_experiments.training.networks.muon import Muon
from vae_experiments.training.settings import Precision, Training

if TYPE_CHECKING:
    from pathlib import Path

    from accelerate import Accelerator

    from vae_experiments.tensors import Frames

log = logging.getLogger(__name__)

MOST_SKIPPED = 10
"""So many steps in a row without a usable loss end the training."""
LARGEST_LOSS = 1e4
"""Frames lie in [-1, 1]: a reconstruction that costs this is an overflow on its way."""


class Learner:
    """Holds a network, the running mean of its weights and its optimisers; two alike learn alike."""

    def __init__(self, settings: Training, accelerator: Accelerator, dtype: torch.dtype) -> None:
        self.settings, self.accelerator, self.dtype = settings, accelerator, dtype
        torch.manual_seed(settings.seed)
        self.trainee = _buildable(settings).to(accelerator.device)
        self.average = copy.deepcopy(self.trainee).requires_grad_(False)
        inner, others = split_parameters(self.trainee.network)
        self.optimisers: list[torch.optim.Optimizer] = [
            Muon(inner, settings.learning_rate, weight_decay=settings.weight_decay, dtype=dtype),
            torch.optim.AdamW(others, settings.learning_rate / 2, betas=(0.9, 0.99), weight_decay=1e-3),
        ]
        self.full_rates = [optimiser.param_groups[0]["lr"] for optimiser in self.optimisers]
        self.skipped = self.skipped_in_a_row = 0
        self.model: Any = accelerator.prepare_model(self.trainee)
        self.reconstruction_loss = reconstruction_loss
        if settings.compile:
            # In place: a wrapper would give the weights other names.
            for half in ("encoder", "decoder"):
                self.trainee.network.get_submodule(half).compile(dynamic=False)
            self.reconstruction_loss = torch.compile(reconstruction_loss, dynamic=False)

    def learn(self, step: int, batches: list[tuple[int, Frames]]) -> dict[str, float]:
        """Learn from the batches of a step, unless their loss or gradient is not usable; give its numbers.

        Raises:
            TrainingError: it was the last of too many in a row that were not usable.
        """
        self._set_rates(step)
        sums: dict[str, Any] = {}
        for place, (part, frames) in enumerate(batches):
            waits = place < len(batches) - 1
            with self.accelerator.no_sync(self.model) if waits else nullcontext():
                for name, value in self._learn_part(step, part, frames, len(batches)).items():
                    sums[name] = sums.get(name, 0) + value
        counts = sums.pop("counts")
        norm = torch.nn.utils.clip_grad_norm_(self.trainee.parameters(), self.settings.max_grad_norm)
        # Every process sees the same numbers, so that all skip a step or none does.
        numbers = {name: float(self.accelerator.reduce(value, "mean")) for name, value in sums.items()}
        numbers |= {"gradient_norm": float(norm), "rate": float(self.optimisers[0].param_groups[0]["lr"])}
        finite = math.isfinite(numbers["loss"]) and math.isfinite(numbers["gradient_norm"])
        if finite and numbers["reconstruction"] < LARGEST_LOSS:
            self._update(step)
            numbers |= self.trainee.after_update(counts, self.accelerator, self.average)
        else:
            self._skip(step, numbers["loss"])
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        return numbers | {"skipped": float(self.skipped)}

    def state(self) -> dict[str, Weights]:
        """Gather everything that decides the next step."""
        weights = {"trainee": self.trainee.state_dict(), "average": self.average.state_dict()}
        return weights | optimiser_state(self.optimisers, self.trainee)

    def load_state(self, saved: dict[str, Weights], path: Path) -> None:
        """Go on from what :meth:`state` gathered, or from the weights in it alone.

        Raises:
            TrainingError: it is of another network.
        """
        load_weights(self.trainee, saved["trainee"], path)
        load_weights(self.average, saved["average"], path)
        load_optimiser_state(self.optimisers, self.trainee, saved)

    def _learn_part(self, step: int, part: int, frames: Frames, parts: int) -> dict[str, Any]:
        """Add the gradient of one batch; give its fraction of the step's numbers."""
        frames = frames.to(self.accelerator.device)
        enabled = self.dtype is torch.bfloat16
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=enabled):
            answer: StepOutput = self.model(frames, StepRandom(self.settings.seed, step, part))
        reconstructed = answer.reconstructed.float()
        if frames.ndim == 5:  # the losses look at frames
            frames = rearrange(frames, "b c t h w -> (b t) c h w")
            reconstructed = rearrange(reconstructed, "b c t h w -> (b t) c h w")
        losses = {"reconstruction": self.reconstruction_loss(reconstructed, frames)} | answer.penalties
        if self.settings.perceptual:
            losses["structure"] = self.settings.perceptual * structure_loss(reconstructed, frames)
        loss = torch.stack(list(losses.values())).sum()
        self.accelerator.backward(loss / parts)
        psnr = torch.tensor(psnr_db(reconstructed.detach(), frames), device=frames.device)
        numbers = {"loss": loss, "psnr_db": psnr} | losses | answer.figures
        shares: dict[str, Any] = {name: value.detach() / parts for name, value in numbers.items()}
        return shares | {"counts": answer.counts}

    def _set_rates(self, step: int) -> None:
        """Rise to the full rate during the warm-up, and fall along a cosine to nothing at the end."""
        warm_up = min(self.settings.warmup_steps, self.settings.steps // 10)
        rise = min(1.0, (step + 1) / (warm_up + 1))
        fall = 0.5 + 0.5 * math.cos(math.pi * step / self.settings.steps)
        for optimiser, rate in zip(self.optimisers, self.full_rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * rise * fall

    def _update(self, step: int) -> None:
        self.skipped_in_a_row = 0
        for optimiser in self.optimisers:
            optimiser.step()
        # A young average forgets its random start faster.
        decay = min(self.settings.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, new in zip(self.average.parameters(), self.trainee.parameters(), strict=True):
                mean.lerp_(new, 1 - decay)

    def _skip(self, step: int, loss: float) -> None:
        self.skipped += 1
        self.skipped_in_a_row += 1
        log.warning("skipped step %d of seed %d: its loss is %g", step, self.settings.seed, loss)
        if self.skipped_in_a_row >= MOST_SKIPPED:
            raise TrainingError(
                f"the training diverged: {MOST_SKIPPED} steps in a row up to step {step + 1} had no usable loss",
                f"use a lower training.learning_rate than {self.settings.learning_rate:g}",
            )


@torch.no_grad()
def _buildable(settings: Training) -> Trainee:
    """Build the network, and take a small clip through it.

    Raises:
        SettingError: widths and channels do not fit each other; diffusers has no words for it.
    """
    side = settings.stride * 2
    shape = (1, 3, side, side) if settings.frames == 1 else (1, 3, settings.frames, side, side)
    try:
        trainee = settings.trainee()
        trainee.decode(trainee.encode(torch.zeros(shape)))
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        reason = str(error).splitlines()[0][:120]
        raise settings.error_for(
            "widths",
            f"do not make a network with training.latent_channels={settings.latent_channels} ({reason})",
            "leave them out, or take powers of 2, the last at least as large as latent_channels",
        ) from error
    return trainee


def settle_precision(settings: Training, device: torch.device) -> tuple[torch.dtype, str]:
    """Choose in which numbers a network computes while it learns on a device, with the reason.

    float16 is not among them: its range is too small for gradients without a scaler, and on MPS it
    gives wrong answers.

    Raises:
        SettingError: bfloat16 was asked for on a device where it is not known to be safe.
    """
    requested, kind = settings.precision, device.type
    if requested is Precision.bfloat16 and kind not in ("cpu", "cuda"):
        raise settings.error_for(
            "precision", f"not known to be safe on {kind}", "use training.precision=float32"
        )
    if requested is not Precision.auto:
        return getattr(torch, requested.name), "asked for"
    if kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16, "this GPU multiplies it fast"
    if kind == "cpu" and torch.cpu._is_amx_tile_supported():
        return torch.bfloat16, "this CPU has AMX, which multiplies it fast"
    return torch.float32, f"this {kind} does not multiply anything smaller faster"
