"""Manipulations by chance."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from vae_experiments.manipulations.manipulation import Manipulation
from vae_experiments.options import setting
from vae_experiments.randomness import normal, normal_frames

if TYPE_CHECKING:
    from vae_experiments.tensors import Latents


class Noise(Manipulation):
    """Adds Gaussian noise: ``z + scale * e``, with ``e ~ N(0, 1)`` for every latent value.

    ``correlation`` c mixes one noise that all frames share with one of each frame's own,
    ``e_t = sqrt(c) * shared + sqrt(1 - c) * own_t``: unit variance at any c, and c is the correlation
    between any two frames (the mixed noise of PYoCo, Ge et al. 2023, with c = a^2 / (1 + a^2)).
    """

    scale: float = setting(
        "strength of the noise", default=0.5, unit="standard deviations of the latents", minimum=0
    )
    correlation: float = setting(
        "over time: 0 is new noise in every frame, 1 one noise for all", default=0.0, minimum=0, maximum=1
    )
    channels: list[int] = setting("latent channels to change; none named means all", default=[], minimum=0)
    seed: int = setting("seed of the noise", default=0, minimum=0)

    def __call__(self, latents: Latents, at: int) -> Latents:
        """Add the noise that belongs to the frames ``at``, ``at + 1``, ...."""
        frame = latents.shape[1:]
        noise = sqrt(1 - self.correlation) * normal_frames(at, latents.shape, self.seed, "noise")
        noise += sqrt(self.correlation) * normal(frame, self.seed, "shared noise")
        return latents + self.scale * self._chosen(noise).to(latents)

    def _chosen(self, noise: Latents) -> Latents:
        if not self.channels:
            return noise
        count = noise.shape[1]
        if max(self.channels) >= count:
            raise self.mistake(
                "channels", f"the model has {count} channels", f"name some of 0 to {count - 1}"
            )
        silent = noise.new_zeros(noise.shape)
        silent[:, self.channels] = noise[:, self.channels]
        return silent
