"""What can be trained, and the settings of each kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from vae_experiments.options import Option, setting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Training(Option, ABC, family="training"):
    """Trains one kind of autoencoder from procedural frames."""

    seed: int = setting("of the frames, the first weights and the noise", default=0, minimum=0)

    @abstractmethod
    def run(self, folder: Path) -> Path:
        """Train into a folder, and give the folder of the finished model, in diffusers format.

        Raises:
            TrainingError: the training cannot go on.
        """


class Autoencoder(Training):
    """A deterministic 2-D autoencoder: diffusers' AutoencoderDC without attention."""

    steps: int = setting("how many updates; the whole schedule hangs on it", default=9000, minimum=1)
    start: str = setting(
        "checkpoint whose averaged weights to begin with; fresh ones if left out", default=""
    )
    plain: float = setting("share of frames of one colour or one gradient", default=0.1, minimum=0, maximum=1)
    batch: int = setting("crops a step", default=16, unit="frames", minimum=1)
    crop: int = setting("side of a crop", default=64, unit="pixels", minimum=16, maximum=192)
    window: int = setting(
        "frames that crops are cut from; each step one is new", default=64, unit="frames", minimum=1
    )
    large_batch: int = setting("crops a step in the last steps", default=8, unit="frames", minimum=1)
    large_crop: int = setting(
        "side of a crop in the last steps", default=128, unit="pixels", minimum=16, maximum=192
    )
    large_share: float = setting("share of the steps that see large crops", default=0.1, minimum=0, maximum=1)
    widths: list[int] = setting(
        "channels at each resolution, finest first", default=[16, 48, 96, 128], minimum=1
    )
    encoder_blocks: list[int] = setting("residual blocks at each resolution", default=[0, 1, 2, 2], minimum=0)
    decoder_blocks: list[int] = setting("residual blocks at each resolution", default=[0, 2, 2, 2], minimum=0)
    latent_channels: int = setting("channels of the latents", default=16, minimum=1)
    latent_noise: float = setting(
        "largest noise on the latents; each crop draws its own level below it, a fifth get none",
        default=0.1,
        unit="standard deviations",
        minimum=0,
    )
    prior: float = setting("weight of the pull of the latents to mean 0, variance 1", default=0.01, minimum=0)
    rate: float = setting(
        "learning rate of the convolutions; the rest learns at half of it", default=0.002, above=0
    )
    weight_decay: float = setting(
        "pull of the convolutions towards zero, as a share of the rate", default=1.0, minimum=0
    )
    warm_up: int = setting("until the full rate is reached", default=100, unit="steps", minimum=0)
    averaging: float = setting(
        "decay of the running mean of the weights", default=0.999, minimum=0, maximum=1
    )
    bfloat16: bool = setting("compute in bfloat16: twice as fast where the processor has AMX", default=False)
    threads: int = setting("processor threads of the network", default=1, minimum=1)
    workers: int = setting(
        "processes that paint frames; 0 paints them between the steps", default=1, minimum=0
    )
    validation: int = setting(
        "frames, never trained on, to measure with", default=64, unit="frames", minimum=1
    )
    log_every: int = setting("between two lines of the log", default=50, unit="steps", minimum=1)
    save_every: int = setting(
        "between two checkpoints, each with a usable model", default=500, unit="steps", minimum=1
    )

    def run(self, folder: Path) -> Path:
        """Train, saving ``checkpoint.safetensors`` and ``model/`` in the folder as it goes."""
        import torch

        from vae_experiments.training.trainer import Trainer

        torch.set_num_threads(self.threads)
        return Trainer(self, folder).train()

    def __post_init__(self) -> None:
        """Check what single ranges cannot say.

        Raises:
            SettingError: a number is outside its range, or two settings do not fit each other.
        """
        super().__post_init__()
        for name in ("encoder_blocks", "decoder_blocks"):
            if len(getattr(self, name)) != len(self.widths):
                raise self.mistake(name, f"must have one number a width ({len(self.widths)})")
        stride = 2 ** (len(self.widths) - 1)
        for name in ("crop", "large_crop"):
            if getattr(self, name) % stride:
                raise self.mistake(name, f"must be a multiple of {stride}, the stride of the network")

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Give batch and crop of every step: small crops first, large ones at the end."""
        small = round(self.steps * (1 - self.large_share))
        for step in range(self.steps):
            yield (self.batch, self.crop) if step < small else (self.large_batch, self.large_crop)
