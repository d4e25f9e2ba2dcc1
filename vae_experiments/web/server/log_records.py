"""Records: what ``python run.py`` leaves beside its results, for a run of the page: ``.hydra`` and ``run.log``."""

from __future__ import annotations

import contextlib
import logging
import re
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

from vae_experiments.cli.hydra_setup import CONF, JOB_LOGGING
from vae_experiments.cli.overrides import quoted
from vae_experiments.files import write_error, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LOG, HYDRA = "run.log", ".hydra"
PACKAGE = __name__.partition(".")[0]
_PATH = re.compile(r"(?<![\w.~/])[~.]{0,2}/(?:[^\s/;,]+/)+")


@contextlib.contextmanager
def recorded(folder: Path, words: Sequence[str]) -> Iterator[None]:
    """Write down what is run in a folder, and what is said meanwhile, as a command with those words does.

    Raises:
        WriteError: the folder cannot be written.
    """
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
    folder.mkdir()
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config))
    write_text(folder / "hydra.yaml", OmegaConf.to_yaml({"hydra": hydra}))
    write_text(folder / "overrides.yaml", OmegaConf.to_yaml(hydra.overrides.task))


class _WithoutPlaces(logging.Formatter):
    """Writes lines that a visitor may read."""

    def format(self, record: logging.LogRecord) -> str:
        return without_paths(super().format(record))


def without_paths(sentence: str, *folders: Path) -> str:
    """Take the places of this machine out of a sentence for the browser; names of files stay."""
    for folder in folders:
        sentence = re.sub(rf"{re.escape(str(folder))}/(?:[^\s/;,]+/)*", "", sentence)
    return _PATH.sub("", sentence)
