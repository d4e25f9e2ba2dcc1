"""A sweep from Python: runs in numbered folders, under the words by which their page tells them apart."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Protocol

from vae_experiments.errors import StoppedError, VaeExperimentsError
from vae_experiments.files import write_json
from vae_experiments.pipeline.folder_lock import FAILURE
from vae_experiments.sweep.jobs import OVERRIDES
from vae_experiments.sweep.report import Summary, write_sweep

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Runnable(Protocol):
    """What a sweep runs: an Experiment."""

    def run(self, folder: Path) -> object:
        """Run into a folder, and leave it as a run leaves it."""


def run_sweep(experiments: Mapping[str, Runnable], folder: Path) -> Summary:
    """Run experiments one after the other, and write sweep.html and sweep.csv over them.

    One that fails costs its own job only: it becomes a row that says why.

    Args:
        experiments: by what tells one from another, as it would be typed: ``"noise.scale=0.1 batch_size=4"``.
        folder: a new one, or an empty one; each run gets a numbered folder in it.

    Raises:
        VaeExperimentsError: the folder holds something already, or cannot be written.
        StoppedError: a signal asked to stop.
    """
    if folder.exists() and any(folder.iterdir()):
        raise VaeExperimentsError(f"{folder} holds something already", "choose another folder")
    for number, (typed, experiment) in enumerate(experiments.items()):
        place = folder / str(number)
        (place / OVERRIDES).parent.mkdir(parents=True)
        # A list in JSON is one in YAML: this is the file that Hydra leaves.
        write_json(place / OVERRIDES, shlex.split(typed))
        try:
            experiment.run(place)
        except StoppedError:
            raise
        except VaeExperimentsError as error:
            write_json(place / FAILURE, {"sentence": str(error)})
    return write_sweep([folder])
