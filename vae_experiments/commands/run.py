"""The experiment itself: ``vae-experiments run``, and run.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.cli.app import command
from vae_experiments.cli.entry import run_configured
from vae_experiments.cli.multirun import SweepFolder

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(config: DictConfig) -> float:
    """Return the objective of the experiment that the command line composed, run into its folder."""
    return run_configured(config)


main = command("config", folder_callback=SweepFolder, named=("experiment",))(run)
