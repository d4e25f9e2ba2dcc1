"""A sweep as a whole: a folder of its own or the one it goes on in, its finished jobs, its one page."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from omegaconf import DictConfig, OmegaConf, open_dict

from vae_experiments.composition import ClaimFolder
from vae_experiments.errors import SettingError, VaeExperimentsError
from vae_experiments.files import is_whole, write_json
from vae_experiments.messages import one_line
from vae_experiments.options import Choice, Option, setting
from vae_experiments.run_folder import FINISHED
from vae_experiments.yaml_files import LARGEST, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)
FAILURE = "failure.json"
RECORD = "multirun.yaml"
"""Where Hydra writes down what a sweep was asked for."""
FREE = ("cache", "sweep")
"""Blocks of the config that change no result: a finished job stays finished when they differ."""


class Resume(Choice):
    """What a sweep that was started before means to the next one."""

    never = "every sweep has a folder of its own"
    last = "the newest sweep of the same settings goes on, and its finished jobs stay as they are"


class Sweep(Option, family="sweep", single=True):
    """Settings of a sweep as a whole."""

    resume: Resume = setting("go on with the last sweep of the same settings", default=Resume.never)
    objective: str = setting(
        "number of metrics.json for a sweeper that optimises; without a name in front, of the changed video",
        default="psnr_db",
    )

    def value(self, metrics: dict[str, Any]) -> float:
        """Read the objective out of the numbers of a run; identical videos have an infinite PSNR.

        Raises:
            SettingError: there is no such number.
        """
        decoded = [name for name in metrics if name.startswith("reconstructed")]
        found: Any = metrics if "." in self.objective or self.objective in metrics else metrics[decoded[-1]]
        for name in self.objective.split("."):
            found = found.get(name, self) if isinstance(found, dict) else self
        if found is None:
            return float("inf")
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.mistake("objective", "is no number of metrics.json", "such as reconstructed.ssim")
        return float(found)


class SweepFolder(ClaimFolder):
    """Begins and ends a sweep."""

    begun: ClassVar[Path | None] = None
    """The folder of the sweep that this process runs."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Claim a folder, or find the one to go on in; and let a sweep over batch sizes measure speed."""
        folder = _folder_to_resume(config)
        if folder is None:
            self._claim(config, config.hydra.sweep, "hydra.sweep.dir")
            folder = Path(config.hydra.sweep.dir)
        # Each job is composed anew, from these overrides and its own, and a worker may be in another folder.
        place = str(folder.absolute()).replace("'", "\\'")
        told = [f"hydra.sweep.dir='{place}'"]
        if "batch_size" in _swept(config) and not _is_typed(config, "timed"):
            told.append("timed=true")
        with open_dict(config):
            config.hydra.sweep.dir = str(folder)
            config.hydra.overrides.hydra = [*config.hydra.overrides.hydra, *told]
        SweepFolder.begun = folder

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Write the page; the exit status says whether every job is finished."""
        # Hydra turns an exception of a callback into a warning and goes on.
        try:
            finished = conclude(Path(config.hydra.sweep.dir))
        except VaeExperimentsError as error:
            raise SystemExit(f"error: {error}") from error
        if not finished:
            raise SystemExit(1)


def conclude(folder: Path) -> bool:
    """Write the page over all jobs of a sweep, say what came out, and tell whether all are finished."""
    from vae_experiments.sweep import write_sweep

    summary = write_sweep([folder])
    for remark in summary.remarks:
        print(remark)
    for failure in summary.failures:
        print(f"error: {one_line(failure)}", file=sys.stderr)
    print(f"{summary.finished} of {summary.jobs} jobs finished, all on one page: {summary.page}")
    return summary.finished == summary.jobs


def finished_job(folder: Path, config: DictConfig) -> dict[str, Any] | None:
    """Give the numbers of a job that finished before; None where there is none, or it is damaged.

    Raises:
        SettingError: what finished there was a run of other settings.
    """
    if not is_whole(folder, FINISHED):
        return None
    saved = OmegaConf.create(read_yaml(folder / ".hydra" / "config.yaml"))
    if _plain(saved) != _plain(config):
        problem = "holds a finished run of other settings"
        raise SettingError("hydra.sweep.dir", folder.parent, problem, "choose another folder")
    metrics: dict[str, Any] = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
    return metrics


def begin_job(folder: Path) -> None:
    """Forget what an earlier attempt at this job left behind."""
    (folder / FAILURE).unlink(missing_ok=True)


def fail_job(folder: Path, sentence: str) -> None:
    """Write down why a job failed, for the page of its sweep."""
    write_json(folder / FAILURE, {"sentence": sentence})


def unless_finished(value: str, *, _root_: DictConfig) -> str | None:
    """Keep Hydra from writing its files once more into the folder of a job that is finished."""
    folder = OmegaConf.select(_root_, "hydra.runtime.output_dir", throw_on_missing=False)
    return None if folder and is_whole(Path(folder), FINISHED) else value


OmegaConf.register_new_resolver("unless_finished", unless_finished, replace=True)


def _folder_to_resume(config: DictConfig) -> Path | None:
    """Find the folder of the sweep that is to go on: the one that was typed, or the last of its kind."""
    wish = Path(config.hydra.sweep.dir)
    if _is_typed(config, "hydra.sweep.dir"):
        return wish if _same_sweep(wish, config) else None
    if str(config.sweep.get("resume")) != Resume.last.name:
        return None
    before = sorted(wish.parent.parent.glob(f"*/*/{RECORD}"), key=lambda file: file.stat().st_mtime)
    for file in reversed(before):
        if _same_sweep(file.parent, config):
            return file.parent
    mistake = SettingError(
        "sweep.resume",
        "last",
        f"finds no sweep of these settings in {wish.parent.parent}",
        "leave it out the first time",
    )
    raise SystemExit(f"error: {mistake}")


def _same_sweep(folder: Path, config: DictConfig) -> bool:
    """Tell whether a folder holds a sweep that was asked for in the same words."""
    try:
        before = OmegaConf.create(read_yaml(folder / RECORD, most=LARGEST))
        return _words(before.hydra.overrides.task) == _words(config.hydra.overrides.task)
    except (VaeExperimentsError, AttributeError):
        return False


def _words(overrides: Iterable[str]) -> list[str]:
    return [word for word in map(str, overrides) if word.partition("=")[0].partition(".")[0] not in FREE]


def _swept(config: DictConfig) -> set[str]:
    """Name the settings of which a sweep takes several values: typed, or from a named experiment."""
    typed = dict(word.split("=", 1) for word in map(str, config.hydra.overrides.task) if "=" in word)
    params = config.hydra.sweeper.get("params") or {}
    wanted = {**{str(key): str(value) for key, value in params.items()}, **typed}
    return {key for key, value in wanted.items() if "," in value or "(" in value}


def _is_typed(config: DictConfig, name: str) -> bool:
    overrides = [*config.hydra.overrides.hydra, *config.hydra.overrides.task]
    return any(str(word).startswith(f"{name}=") for word in overrides)


def _plain(config: Any) -> Any:
    """Give a config's values as a saved config has them: enums by name, and without what changes nothing."""
    text = OmegaConf.to_yaml(OmegaConf.masked_copy(config, [key for key in config if key not in FREE]))
    return OmegaConf.to_container(OmegaConf.create(text))
