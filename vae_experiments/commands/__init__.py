"""The small commands: python -m vae_experiments COMMAND."""
