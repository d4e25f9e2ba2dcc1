"""``python -m vae_experiments.training training=vae training.steps=200``."""

from vae_experiments.command_line import command_line
from vae_experiments.composition import register
from vae_experiments.training.command import FAMILIES, HELP, ClaimTrainingFolder, main

if __name__ == "__main__":
    register(ClaimTrainingFolder, FAMILIES, HELP, named=())
    command_line(main)
