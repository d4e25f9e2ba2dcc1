"""Finished runs that are to be compared: their settings, their videos, and what of them cannot be compared."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import SourceError, VaeExperimentsError
from vae_experiments.pipeline.folder_lock import FAILURE
from vae_experiments.pipeline.run_folder import ORIGINAL
from vae_experiments.sources.video_file.clip_reader import look_over
from vae_experiments.sweep.csv_table import leaves
from vae_experiments.sweep.jobs import (
    Status,
    check_folder,
    is_run,
    labels_of,
    read_job,
    read_object,
    readable,
)
from vae_experiments.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from vae_experiments.sources.video_file.clip_reader import ClipReader
    from vae_experiments.sweep.jobs import Job
    from vae_experiments.tensors import Pixels

CONFIG, PROVENANCE = ".hydra/config.yaml", "provenance.json"
HINT = "give the folders of finished runs, such as outputs/<date>/<time>"
AGAIN = "run it again, or leave it out"
DIGITS = 12
"""Of a digest, as many as a person can tell from another's."""


@dataclass(frozen=True)
class ComparedRun:
    """A finished run, its two videos looked over."""

    number: int
    """From 1 on, in the order in which they were named."""
    job: Job
    """Its overrides are all of its settings, not only those that were typed."""
    provenance: Mapping[str, Any]
    original: ClipReader
    video: ClipReader
    """The changed video; without a manipulation the reconstructed one."""

    @property
    def name(self) -> str:
        """Return what messages call it: ``run 2 (12-30-00)``."""
        return f"run {self.number} ({self.job.name})"

    @property
    def source(self) -> str:
        """Return the digest of its source; empty where nobody knows it."""
        return str(self.provenance.get("source_digest") or "")

    def ground(self) -> dict[str, str]:
        """Return what it ran on and with: device, system, commit and versions."""
        known = {"device": self.provenance.get("device") or self.job.at("device")}
        known |= {"system": self.provenance.get("platform")}
        known |= {"git commit": str(self.provenance.get("git_commit") or "")[:DIGITS]}
        versions = self.provenance.get("versions")
        known |= versions if isinstance(versions, dict) else {}
        return {name: str(value) for name, value in known.items() if value}


def read_runs(folders: Sequence[Path]) -> list[ComparedRun]:
    """Read finished runs.

    Raises:
        VaeExperimentsError: one is named twice, is no run, did not finish, or lacks a video.
    """
    jobs = [_finished(folder, label) for folder, label in zip(folders, labels_of(folders), strict=True)]
    provenances = [read_object(job.folder / PROVENANCE) or {} for job in jobs]
    settings = [_config(job.folder / CONFIG) for job in jobs]
    if None in settings:  # as from Python
        settings = [_changes(job, provenance) for job, provenance in zip(jobs, provenances, strict=True)]
    return [
        ComparedRun(
            number,
            replace(job, overrides=known),
            provenance,
            _looked_over(job, ORIGINAL),
            _looked_over(job, job.shown),
        )
        for number, (job, known, provenance) in enumerate(zip(jobs, settings, provenances, strict=True), 1)
    ]


def _finished(folder: Path, label: str) -> Job:
    check_folder(folder, HINT)
    if not is_run(folder):
        raise VaeExperimentsError(f"{folder} is not the folder of a run", HINT)
    job = read_job(folder, label)
    if job.status is not Status.finished:
        reason = f"it failed: {job.sentence}" if (folder / FAILURE).exists() else job.sentence
        raise VaeExperimentsError(f"{folder} cannot be compared ({reason})", AGAIN)
    return job


def _looked_over(job: Job, name: str) -> ClipReader:
    path = job.folder / f"{name}.mp4"
    if not path.exists():
        raise VaeExperimentsError(f"{path} is missing", AGAIN)
    with _named_as_a_run():
        return look_over(path)


def frame_of(clip: ClipReader, number: int) -> Pixels:
    """Return one frame of a video, uint8 ``H W 3``.

    Raises:
        VaeExperimentsError: the video is damaged there.
    """
    with _named_as_a_run():
        return clip.read(number, 1, lambda pixels: pixels)[0]


@contextlib.contextmanager
def _named_as_a_run() -> Iterator[None]:
    """Put an error of a source into the words of whoever typed runs, and no source.path."""
    try:
        yield
    except SourceError as error:
        raise VaeExperimentsError(error.problem.removeprefix("source.path="), AGAIN) from error


def _config(path: Path) -> dict[str, str] | None:
    """Read all settings of a run, as they would be typed; an interpolation stays one."""
    try:
        config = read_yaml(path)
    except VaeExperimentsError:
        return None
    if not isinstance(config, dict):
        return None
    if isinstance(chain := config.get("manipulation"), dict):
        config["manipulation"] = ", ".join(map(str, chain)) or "none"
    return {
        key: readable(value if isinstance(value, str) else json.dumps(value, default=str))
        for key, value in leaves(config)
        if key != f"{value}.kind"  # noise.kind=noise says nothing
    }


def _changes(job: Job, provenance: Mapping[str, Any]) -> dict[str, str]:
    manipulations = provenance.get("manipulations")
    changes = manipulations if isinstance(manipulations, dict) else {}
    first = {"batch_size": job.at("batch_size"), "seed": job.at("seed")}
    return {key: str(value) for key, value in (first | changes).items() if value is not None}


def mismatches(runs: Sequence[ComparedRun]) -> list[str]:
    """Return a line for each way in which a run cannot be compared with the first one as it is."""
    first = runs[0]
    return [line for run in runs[1:] for line in _mismatches(first, run)]


def _mismatches(first: ComparedRun, run: ComparedRun) -> Iterator[str]:
    if not (first.source and run.source):
        yield f"nobody knows whether {run.name} is of the same source as {first.name}: a digest is missing from provenance.json"
    elif first.source != run.source:
        digests = f"{run.source[:DIGITS]}, not {first.source[:DIGITS]}"
        yield f"{run.name} is of another source than {first.name} (digest {digests}): its numbers are of another video"
    if run.video.size != first.video.size:
        sizes = f"{run.video.size} pixels and {first.name} {first.video.size}"
        yield f"{run.name} has {sizes}: there is no picture of their difference, and no wiper over the two"
    if run.video.frames != first.video.frames:
        yield f"{run.name} has {run.video.frames} frames and {first.name} {first.video.frames}: only the first ones can be compared"
    rates = [one.job.number("fps") for one in (run, first)]
    if None not in rates and rates[0] != rates[1]:
        yield f"{run.name} has {rates[0]:.6g} frames per second and {first.name} {rates[1]:.6g}: a frame is not the same moment in both"
    ground = run.ground()
    others = [
        f"{name} {here}, not {there}"
        for name, there in first.ground().items()
        if (here := ground.get(name, "unknown")) != there
    ]
    if others:
        yield f"{run.name} did not run as {first.name} did ({'; '.join(others)}): times, and last digits, may differ for that"
