"""Jobs: one order run into a folder of its own, watched a chunk at a time."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from vae_experiments.cli.hydra_setup import reserve_folder
from vae_experiments.errors import WriteError
from vae_experiments.pipeline.run_folder import Output
from vae_experiments.runtime.progress import shown_to
from vae_experiments.web.server.log_records import recorded

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


def new_folder(outputs: Path, now: datetime | None = None) -> Path:
    """Claim a folder as ``python run.py`` does, under the day and the second.

    Raises:
        WriteError: it cannot be made.
    """
    moment = now or datetime.now()
    try:
        return reserve_folder(outputs / f"{moment:%Y-%m-%d}" / f"{moment:%H-%M-%S}")
    except OSError as error:
        raise WriteError(
            "cannot write the folder of results", "start the page with another --outputs"
        ) from error


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
        with shown_to(look), nullcontext() if words is None else recorded(folder, words):
            result = experiment.run(folder)
        job.tick(1.0, "done")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return result
