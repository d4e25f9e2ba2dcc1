"""Numbers and pictures of a clip's latents: ``python -m vae_experiments.analysis``."""
