"""Runs: one order run into a folder of its own, watched a chunk at a time, with the records that a command leaves."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

import vae_experiments.cli.config  # noqa: F401  it registers the settings that are composed below
from vae_experiments.cli.hydra_setup import CONF, JOB_LOGGING, reserve_folder, save_whole
from vae_experiments.cli.overrides import quoted
from vae_experiments.errors import WriteError
from vae_experiments.files import write_error
from vae_experiments.pipeline.run_folder import Output
from vae_experiments.runtime.progress import shown_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vae_experiments.pipeline.experiment import Result
    from vae_experiments.sources import Source
    from vae_experiments.tensors import Frames
    from vae_experiments.web.requests.run_request import RunRequest
    from vae_experiments.web.state.job_queue import Job

READING, DECODING = 0.3, 0.7
"""How much of a run it is, about, to read and encode, and to decode twice."""
SMALL = Output(comparison=False, table=False, pictures=False, report=False, provenance=False)
LOG, HYDRA = "run.log", ".hydra"
PACKAGE = __name__.partition(".")[0]
_PATH = re.compile(r"(?<![\w.~/])[~.]{0,2}/(?:[^\s/;,]+/)+")


class Watched:
    """A source that says how far it was read, and stops being read when its run was cancelled.

    A run may encode the whole clip before its first frame comes out; this is looked at meanwhile.
    """

    def __init__(self, source: Source, job: Job) -> None:
        self._source, self._job = source, job

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def chunks(self, count: int) -> Iterator[Frames]:
        """Yield the frames as the source does."""
        total, read = self._source.info.frames, 0
        for frames in self._source.chunks(count):
            self._job.tick()
            yield frames
            read += len(frames)
            if self._job.share <= READING:
                self._job.tick(READING * min(1.0, read / total), f"encoding frame {read} of {total}")


def new_folder(outputs: Path) -> Path:
    """Claim a folder as ``python run.py`` does, under the day and the second.

    Raises:
        WriteError: it cannot be made.
    """
    try:
        return reserve_folder(outputs / f"{datetime.now():%Y-%m-%d/%H-%M-%S}")
    except OSError as error:
        hint = "start the page with another --outputs"
        raise WriteError("cannot write the folder of results", hint) from error


def check_room(outputs: Path, free_bytes: int) -> None:
    """Refuse to begin on a disk that is nearly full.

    Raises:
        WriteError: there is too little room.
    """
    outputs.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(outputs).free < free_bytes:
        raise WriteError("the disk is nearly full", "free some space, then run again")


def run_order(
    order: RunRequest,
    folder: Path,
    job: Job,
    output: Output | None = None,
    words: Sequence[str] | None = None,
) -> Result:
    """Run one order into a folder; what is cancelled or fails leaves no folder behind.

    With the words of a command, the folder holds what that command would leave besides its results.

    Raises:
        VaeExperimentsError: a sentence for a person, or CancelError.
    """
    experiment = order.experiment(output)
    experiment.source = cast("Source", Watched(order.source, job))

    def look(done: int, total: int | None) -> None:
        share = min(1.0, done / total) if total else 0.5
        job.tick(READING + DECODING * share, f"decoding frame {done} of {total or '?'}")

    try:
        job.tick(0.0, "loading the model")
        with shown_to(look), contextlib.nullcontext() if words is None else _recorded(folder, words):
            result = experiment.run(folder)
        job.tick(1.0, "done")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return result


@contextlib.contextmanager
def _recorded(folder: Path, words: Sequence[str]) -> Iterator[None]:
    """Write down what is run in a folder, and what is said meanwhile, as a command with those words does."""
    log = logging.getLogger(PACKAGE)
    try:
        _write_config(folder / HYDRA, words)
        handler = logging.FileHandler(folder / LOG, encoding="utf-8")
    except OSError as error:
        raise write_error(folder / LOG, error) from error
    handler.setFormatter(_WithoutPlaces(JOB_LOGGING["formatters"]["full"]["format"]))
    # What the page says meanwhile is of other visitors.
    handler.addFilter(lambda record: not record.name.startswith(f"{PACKAGE}.web"))
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()


def _write_config(folder: Path, words: Sequence[str]) -> None:
    """Write the three files that Hydra writes, from which the run can be done again."""
    with initialize_config_dir(str(CONF), version_base="1.3", job_name="run"):
        config = compose("config", list(map(quoted, words)), return_hydra_config=True)
    hydra = config.hydra
    with open_dict(config):
        del config["hydra"]
    save_whole(config, "config.yaml", folder)
    save_whole(OmegaConf.create({"hydra": hydra}), "hydra.yaml", folder)
    save_whole(hydra.overrides.task, "overrides.yaml", folder)


class _WithoutPlaces(logging.Formatter):
    """Writes lines that a visitor may read."""

    def format(self, record: logging.LogRecord) -> str:
        return without_paths(super().format(record))


def without_paths(sentence: str, *folders: Path) -> str:
    """Take the places of this machine out of a sentence for the browser; names of files stay."""
    for folder in folders:
        sentence = re.sub(rf"{re.escape(str(folder))}/(?:[^\s/;,]+/)*", "", sentence)
    return _PATH.sub("", sentence)
