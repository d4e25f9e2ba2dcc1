"""The jobs of a sweep as their folders tell of them; a bad one becomes a row, never an error."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from enum import Enum
from statistics import median
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import VaeExperimentsError
from vae_experiments.metrics import METRICS
from vae_experiments.pipeline.folder_lock import FAILURE
from vae_experiments.pipeline.run_folder import FINISHED, ORIGINAL, RECONSTRUCTED
from vae_experiments.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

OVERRIDES = ".hydra/overrides.yaml"
CHANGED = f"{RECONSTRUCTED}_with_"
LARGEST = 1e300
SWEEP = "sweep"
"""A setting that no one typed: which sweep a job belongs to, where its overrides do not tell."""
HINT = "give the folder of a sweep, such as outputs/sweeps/<date>/<time>"


class Status(Enum):
    """What has become of a job."""

    finished = "finished"
    failed = "failed"
    not_finished = "not finished"


@dataclass(frozen=True)
class Job:
    """One run folder of a sweep."""

    name: str
    """The folder's own, as in ``3``; of several sweeps with theirs before it, ``12-30-00/3``."""
    folder: Path
    overrides: Mapping[str, str] | None
    """What was typed, by key, or None where that was not written down."""
    status: Status
    sentence: str
    """Why it did not finish; empty for one that did."""
    metrics: Mapping[str, Any]
    """As in its metrics.json; empty for one that did not finish."""

    def at(self, *keys: str) -> Any:
        """Return whatever stands in the metrics at the end of that way; None where nothing does."""
        value: Any = self.metrics
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def number(self, *keys: str) -> float | None:
        """Return a number of the metrics; None where there is none, or words instead."""
        value = self.at(*keys)
        return value if is_number(value) else None

    def word(self, *keys: str) -> str | None:
        """Return what stands in the metrics for a number that was not measured: ``cached``."""
        value = self.at(*keys)
        return value if isinstance(value, str) else None

    def scores(self, video: str) -> dict[str, float | None]:
        """Return the numbers that were taken of a video, by the keys of ``METRICS``."""
        taken = self.at(video)
        keys = [metric.key for metric in METRICS.values()] if isinstance(taken, dict) else []
        return {key: self.number(video, key) for key in keys if key in taken}

    @property
    def shown(self) -> str:
        """Name the decoded video that the job is about: the changed one, or without a manipulation the only one."""
        return next((name for name in self.metrics if name.startswith(CHANGED)), RECONSTRUCTED)

    @property
    def is_cached(self) -> bool:
        """Whether its latents were read and not encoded, so that encoding took no time."""
        return self.word("timing", "encode_seconds") is not None

    def is_identical(self, video: str) -> bool:
        """Whether a video has no error at all, so that its PSNR has no number."""
        return self.at(video, "identical") is True

    def frames(self) -> int:
        """Return how many frames the shown video has; 0 where nobody knows."""
        return int(self.number(self.shown, "frames") or self.number("frames") or 0)

    def videos(self) -> dict[str, Path]:
        """Name the videos that are there, the original first."""
        paths = {name: self.folder / f"{name}.mp4" for name in (ORIGINAL, RECONSTRUCTED, self.shown)}
        return {name: path for name, path in paths.items() if path.exists()}


def is_number(value: object) -> bool:
    """Whether a value is a finite number, unlike all else that JSON as Python reads it may hold: words, truths, NaN, infinity."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST < value < LARGEST


def typical(numbers: Iterable[float | None]) -> float | None:
    """Return the median of what is known; None where nothing is."""
    known = [number for number in numbers if number is not None]
    return median(known) if known else None


def typical_scores(each: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the median of every number that any of the scores has."""
    keys = dict.fromkeys(key for scores in each for key in scores)
    return {key: typical(scores.get(key) for scores in each) for key in keys}


def read_jobs(folders: Sequence[Path]) -> list[Job]:
    """Read every job below the folders of one or several sweeps, in the order of their numbers.

    Beside others the folder of a single run is a job too.

    Raises:
        VaeExperimentsError: a folder is not there, or holds no job.
    """
    is_alone, jobs, sweeps = len(folders) == 1, list[Job](), list[str]()
    for folder, label in zip(folders, labels_of(folders), strict=True):
        check_folder(folder, HINT)
        places = sorted((path for path in folder.iterdir() if path.is_dir() and _is_job(path)), key=_in_order)
        if not places and not is_run(folder):
            raise VaeExperimentsError(f"{folder} holds no jobs", HINT)
        if not places and is_alone:
            page = f"is one run, whose page is {folder / 'report.html'}"
            raise VaeExperimentsError(f"{folder} {page}", "give other runs too, to compare them, or a sweep")
        before = "" if is_alone else f"{label}/"
        found = [read_job(place, f"{before}{place.name}") for place in places] or [read_job(folder, label)]
        jobs += found
        sweeps += [label] * len(found)
    typed = [json.dumps(job.overrides, sort_keys=True) for job in jobs if job.overrides is not None]
    if is_alone or len(set(typed)) == len(typed):
        return jobs
    # Two jobs of different sweeps would look the same without it.
    return [
        job if job.overrides is None else replace(job, overrides={SWEEP: label, **job.overrides})
        for job, label in zip(jobs, sweeps, strict=True)
    ]


def labels_of(folders: Sequence[Path]) -> list[str]:
    """Name each folder by the end of its path, as much of it as tells it from the others.

    Raises:
        VaeExperimentsError: two of them are one.
    """
    whole = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, whole)) + 1):
        labels = ["/".join(parts[-count:]) for parts in whole]
        if len(set(labels)) == len(labels):
            return labels
    raise VaeExperimentsError(f"{folders[0]} is named twice", "name each folder once")


def check_folder(folder: Path, hint: str) -> None:
    """Refuse what is no folder.

    Raises:
        VaeExperimentsError: it is not there, or is a file.
    """
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise VaeExperimentsError(f"{folder} {problem}", hint)


def is_run(folder: Path) -> bool:
    """Whether a folder holds what a run leaves behind, finished or not."""
    return any((folder / name).exists() for name in (FINISHED, FAILURE, OVERRIDES, f"{ORIGINAL}.mp4"))


def _is_job(folder: Path) -> bool:
    """Whether a folder is a job's; one that was killed at once may have no more than its number."""
    return folder.name.isdecimal() or is_run(folder)


def _in_order(folder: Path) -> tuple[float, str]:
    return (float(folder.name) if folder.name.isdecimal() else math.inf, folder.name)


def read_job(folder: Path, name: str) -> Job:
    """Read one run folder, whatever has become of it."""
    metrics: dict[str, Any] = {}
    if (folder / FAILURE).exists():
        reason = (read_object(folder / FAILURE) or {}).get("sentence") or "it does not say why"
        status, sentence = Status.failed, " ".join(str(reason).split())
    elif not (folder / FINISHED).exists():
        status, sentence = Status.not_finished, "stopped before its end, or still running"
    elif not isinstance((found := read_object(folder / FINISHED) or {}).get(RECONSTRUCTED), dict):
        status, sentence = Status.failed, f"its {FINISHED} is not that of a run"
    else:
        status, sentence, metrics = Status.finished, "", found
    return Job(name, folder, _overrides(folder / OVERRIDES), status, sentence, metrics)


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the object that a JSON file holds; None where it cannot be read, or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        value = json.loads(readable(json.dumps(value, ensure_ascii=False)))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _overrides(path: Path) -> dict[str, str] | None:
    """Read ``- key=value`` lines; of a key that was typed twice the last one counts, as in Hydra."""
    from omegaconf import OmegaConf

    try:
        words = OmegaConf.to_container(OmegaConf.create(read_yaml(path)), resolve=False)
    except Exception:  # no file, no yaml, an interpolation that is none: all the same to the sweep
        return None
    if not isinstance(words, list):
        return {} if not words else None
    return dict(_pair(readable(str(word))) for word in words)


def readable(text: str) -> str:
    """Return a text without what is no letter (half a surrogate pair), which fonts and files refuse."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _pair(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    if key.startswith("~"):
        return key, "left out"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = _escapes_undone(value[1:-1], f"{value[0]}|$")
    return key.lstrip("+"), _escapes_undone(value, r"\$\{")


def _escapes_undone(text: str, before: str) -> str:
    """Take away what tells a sign, as a quote or a ``${``, from one that means something: backslashes before it."""
    return re.sub(rf"\\+(?={before})", lambda found: found[0][: len(found[0]) // 2], text)
