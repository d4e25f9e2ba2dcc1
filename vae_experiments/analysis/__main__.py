"""``python -m vae_experiments.analysis source=video source.path=clip.mp4 source.size=256``."""

from vae_experiments.analysis.command import FAMILIES, HELP, ClaimAnalysisFolder, main
from vae_experiments.cli.entry import command_line
from vae_experiments.cli.hydra_setup import register

if __name__ == "__main__":
    register(ClaimAnalysisFolder, FAMILIES, HELP, named=())
    command_line(main)
