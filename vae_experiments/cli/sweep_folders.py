"""The jobs of a sweep before the first one runs: what each is given, and where it goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from vae_experiments.cli.hydra_setup import typed_words
from vae_experiments.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERED = "${hydra.job.num}"
SUBDIR = "hydra.sweep.subdir"


def refuse_shared_folders(config: DictConfig) -> None:
    """Stop where two jobs of a sweep would write into one folder.

    Raises:
        SettingError: names both jobs.
    """
    pattern = _pattern(config)
    seen: dict[str, int] = {}
    for number, job in enumerate(_jobs(config)) if pattern != NUMBERED else ():
        place = os.path.normpath(str(OmegaConf.select(job, SUBDIR)))
        if place in seen:
            rule = f"jobs {seen[place]} and {number} would share the folder {place}"
            raise SettingError(SUBDIR, pattern, rule, f"add {NUMBERED}, as in '{pattern}_{NUMBERED}'")
        seen[place] = number


def planned(config: DictConfig) -> list[tuple[Path, DictConfig]]:
    """Compose the jobs whose folders are there already, each with its folder."""
    folder = Path(config.hydra.sweep.dir)
    if not any(path.is_dir() for path in folder.iterdir()):
        return []
    places = ((folder / str(OmegaConf.select(job, SUBDIR)), job) for job in _jobs(config))
    return [(place, job) for place, job in places if place.exists()]


def _pattern(config: DictConfig) -> str:
    sweep = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    assert isinstance(sweep, dict), sweep
    return str(sweep["subdir"])


def _jobs(config: DictConfig) -> Iterator[DictConfig]:
    """Compose every job, as Hydra will; a sweeper that decides on the way has none beforehand."""
    if not str(config.hydra.sweeper.get("_target_")).endswith(f".{BasicSweeper.__name__}"):
        return
    loader = GlobalHydra.instance().config_loader()
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    before = HydraConfig.instance().cfg
    try:
        words = OverridesParser.create(config_loader=loader).parse_overrides(
            [*params, *typed_words(config.hydra, "task")]
        )
        for number, job in enumerate(BasicSweeper.split_arguments(words, None)[0]):
            composed = loader.load_sweep_config(config, list(job))
            with open_dict(composed):
                composed.hydra.job.id = composed.hydra.job.num = number
            HydraConfig.instance().set_config(composed)
            yield composed
    except HydraException:
        return  # Hydra composes them again, and says it better
    finally:
        HydraConfig.instance().cfg = before
