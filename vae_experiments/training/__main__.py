"""``python -m vae_experiments.training training=vae training.steps=200``."""

from vae_experiments.cli.entry import command_line
from vae_experiments.cli.hydra_setup import register
from vae_experiments.training.command import FAMILIES, HELP, ClaimTrainingFolder, main

if __name__ == "__main__":
    register(ClaimTrainingFolder, FAMILIES, HELP, named=())
    command_line(main)
