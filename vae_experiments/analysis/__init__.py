"""Numbers and pictures of a clip's latents: ``vae-experiments analysis``."""
