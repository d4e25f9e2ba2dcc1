"""Manipulations of channels: louder, shifted, silent, swapped, mirrored, tamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from vae_experiments.manipulations.effects.statistics import channel_moments, standardised
from vae_experiments.manipulations.manipulation import Manipulation, WholeClip
from vae_experiments.options import Scheduled, setting
from vae_experiments.runtime.seeding import normal

if TYPE_CHECKING:
    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents


class ChannelGain(WholeClip):
    """Raises the contrast of what the channels hold, or lowers it below a gain of 1.

    ``mean + gain * (z - mean)`` with each channel's mean over the clip, so that the gain shifts nothing.
    Holds all latents of the clip.
    """

    gallery_values = ("gain", (1.25, 2, 3))

    gain: Scheduled = setting("factor on the distance from the channel's mean", default=2.0)

    def whole(self, latents: Latents, _clip: Clip) -> Latents:
        """Stretch each channel about its mean."""
        mean = channel_moments(latents)[0]
        return (mean + self.gain * (latents.double() - mean)).float()


class ChannelBias(Manipulation):
    """Shifts channels up or down everywhere: tints, brightness, a texture over the whole picture.

    ``z + bias``.
    """

    gallery_values = ("bias", (0.25, 0.5, 1))

    bias: Scheduled = setting("what is added", default=0.5, unit="standard deviations of the latents")

    def __call__(self, latents: Latents, _at: int) -> Latents:
        """Add the bias."""
        return latents + self.bias


class ChannelMute(WholeClip):
    """Silences channels, to show what they carry: each becomes its mean over the clip.

    The mean and not 0, which would shift it too. Holds all latents of the clip.
    """

    gallery_values = ("channels", ([0], [0, 1], [0, 1, 2, 3]))

    channels: list[int] = setting(
        "latent channels to silence; none named means all", default=[0], minimum=0, for_every_kind=True
    )

    def whole(self, latents: Latents, _clip: Clip) -> Latents:
        """Put the mean everywhere."""
        return channel_moments(latents)[0].float().expand(latents.shape).contiguous()


class ChannelShuffle(WholeClip):
    """Swaps channels at random: every feature is drawn as another one, in its own place.

    Each channel is standardised and given mean and standard deviation of the channel whose place it
    takes. Holds all latents of the clip.
    """

    seed: int = setting("seed of the order", default=0, minimum=0)

    def whole(self, latents: Latents, _clip: Clip) -> Latents:
        """Draw an order and put each channel into its new place."""
        order = normal(latents.shape[1:2], self.seed, f"order of {self.purpose}").argsort()
        mean, std = channel_moments(latents)
        return (standardised(latents)[:, order] * std + mean).float()


class Invert(WholeClip):
    """Turns every feature into its opposite, as a negative does: light and dark, colours, edges.

    ``2 * mean - z`` with each channel's mean over the clip; half the strength is the mean alone.
    Holds all latents of the clip.
    """

    gallery_values: ClassVar[tuple[str, tuple[object, ...]]] = ("channels", ([0], [0, 1], []))

    def whole(self, latents: Latents, _clip: Clip) -> Latents:
        """Mirror each channel at its mean."""
        return (2 * channel_moments(latents)[0] - latents.double()).float()


class ClampOutliers(WholeClip):
    """Tames the strongest values of each channel: highlights, edges and odd spots lose their force.

    Within ``limit`` standard deviations of the channel's mean over the clip: cut off there, or with
    ``soft`` bent by ``limit * tanh(x / limit)``. Holds all latents of the clip.
    """

    gallery_values = ("limit", (3, 1.5, 0.8))

    limit: Scheduled = setting(
        "farthest from the mean", default=1.0, unit="standard deviations of the channel", above=0
    )
    soft: bool = setting("bend values towards the limit instead of cutting them off", default=True)

    def whole(self, latents: Latents, _clip: Clip) -> Latents:
        """Bring values within the limit."""
        import torch

        mean, std = channel_moments(latents)
        if not self.soft:
            reach = self.limit * std
            return torch.clamp(latents.double(), mean - reach, mean + reach).float()
        with_bent_decoder = self.limit * torch.tanh(standardised(latents) / self.limit)
        return (mean + std * with_bent_decoder).float()


class Truncation(Manipulation):
    """Pulls the latents towards the model's mean: safer and duller below 1, wilder above.

    ``psi * z``: the truncation trick of StyleGAN (Karras et al. 2019), whose mean latent is 0 here.
    """

    gallery_values = ("psi", (0.85, 0.6, 0.3))

    psi: Scheduled = setting("what is kept of the distance from the mean", default=0.6)

    def __call__(self, latents: Latents, _at: int) -> Latents:
        """Scale the latents."""
        return latents * self.psi
