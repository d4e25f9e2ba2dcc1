"""Manipulations: small classes, latents in, latents out, grouped by what they disturb."""

from vae_experiments.manipulations.clip import Clip
from vae_experiments.manipulations.manipulation import Link, Manipulation, WholeClip, chain, lengths_differ
from vae_experiments.manipulations.stochastic import Noise

__all__ = ["Clip", "Link", "Manipulation", "Noise", "WholeClip", "chain", "lengths_differ"]
