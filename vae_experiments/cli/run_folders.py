"""Which folder a composed run may write into, and what lies there already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vae_experiments.errors import VaeExperimentsError
from vae_experiments.files import digest_of, is_complete, read_sums
from vae_experiments.pipeline.folder_lock import (
    CONFIG_FOLDER,
    ELSEWHERE,
    RefusedError,
    Reservation,
    held,
    obstacle,
    release_finished,
    take,
)
from vae_experiments.pipeline.run_folder import FINISHED, WRITTEN
from vae_experiments.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

RESERVED = "${claimed:" + CONFIG_FOLDER + "}"
FREE = ("cache", "sweep")
"""Blocks of the config that change no result: a finished job stays finished when they differ."""
RUN, SWEEP = "hydra.run.dir", "hydra.sweep.dir"


def reserve_run(
    folder: Path, config: DictConfig, setting: str, written: Sequence[str] = WRITTEN
) -> Reservation:
    """Claim the folder of a run before the first file; what an unfinished run of these settings left goes.

    Args:
        folder: made if it is missing.
        config: of the run.
        setting: what a person types the folder as.
        written: patterns of all names that such a run writes, beside what Hydra does.

    Raises:
        RefusedError: the folder is another's, or holds the source.
        WriteError: it cannot be written to.
    """
    if reservation := held(folder):
        return reservation
    source = OmegaConf.select(config, "source.path", default=None)
    here = folder.resolve()
    if source and here in ((place := Path(str(source)).resolve()), *place.parents):
        raise RefusedError(setting, folder, "holds the source", "choose another folder")
    settings, names = settings_of(config), _names(config, written)
    reservation = take(
        *(folder, settings, names, setting),
        saved=lambda: saved_settings(folder),
        is_free=lambda: setting == SWEEP and _can_be_mended(folder, settings),
    )
    reservation.clear(names)
    return reservation


def finished_job(folder: Path, config: DictConfig) -> dict[str, Any] | None:
    """Return the numbers of a job that finished before; None where there is none, or it is damaged.

    Raises:
        RefusedError: what finished there was a run of other settings.
    """
    saved = saved_settings(folder)
    if saved is None or not is_complete(folder, FINISHED):
        return None
    if saved != settings_of(config):
        raise RefusedError(SWEEP, folder, "holds a finished run of other settings", ELSEWHERE)
    metrics: dict[str, Any] = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
    return metrics


def refuse_others(jobs: Sequence[tuple[Path, DictConfig]]) -> None:
    """Stop a sweep before its first job where a folder of one is another's.

    Raises:
        RefusedError: a folder is of no finished or unfinished run of the job's settings.
    """
    for folder, config in jobs:
        settings = settings_of(config)
        problem = obstacle(folder, settings, _names(config), lambda place=folder: saved_settings(place))  # type: ignore[misc]
        if problem and not _can_be_mended(folder, settings):
            raise RefusedError(SWEEP, folder, problem, ELSEWHERE)


def settings_of(config: DictConfig) -> str:
    """Return what tells a run from others: the digest of its config as it is saved, without what changes nothing."""
    kept = [str(key) for key in config if key not in (*FREE, "hydra")]
    text = OmegaConf.to_yaml(OmegaConf.masked_copy(config, kept))
    return digest_of(OmegaConf.to_container(OmegaConf.create(text)))


def saved_settings(folder: Path) -> str | None:
    """Return the settings of the run that lies in a folder; None where its config is gone or damaged."""
    try:
        saved = OmegaConf.create(read_yaml(folder / CONFIG_FOLDER / "config.yaml"))
        return settings_of(saved) if isinstance(saved, DictConfig) and saved else None
    except Exception:  # whatever a damaged config may do to its reader
        return None


def _can_be_mended(folder: Path, settings: str) -> bool:
    """Whether a folder holds a finished job that is damaged: it is done again."""
    saved = saved_settings(folder)
    try:
        read_sums(folder, FINISHED)
    except ValueError:
        return saved == settings
    return saved in (None, settings)


def _names(config: DictConfig, written: Sequence[str] = WRITTEN) -> tuple[str, ...]:
    job = config.hydra.job if "hydra" in config else HydraConfig.get().job
    return (*written, CONFIG_FOLDER, f"{job.name}.log")


def reserved(value: str, *, _root_: DictConfig) -> str | None:
    """Keep Hydra from writing its files into a folder that this job did not get.

    Hydra asks where to write them just before it does, which is the one moment to claim a job's folder.
    """
    place = OmegaConf.select(_root_, "hydra.runtime.output_dir", throw_on_missing=False)
    if not place:
        return value
    folder = Path(place)
    try:
        if not held(folder) and finished_job(folder, _root_) is not None:
            release_finished(folder)
            return None
        reserve_run(folder, _root_, SWEEP)
    except VaeExperimentsError:
        return None  # the job says it when its turn comes
    return value


OmegaConf.register_new_resolver("claimed", reserved, replace=True)
