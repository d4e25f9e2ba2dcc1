"""The experiment itself: ``vae-experiments run``, and run.py."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from vae_experiments.cli.app import command
from vae_experiments.cli.config import experiment_from, sweep_from
from vae_experiments.cli.entry import complain, one_line_mistakes, sentences, wants_trace, written_down
from vae_experiments.cli.hydra_setup import typed_words
from vae_experiments.cli.multirun import SweepFolder
from vae_experiments.cli.run_folders import RUN, SWEEP, finished_job, reserve_run
from vae_experiments.errors import SettingError, one_line
from vae_experiments.files import write_json
from vae_experiments.pipeline.folder_lock import FAILURE, RefusedError
from vae_experiments.runtime.interruption import check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig


def run(config: DictConfig) -> float:
    """Run the composed experiment into the folder that Hydra made for it, and return its objective.

    A mistake ends a single run here with its one line. In a sweep it is written down beside the other
    jobs, which go on; a job that finished before is not run again.
    """
    hydra = HydraConfig.get()
    folder, typed = Path(hydra.runtime.output_dir), typed_words(hydra, "task")
    if hydra.mode is RunMode.MULTIRUN:
        return _run_job(config, folder, typed, f"job {hydra.job.num}")
    with one_line_mistakes(), reserve_run(folder, config, RUN):
        experiment, sweep = experiment_from(config, typed), sweep_from(config)
        experiment.source_digest_before = _source_digest_before(typed)
        metrics = experiment.run(folder).metrics
    with one_line_mistakes():
        return sweep.value(metrics)


def _run_job(config: DictConfig, folder: Path, typed: Sequence[str], job: str) -> float:
    """Run one job of a sweep; whatever stops it must not stop the others."""
    check()  # what interrupted the job before may have been swallowed
    words = " ".join(typed)  # a shell's quotes around Hydra's own would hide a path
    try:
        metrics = finished_job(folder, config)
        if metrics is None:
            with reserve_run(folder, config, SWEEP):
                experiment = experiment_from(config, typed)
                experiment.command = f"python run.py {shlex.join(typed)}"
                experiment.source_digest_before = _source_digest_before(typed)
                metrics = experiment.run(folder).metrics
        else:
            print(one_line(f"{job} ({words}) is finished already, in {folder}"))
    except RefusedError as refused:
        # Nothing may be written into a folder that is another's, so Hydra has to hear of it.
        complain(f"{refused} ({job}: {words})")
        sentences.add(str(refused))
        raise
    except Exception as error:
        sentence = written_down(error)
        check()  # an interruption may come out of a library as an error
        if wants_trace:
            raise
        complain(f"{sentence} ({job}: {words})")
        write_json(folder / FAILURE, {"sentence": one_line(sentence)})  # for the page of the sweep
        return float("nan")
    try:
        return sweep_from(config).value(metrics)
    except SettingError:
        return float("nan")  # said once, when the sweep ends


def _source_digest_before(typed: Sequence[str]) -> str:
    """Find the digest of the source in the provenance.json of the run whose saved config runs again.

    Empty where there is none, or where another source, or other settings of it, were typed.
    """
    if any(word.lstrip("+~").startswith("source") for word in typed):
        return ""
    main = next(place for place in HydraConfig.get().runtime.config_sources if place.provider == "main")
    try:
        before = json.loads((Path(main.path).parent / "provenance.json").read_text(encoding="utf-8"))
        return str(before.get("source_digest") or "")
    except (OSError, ValueError, AttributeError):
        return ""


main = command("config", folder_callback=SweepFolder, named=("experiment",))(run)
