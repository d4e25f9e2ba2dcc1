"""A sweep as a whole: a folder of its own or the one it continues in, its finished jobs, its one page."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from vae_experiments.cli.hydra_errors import mistake_of
from vae_experiments.cli.hydra_setup import ReserveRunFolder, is_typed, typed_words
from vae_experiments.cli.overrides import as_text
from vae_experiments.cli.run_folders import FREE, RESERVED, RUN, SWEEP, refuse_others, reserve_run
from vae_experiments.cli.trusted_config import as_written
from vae_experiments.cli.video_sets import take_each_video
from vae_experiments.errors import SettingError, VaeExperimentsError, one_line
from vae_experiments.files import digest_of, write_error
from vae_experiments.options import Choice, Option, setting
from vae_experiments.pipeline.folder_lock import CONFIG_FOLDER, RESERVATION, RefusedError, Reservation, take
from vae_experiments.pipeline.run_folder import FINISHED
from vae_experiments.runtime.interruption import promise
from vae_experiments.yaml_files import LARGEST, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RECORD = "multirun.yaml"
"""Where Hydra writes down what a sweep was asked for."""
PAGE = (
    RECORD,
    "sweep.html",
    "sweep.csv",
    "sweep_summary.csv",
    "sweep_summary.md",
    "sweep_summary.tex",
    "contact_sheet.png",
    "metrics_*.png",
    "batch_size.png",
)
"""What a sweep writes beside its jobs."""
NUMBERED = "${hydra.job.num}"
SUBDIR = "hydra.sweep.subdir"


class Resume(Choice):
    """What a sweep that was started before means to the next one."""

    never = "every sweep has a folder of its own"
    last = "the newest sweep of the same settings continues, and its finished jobs stay as they are"


class Sweep(Option, group="sweep", single=True):
    """Settings of a sweep as a whole."""

    resume: Resume = setting("go on with the last sweep of the same settings", default=Resume.never)
    objective: str = setting(
        "number of metrics.json for a sweeper that optimises; without a name in front, of the changed video",
        default="psnr_db",
    )

    def value(self, metrics: dict[str, Any]) -> float:
        """Read the objective out of the numbers of a run; identical videos have an infinite PSNR.

        Raises:
            SettingError: there is no such number, or it has no value in this run.
        """
        decoded = [name for name in metrics if name.startswith("reconstructed")]
        found: Any = metrics if "." in self.objective or self.objective in metrics else metrics[decoded[-1]]
        for name in self.objective.split("."):
            found = found.get(name, self) if isinstance(found, dict) else self
        if found is None and name.startswith("psnr_db"):
            return float("inf")
        if found is None:
            rule = f"{name} has no value in this run"
            raise self.error_for("objective", rule, "choose another, such as psnr_db")
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.error_for("objective", "is no number of metrics.json", "such as reconstructed.ssim")
        return float(found)


class SweepFolder(ReserveRunFolder):
    """Begins a run or a sweep, and ends a sweep."""

    config_folder: ClassVar[str] = RESERVED
    begun: ClassVar[Reservation | None] = None
    """The sweep that this process runs."""

    def on_run_start(self, config: DictConfig, **arguments: Any) -> None:
        """Claim the run's folder before Hydra writes into it."""
        with ending_in_one_line():
            _refuse_another_config_folder(config)
            if not is_typed(config, RUN):
                super().on_run_start(config, **arguments)
            reserve_run(Path(config.hydra.run.dir), config, RUN)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Claim a folder, or find the one to go on in; and let a sweep over batch sizes measure speed."""
        with ending_in_one_line():
            _refuse_another_config_folder(config)
            take_each_video(config)
            _refuse_shared_folders(config)
            folder = _folder_to_resume(config)
            if folder is None:
                self._reserve(config, config.hydra.sweep, SWEEP)
                folder = Path(config.hydra.sweep.dir)
            SweepFolder.begun = take(folder, _asked(config), PAGE, SWEEP, lambda: _recorded(folder))
            # Each job is composed anew, from these overrides and its own, and a worker may be in another folder.
            overrides = [f"hydra.sweep.dir={as_text(str(folder.absolute()))}"]
            if "batch_size" in _swept(config) and not is_typed(config, "timed"):
                overrides.append("timed=true")
            with open_dict(config):
                config.hydra.sweep.dir = str(folder)
                config.hydra.overrides.hydra = [*typed_words(config.hydra, "hydra"), *overrides]
            refuse_others(_planned(config))
            promise("the sweep ends, finished jobs stay")

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Write the page; the exit status says whether every job is finished."""
        from vae_experiments.sweep.jobs import Status, read_jobs

        with ending_in_one_line():
            folder = Path(config.hydra.sweep.dir)
            finished = conclude(folder)
            sweep = Sweep(objective=str(config.sweep.objective))
            for job in read_jobs([folder]):
                if job.status is Status.finished:
                    sweep.value(dict(job.metrics))  # which stops at an objective that no finished job has
        if not finished:
            raise SystemExit(1)


@contextlib.contextmanager
def ending_in_one_line() -> Iterator[None]:
    """End a command with one line: Hydra turns an exception of a callback into a warning and continues."""
    try:
        yield
    except OSError as error:
        raise SystemExit(f"error: {write_error(Path(str(error.filename)), error)}") from error
    except Exception as error:
        raise SystemExit(f"error: {mistake_of(error) or error}") from error


def _refuse_another_config_folder(config: DictConfig) -> None:
    """Stop where a run would not keep its config, by which it is known, or would keep it among other files."""
    place = as_written(config.hydra)["output_subdir"]
    if place not in (RESERVED, CONFIG_FOLDER):
        rule = f"a run keeps its config in {CONFIG_FOLDER}"
        raise SettingError("hydra.output_subdir", "null" if place is None else place, rule, "leave it out")


def _refuse_shared_folders(config: DictConfig) -> None:
    """Stop where two jobs of a sweep would write into one folder."""
    pattern = str(as_written(config.hydra.sweep)["subdir"])
    seen: dict[str, int] = {}
    for number, job in enumerate(_jobs(config)) if pattern != NUMBERED else ():
        place = os.path.normpath(str(OmegaConf.select(job, SUBDIR)))
        if place in seen:
            rule = f"jobs {seen[place]} and {number} would share the folder {place}"
            raise SettingError(SUBDIR, pattern, rule, f"add {NUMBERED}, as in '{pattern}_{NUMBERED}'")
        seen[place] = number


def _planned(config: DictConfig) -> list[tuple[Path, DictConfig]]:
    """Compose the jobs whose folders are there already, each with its folder."""
    folder = Path(config.hydra.sweep.dir)
    if not any(path.is_dir() for path in folder.iterdir()):
        return []
    places = ((folder / str(OmegaConf.select(job, SUBDIR)), job) for job in _jobs(config))
    return [(place, job) for place, job in places if place.exists()]


def _jobs(config: DictConfig) -> Iterator[DictConfig]:
    """Compose every job, as Hydra will; a sweeper that decides on the way has none beforehand."""
    if not str(config.hydra.sweeper.get("_target_")).endswith(f".{BasicSweeper.__name__}"):
        return
    loader = GlobalHydra.instance().config_loader()
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    before = HydraConfig.instance().cfg
    try:
        parser = OverridesParser.create(config_loader=loader)
        words = parser.parse_overrides([*params, *typed_words(config.hydra, "task")])
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


def _folder_to_resume(config: DictConfig) -> Path | None:
    """Find the folder of the sweep that is to go on: the one that was typed, or the last of its kind."""
    requested = Path(config.hydra.sweep.dir)
    if is_typed(config, SWEEP):
        others = (requested / FINISHED).exists() or any(requested.glob(f"*/{FINISHED}"))
        if others and _recorded(requested) != _asked(config):
            raise RefusedError(SWEEP, requested, "holds a finished run already", "choose another folder")
        return requested
    if str(config.sweep.get("resume")) != Resume.last.name:
        return None
    sweeps = requested.parent.parent
    before = {file.parent for name in (RECORD, RESERVATION) for file in sweeps.glob(f"*/*/{name}")}
    for folder in sorted(before, key=_age):
        recorded = _recorded(folder)
        if recorded == _asked(config):
            return folder
        if recorded is None:
            rule = f"cannot tell what {folder} was asked for, its {RECORD} is damaged"
            raise SettingError("sweep.resume", "last", rule, f"type {SWEEP}=FOLDER, or delete that file")
    rule = f"finds no sweep of these settings in {sweeps}"
    raise SettingError("sweep.resume", "last", rule, "leave it out the first time")


def _age(folder: Path) -> tuple[float, str]:
    """Sort the newest sweep first: the one that was begun or went on last."""
    files = [folder / name for name in (RECORD, RESERVATION)]
    return -max(file.stat().st_mtime for file in files if file.exists()), str(folder)


def _asked(config: DictConfig) -> str:
    """Return what tells a sweep from others: the words in which it was asked for."""
    return _digest(typed_words(config.hydra, "task"))


def _recorded(folder: Path) -> str | None:
    """Return what the sweep in a folder was asked for; None where nobody knows."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return str(json.loads((folder / RESERVATION).read_bytes())["settings"])
    with contextlib.suppress(VaeExperimentsError, LookupError, TypeError):
        return _digest(read_yaml(folder / RECORD, most=LARGEST)["hydra"]["overrides"]["task"])
    return None


def _digest(words: Iterable[Any]) -> str:
    return digest_of([word for word in map(str, words) if re.split("[.=]", word)[0] not in FREE])


def _swept(config: DictConfig) -> set[str]:
    """Name the settings of which a sweep takes several values: typed, or from a named experiment."""
    wanted = dict(config.hydra.sweeper.get("params") or {})
    wanted |= dict(word.split("=", 1) for word in typed_words(config.hydra, "task") if "=" in word)
    return {str(key) for key, value in wanted.items() if "," in str(value) or "(" in str(value)}
