"""``vae-experiments curves``: what the settings of a run will do over time, drawn without running the model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig

from vae_experiments.cli.app import command
from vae_experiments.cli.config import experiment_from
from vae_experiments.cli.entry import one_line_mistakes
from vae_experiments.cli.hydra_setup import typed_words
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import checked
from vae_experiments.models import load_pair
from vae_experiments.pipeline.latent_source import fitted
from vae_experiments.pipeline.moving_settings import PICTURE, MovingSettings
from vae_experiments.pipeline.second_video import clip_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from vae_experiments.pipeline.experiment import Experiment

log = logging.getLogger(__name__)
TABLE = "settings.csv"


def curves(config: DictConfig) -> None:
    """Draw what the moving settings of the composed experiment do into the folder that Hydra made for it."""
    hydra = HydraConfig.get()
    with one_line_mistakes():
        folder = Path(hydra.runtime.output_dir)
        moving = moving_settings(experiment_from(config, typed_words(hydra, "task")))
        moving.draw(folder / PICTURE)
        moving.write_table(folder / TABLE)
        log.info("%s over %d frames, in %s", ", ".join(moving.curves), len(moving.begins), folder / PICTURE)


def moving_settings(experiment: Experiment) -> MovingSettings:
    """Take the values of an experiment's settings; of the model only what its latents stand for is asked.

    Raises:
        VaeExperimentsError: a value breaks its rule, there is nothing to listen to, or nothing moves.
    """
    experiment.source.look_over()
    autoencoder = load_pair(experiment.model, experiment.decoder, experiment.device.choose())
    source = fitted(experiment.source, autoencoder)
    clip = clip_of(source, autoencoder, experiment.batch_size, experiment.places)
    checked(experiment.manipulations, clip)
    moving = MovingSettings.of(experiment.manipulations, clip)
    if not moving.curves:
        names = ", ".join(link.name for link in experiment.manipulations) or "none"
        raise SettingError(
            "manipulation", names, "no setting moves", "give one an expression, as 'ramp(0,1)'"
        )
    return moving


main = command("config")(curves)
