"""The analysis command: from a composed config to a study."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from vae_experiments.analysis.output import FINISHED, WRITTEN
from vae_experiments.analysis.settings import Analysis
from vae_experiments.analysis.study import Study
from vae_experiments.cli.app import command
from vae_experiments.cli.config import option_from, refuse_unknown
from vae_experiments.cli.entry import one_line_mistakes
from vae_experiments.cli.hydra_setup import ReserveRunFolder, is_typed
from vae_experiments.cli.multirun import ending_in_one_line
from vae_experiments.cli.run_folders import RUN, reserve_run
from vae_experiments.cli.video_sets import take_each_video
from vae_experiments.errors import SettingError
from vae_experiments.models import Model
from vae_experiments.pipeline.experiment import Run
from vae_experiments.pipeline.folder_lock import held
from vae_experiments.runtime.device import Device
from vae_experiments.sources import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG_GROUPS = ("run", "model", "device", "source", "analysis")
NAME = ("vae-experiments", "analysis")

HELP = """Measure the latents of a video: their channels, how these hang together, and how they move.

Choose one of each:

CHOICES

and change any setting, key=value; compare with a second video by analysis.path=FILE, or read what a
run saved by analysis.folder=RUN:

$CONFIG"""


class ReserveAnalysisFolder(ReserveRunFolder):
    """Gives an analysis a folder of its own, never that of a finished one, and each video of a set an analysis."""

    def on_run_start(self, config: DictConfig, **arguments: Any) -> None:
        """Claim the analysis's folder before Hydra writes into it."""
        with ending_in_one_line():
            super().on_run_start(config, **arguments)
            reserve_run(Path(config.hydra.run.dir), config, RUN, WRITTEN)

    def on_multirun_start(self, config: DictConfig, **arguments: Any) -> None:
        """Put every video of a set in its place, and claim the folder of all."""
        with ending_in_one_line():
            take_each_video(config)
            super().on_multirun_start(config, **arguments)

    def _reserve(self, config: DictConfig, node: DictConfig, setting: str) -> None:
        requested = Path(node.dir)
        if is_typed(config, setting) and (
            (requested / FINISHED).exists() or any(requested.glob(f"*/{FINISHED}"))
        ):
            rule = "holds a finished analysis already"
            mistake = SettingError(setting, requested, rule, "choose another folder")
            # Hydra turns an exception of a callback into a warning and continues.
            raise SystemExit(f"error: {mistake}")
        super()._reserve(config, node, setting)


def study_from(config: DictConfig, typed: Sequence[str] = ()) -> Study:
    """Build the study that a composed config describes.

    Args:
        config: composed, or saved by an earlier study.
        typed: the overrides, which tell a source that was asked for from the default one.

    Raises:
        SettingError: a setting is unknown, missing, or its value breaks a rule.
    """
    refuse_unknown("", config, {"seed", "batch_size", *CONFIG_GROUPS})
    analysis = option_from(Analysis, config, "analysis")
    analysis.check_typed(typed)
    return Study(
        source=option_from(Source, config, "source"),  # type: ignore[type-abstract]
        model=option_from(Model, config, "model"),  # type: ignore[type-abstract]
        device=option_from(Device, config, "device"),
        analysis=analysis,
        batch_size=option_from(Run, config, "run").batch_size,
    )


@command("analyze", CONFIG_GROUPS, HELP, ReserveAnalysisFolder)
def main(config: DictConfig) -> None:
    """Analyse what the command line composed, into the folder that Hydra made for it."""
    hydra_config = HydraConfig.get()
    # Unresolved: a `${...}` that leads nowhere must not fail here.
    words = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)
    typed = [str(word) for word in words]  # type: ignore[union-attr]
    folder = Path(hydra_config.runtime.output_dir)
    with one_line_mistakes(), held(folder) or contextlib.nullcontext():
        study = study_from(config, typed)
        shown = typed if hydra_config.mode is RunMode.MULTIRUN else sys.argv[1:]
        study.command = shlex.join([*NAME, *shown])
        study.run(folder)
