"""``python -m vae_experiments.download model=sd``, ``model=sd,taesd`` or ``--all-small``."""

import sys

from vae_experiments.cli.entry import command_line
from vae_experiments.cli.hydra_setup import register
from vae_experiments.commands.download import FAMILIES, HELP, main, translated

if __name__ == "__main__":
    register(families=FAMILIES, help_text=HELP, named=())
    sys.argv[1:] = translated(sys.argv[1:])
    command_line(main)
