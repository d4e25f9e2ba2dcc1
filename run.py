"""Take a video through an autoencoder's latent space: python run.py manipulation=noise noise.scale=0.5."""

from __future__ import annotations

from vae_experiments.runtime.interruption import take_signals

if __name__ == "__main__":
    take_signals()  # before what takes long to load

from typing import TYPE_CHECKING

import hydra

from vae_experiments.cli.entry import command_line, run_configured

if TYPE_CHECKING:
    from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float:
    """Run the experiment that the command line composed, into the folder that Hydra made for it."""
    return run_configured(config)


if __name__ == "__main__":
    command_line(main)
