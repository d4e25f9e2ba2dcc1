"""The training command: ``python -m vae_experiments.training training.steps=200 seed=1``."""

from __future__ import annotations

from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vae_experiments.command_line import command_line
from vae_experiments.config import refuse_unknown
from vae_experiments.errors import VaeExperimentsError
from vae_experiments.mistakes import mistake_of
from vae_experiments.options import kinds
from vae_experiments.training.settings import Training

CONF = Path(__file__).resolve().parents[2] / "conf"


def training_from(config: DictConfig) -> Training:
    """Build the training that a composed config describes.

    Raises:
        SettingError: a setting is unknown, or its value breaks a rule.
    """
    refuse_unknown("", config, {"seed", "training"})
    kind = kinds(Training.family)[config.training.kind]
    refuse_unknown("training", config.training, {"kind", *(name for name, _, _ in kind.settings())})
    training = OmegaConf.to_object(config.training)
    assert isinstance(training, Training), config
    return training


def register() -> None:
    """Put the schema of every kind of training into Hydra's ConfigStore."""
    for kind, option_class in kinds(Training.family).items():
        ConfigStore.instance().store(group="hydra/schema/training", name=kind, node=option_class)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def main(config: DictConfig) -> None:
    """Train what the command line composed, into the folder that Hydra made for it."""
    try:
        model = training_from(config).run(Path(HydraConfig.get().runtime.output_dir))
    except (VaeExperimentsError, OmegaConfBaseException) as error:
        raise SystemExit(f"error: {mistake_of(error)}") from None
    print(f"the trained autoencoder is ready: python run.py model=folder model.path={model}")


if __name__ == "__main__":
    register()
    command_line(main)
