"""The training command: from a composed config to a training, new or going on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from vae_experiments.cli.app import command
from vae_experiments.cli.config import option_from, refuse_unknown
from vae_experiments.cli.entry import one_line_mistakes
from vae_experiments.cli.hydra_setup import ReserveRunFolder, is_typed
from vae_experiments.cli.multirun import ending_in_one_line
from vae_experiments.cli.run_folders import RUN
from vae_experiments.errors import SettingError, StoppedError
from vae_experiments.pipeline.folder_lock import held
from vae_experiments.runtime.device import Device
from vae_experiments.runtime.interruption import promise
from vae_experiments.training import train
from vae_experiments.training.data.options import Data
from vae_experiments.training.recipes import Autoencoder, Vae, VideoVae, Vqvae
from vae_experiments.training.resuming import (
    described,
    last_training,
    merged,
    reserve_training_folder,
    saved_settings,
)
from vae_experiments.training.settings import Training

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG_GROUPS = ("training", "data", "device")
KINDS: list[type[Training]] = [Autoencoder, Vae, Vqvae, VideoVae]

HELP = """Train an autoencoder, from frames that this package paints or from your own videos.

Choose one of each:

CHOICES
EXPLANATION

and change any setting, key=value:

$CONFIG"""


class ReserveTrainingFolder(ReserveRunFolder):
    """Gives a new training a folder of its own, and one that is resumed the folder that it has."""

    def on_run_start(self, config: DictConfig, **arguments: Any) -> None:
        """Take the folder of the last training for ``training.resume=true``, if there is one."""
        typed = is_typed(config, RUN)
        if not typed and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise SystemExit(f"error: processes that train together need one folder; give it, {RUN}=FOLDER")
        with ending_in_one_line():
            requested = Path(config.hydra.run.dir)
            last = last_training(requested.parents[1]) if len(requested.parents) > 1 else None
            folder = requested if typed else last
            if folder and OmegaConf.select(config, "training.resume") is True:
                with open_dict(config.hydra):
                    config.hydra.run.dir = str(folder)
                    if (folder / ".hydra").exists():
                        config.hydra.output_subdir = None  # the config that it began with stays
            elif not typed:
                super().on_run_start(config, **arguments)
            reserve_training_folder(Path(config.hydra.run.dir))


def training_from(
    config: DictConfig, folder: Path, typed: Sequence[str] = ()
) -> tuple[Training, Data, Device]:
    """Build the training that a composed config describes, or that continues in a folder.

    Raises:
        SettingError: a setting is unknown, its value breaks a rule, or it differs from what the
            training began with.
    """
    refuse_unknown("", config, {"seed", *CONFIG_GROUPS})
    device = option_from(Device, config, "device")
    if device.exact:
        raise SettingError("device.exact", True, "a training is exact as it is", "leave it out")
    training, data = _parts(config)
    if training.resume and (saved := saved_settings(folder)):
        training, data = _parts(OmegaConf.create(merged(saved, described(training, data), typed)))
    return training, data, device


def _parts(config: DictConfig) -> tuple[Training, Data]:
    training = option_from(Training, config, "training")  # type: ignore[type-abstract]
    return training, option_from(Data, config, "data")  # type: ignore[type-abstract]


@command("train", CONFIG_GROUPS, HELP, ReserveTrainingFolder)
def main(config: DictConfig) -> None:
    """Train what the command line composed, into the folder that Hydra made for it."""
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    promise("the training finishes its step, saves and ends")
    with one_line_mistakes():
        try:
            training, data, device = training_from(config, folder, list(hydra_config.overrides.task))
            model = train(training, folder, data, device)
        except StoppedError as stopped:
            print(stopped)
            raise SystemExit(128 + stopped.signal) from None
        finally:
            if reservation := held(folder):
                reservation.end()
    if os.environ.get("RANK", "0") == "0":
        print(f"the trained autoencoder is ready: python run.py model=folder model.path={model}")
