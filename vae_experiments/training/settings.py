"""What every training has in common: how long, how large, how fast, and what is written down."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from vae_experiments.options import Choice, Option, setting

if TYPE_CHECKING:
    from vae_experiments.training.networks.modules import Trainee

FREE = {"resume", "workers", "log_every", "save_every", "save_seconds", "tensorboard", "wandb"}
"""Settings that a training may change when it is resumed: they do not touch the weights."""


class Precision(Choice):
    """In which numbers the network computes while it learns; weights are always float32."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Training(Option, ABC, group="training"):
    """Trains one kind of autoencoder."""

    seed: int = setting(
        "of the data, the first weights and the noise", default=0, minimum=0, maximum=2**32 - 1
    )
    resume: bool = setting("go on where the training in this folder, or the last one, stopped", default=False)
    init_from: str = setting(
        "checkpoint whose averaged weights to begin with; fresh ones if left out", default=""
    )
    steps: int = setting("how many updates; the whole schedule hangs on it", default=18000, minimum=1)
    batch: int = setting("crops that go through the network at once", default=16, minimum=1)
    gradient_accumulation: int = setting("batches whose gradients make one update", default=1, minimum=1)
    crop: int = setting("side of a crop", default=64, unit="pixels", minimum=16)
    large_batch: int = setting("crops at once in the last steps", default=8, minimum=1)
    large_crop: int = setting("side of a crop in the last steps", default=128, unit="pixels", minimum=16)
    large_fraction: float = setting(
        "fraction of the steps that see large crops", default=0.1, minimum=0, maximum=1
    )
    buffer_size: int = setting("pieces of data that crops are cut from", default=64, minimum=1)
    refresh: int = setting("new pieces a step; the oldest in the buffer leave", default=1, minimum=0)
    widths: list[int] = setting(
        "channels at each resolution, finest first", default=[16, 48, 96, 128], minimum=1
    )
    latent_channels: int = setting("channels of the latents", default=16, minimum=1)
    latent_noise: float = setting(
        "largest noise on the latents; each crop draws its own level below it, a fifth get none",
        default=0.1,
        unit="standard deviations",
        minimum=0,
    )
    perceptual: float = setting(
        "weight of a loss of structure, 1 - SSIM, beside those of pixels and edges", default=0.0, minimum=0
    )
    learning_rate: float = setting(
        "learning rate of the convolutions (Muon); the rest (AdamW) learns at half of it",
        default=0.001,
        above=0,
    )
    weight_decay: float = setting(
        "pull of the convolutions towards zero, as a fraction of the rate", default=1.0, minimum=0
    )
    warmup_steps: int = setting(
        "until the full rate is reached; a tenth of all at most", default=100, unit="steps", minimum=0
    )
    max_grad_norm: float = setting("largest norm of the gradient", default=1.0, above=0)
    ema_decay: float = setting(
        "decay of the running mean of the weights, which is what is kept", default=0.999, minimum=0, maximum=1
    )
    precision: Precision = setting(
        "auto is bfloat16 where the hardware multiplies it fast (CUDA, CPUs with AMX), float32 elsewhere",
        default=Precision.auto,
    )
    compile: bool = setting(
        "let torch compile the network: a third faster, needs a C++ compiler", default=False
    )
    workers: int = setting(
        "processes that prepare data; 0 prepares it between the steps", default=1, minimum=0
    )
    validation: int = setting("pieces, never trained on, to measure with", default=64, minimum=1)
    log_every: int = setting("between two rows of metrics.csv", default=50, unit="steps", minimum=1)
    save_every: int = setting(
        "between two checkpoints, each with a usable model", default=500, unit="steps", minimum=1
    )
    save_seconds: float = setting(
        "most time between two checkpoints, of which saving may take a twentieth",
        default=60,
        unit="seconds",
        above=0,
    )
    tensorboard: bool | None = setting(
        "write scalars and pictures for TensorBoard; where it is installed, if left out", default=None
    )
    wandb: bool = setting("send them to Weights & Biases too", default=False)

    @abstractmethod
    def trainee(self) -> Trainee:
        """Build the network, with fresh weights and its own part of the loss."""

    def __post_init__(self) -> None:
        """Check what single ranges cannot say."""
        super().__post_init__()
        if not self.widths:
            raise self.error_for("widths", "must have one number or more")
        if self.compile and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
            raise self.error_for("compile", "needs a C++ compiler, and none is here", "leave it out")
        for name in ("crop", "large_crop"):
            if getattr(self, name) % self.stride:
                raise self.error_for(name, f"must be a multiple of {self.stride}, the stride of the network")

    @property
    def frames(self) -> int:
        """How many frames of a clip the network sees at once."""
        return 1

    @property
    def stride(self) -> int:
        """How many pixels, each way, one latent cell stands for."""
        return int(2 ** (len(self.widths) - 1))

    def sizes(self, step: int) -> tuple[int, int]:
        """Return batch and crop of a step: small crops first, large ones at the end."""
        small = step < round(self.steps * (1 - self.large_fraction))
        return (self.batch, self.crop) if small else (self.large_batch, self.large_crop)
