"""Manipulations by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.manipulations.manipulation import Manipulation
from vae_experiments.options import Scheduled, setting
from vae_experiments.randomness import normal, normal_frames

if TYPE_CHECKING:
    from vae_experiments.tensors import Latents


class Noise(Manipulation):
    """Adds Gaussian noise: ``z + scale * e``, with ``e ~ N(0, 1)`` for every latent value.

    ``correlation`` c mixes one noise that all frames share with one of each frame's own,
    ``e_t = sqrt(c) * shared + sqrt(1 - c) * own_t``: unit variance at any c, and c is the correlation
    between any two frames (the mixed noise of PYoCo, Ge et al. 2023, with c = a^2 / (1 + a^2)).
    """

    ladder = ("scale", (0.2, 0.5, 1))

    scale: Scheduled = setting(
        "strength of the noise", default=0.5, unit="standard deviations of the latents", minimum=0
    )
    correlation: Scheduled = setting(
        "over time: 0 is new noise in every frame, 1 one noise for all", default=0.0, minimum=0, maximum=1
    )
    seed: int = setting("seed of the noise", default=0, minimum=0)

    def __call__(self, latents: Latents, at: int) -> Latents:
        """Add the noise that belongs to the latents ``at``, ``at + 1``, ...."""
        own = normal_frames(at, latents.shape, self.seed, "noise")
        shared = normal(latents.shape[1:], self.seed, "shared noise")
        noise: Latents = (1 - self.correlation) ** 0.5 * own + self.correlation**0.5 * shared
        return latents + self.scale * noise.to(latents)
