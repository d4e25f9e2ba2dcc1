"""The kinds of autoencoder that can be trained: the settings that each has of its own."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING

from vae_experiments.options import setting
from vae_experiments.training.settings import Training

if TYPE_CHECKING:
    from vae_experiments.training.networks.modules import Trainee


class Autoencoder(Training):
    """A deterministic 2-D autoencoder: diffusers' AutoencoderDC without attention."""

    encoder_blocks: list[int] = setting("residual blocks at each resolution", default=[0, 1, 2, 2], minimum=0)
    decoder_blocks: list[int] = setting("residual blocks at each resolution", default=[0, 2, 2, 2], minimum=0)
    prior: float = setting("weight of the pull of the latents to mean 0, variance 1", default=0.01, minimum=0)

    def __post_init__(self) -> None:
        """Check that there is one number of blocks a width."""
        super().__post_init__()
        for name in ("encoder_blocks", "decoder_blocks"):
            if len(getattr(self, name)) != len(self.widths):
                raise self.error_for(name, f"must have one number a width ({len(self.widths)})")

    def trainee(self) -> Trainee:
        """Build an AutoencoderDC."""
        from vae_experiments.training.networks.build import build_autoencoder
        from vae_experiments.training.networks.modules import Deterministic

        network = build_autoencoder(
            self.widths, self.encoder_blocks, self.decoder_blocks, self.latent_channels
        )
        return Deterministic(network, self.latent_noise, self.prior)


class GroupNormed(Training, ABC, group="training"):
    """What the two kinds share whose blocks are normalised in groups of channels."""

    blocks: int = setting("residual blocks at each resolution", default=1, minimum=1)
    groups: int = setting("channels are normalised in so many groups", default=4, minimum=1)
    latent_noise: float = setting(
        "noise on the latents, beside what the kind has of its own",
        default=0.0,
        unit="standard deviations",
        minimum=0,
    )

    def __post_init__(self) -> None:
        """Check that the groups divide every width."""
        super().__post_init__()
        if any(width % self.groups for width in self.widths):
            raise self.error_for("groups", f"must divide every width ({', '.join(map(str, self.widths))})")


class Vae(GroupNormed):
    """A variational 2-D autoencoder: diffusers' AutoencoderKL without attention, as Stable Diffusion has it."""

    kl: float = setting(
        "weight of the divergence of the posterior from a normal one", default=1e-4, minimum=0
    )
    kl_warmup_steps: int = setting(
        "until the divergence has its full weight, rising from none", default=500, unit="steps", minimum=0
    )

    def trainee(self) -> Trainee:
        """Build an AutoencoderKL."""
        from vae_experiments.training.networks.build import build_vae
        from vae_experiments.training.networks.modules import Variational

        network = build_vae(self.widths, self.blocks, self.groups, self.latent_channels)
        return Variational(network, self.latent_noise, self.kl, self.kl_warmup_steps)


class Vqvae(GroupNormed):
    """A vector-quantised 2-D autoencoder: diffusers' VQModel without attention; latents snap to a codebook."""

    codes: int = setting("vectors in the codebook", default=1024, minimum=2)
    commitment: float = setting("weight of the pull of the latents to their codes", default=0.25, minimum=0)
    quantize_after: int = setting(
        "until latents snap to their codes, a quarter of all at most; before, codes only follow them",
        default=100,
        unit="steps",
        minimum=0,
    )
    revive_after: int = setting(
        "a code that nothing chose for so long begins anew at a latent of the batch; 0 never",
        default=25,
        unit="steps",
        minimum=0,
    )
    widths: list[int] = setting("channels at each resolution, finest first", default=[32, 64, 96], minimum=1)
    latent_channels: int = setting("length of a code", default=8, minimum=1)

    def trainee(self) -> Trainee:
        """Build a VQModel."""
        from vae_experiments.training.networks.build import build_vqvae
        from vae_experiments.training.networks.modules import Quantised

        network = build_vqvae(self.widths, self.blocks, self.groups, self.latent_channels, self.codes)
        free = min(self.quantize_after, self.steps // 4)
        return Quantised(network, self.latent_noise, self.commitment, self.revive_after, free)


class VideoVae(Training):
    """A causal video autoencoder that makes time 4 times shorter too: diffusers' AutoencoderKLWan, very small."""

    blocks: int = setting("residual blocks at each resolution", default=1, minimum=1)
    clip_frames: int = setting(
        "frames of a clip, one more than a multiple of 4; a network that saw only short ones drifts on long ones",
        default=33,
        unit="frames",
        minimum=5,
    )
    kl: float = setting(
        "weight of the divergence of the posterior from a normal one", default=1e-4, minimum=0
    )
    kl_warmup_steps: int = setting(
        "until the divergence has its full weight, rising from none", default=500, unit="steps", minimum=0
    )
    widths: list[int] = setting(
        "channels at each resolution, finest first; multiples of the first", default=[32, 64, 64], minimum=1
    )
    batch: int = setting("clips that go through the network at once", default=4, minimum=1)
    crop: int = setting("side of a crop", default=32, unit="pixels", minimum=16)
    large_batch: int = setting("clips at once in the last steps", default=1, minimum=1)
    large_crop: int = setting("side of a crop in the last steps", default=64, unit="pixels", minimum=16)
    buffer_size: int = setting("clips that crops are cut from", default=16, minimum=1)
    validation: int = setting("clips, never trained on, to measure with", default=4, minimum=1)
    latent_noise: float = setting(
        "more noise on the latents than the posterior has", default=0.0, unit="standard deviations", minimum=0
    )

    def __post_init__(self) -> None:
        """Check what the network takes: multiples of the first width, 4k + 1 frames, two halvings of time."""
        super().__post_init__()
        if any(width % self.widths[0] for width in self.widths):
            raise self.error_for("widths", f"must be multiples of the first one ({self.widths[0]})")
        if len(self.widths) < 3:
            raise self.error_for("widths", "must be three or more: time is halved twice, between them")
        if self.widths[-1] != self.widths[-2]:
            rule = "must end with two of the same, as the shortcuts of this network want it"
            raise self.error_for("widths", rule)
        if self.clip_frames % 4 != 1:
            raise self.error_for("clip_frames", "must be one more than a multiple of 4")
        if self.compile:
            rule = "must be false: this network carries state that torch cannot compile"
            raise self.error_for("compile", rule)

    @property
    def frames(self) -> int:
        """How many frames of a clip the network sees at once."""
        return self.clip_frames

    @property
    def stride(self) -> int:
        """How many pixels, each way, one latent cell stands for: the network begins with patches of 2x2."""
        return 2 * super().stride

    def trainee(self) -> Trainee:
        """Build an AutoencoderKLWan of the 2.2 form, whose shortcuts let it learn from the first step."""
        from vae_experiments.training.networks.build import build_video_vae
        from vae_experiments.training.networks.modules import CausalVideo

        network = build_video_vae(self.widths, self.blocks, self.latent_channels)
        return CausalVideo(network, self.latent_noise, self.kl, self.kl_warmup_steps)
