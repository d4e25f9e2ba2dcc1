"""Manipulations: small classes, latents in, latents out, grouped by what they disturb."""

from vae_experiments.manipulations.manipulation import Manipulation, chain
from vae_experiments.manipulations.stochastic import Noise

__all__ = ["Manipulation", "Noise", "chain"]
