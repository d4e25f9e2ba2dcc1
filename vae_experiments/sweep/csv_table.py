"""sweep.csv: a row a job, with what was typed, what was measured, and what became of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_experiments.files import write_csv
from vae_experiments.metrics import METRICS
from vae_experiments.pipeline.run_folder import RECONSTRUCTED
from vae_experiments.sweep.jobs import CHANGED, is_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vae_experiments.sweep.jobs import Job

AGAINST = "psnr_db_against_reconstructed"
NUMBERS = tuple(metric.key for metric in METRICS.values())
SCORES = (*NUMBERS, "identical", AGAINST)
FIRST = (*SCORES, *(f"{RECONSTRUCTED}.{name}" for name in (*NUMBERS, "identical")))
LAST = ("peak_memory_bytes", "folder", "status", "sentence")


def write_table(path: Path, jobs: Sequence[Job], seen_from: Path) -> None:
    """Write the table; its folders are relative to ``seen_from``, where it will stand.

    Numbers of the video that a job is about stand under their own names, all others under their way
    in metrics.json: ``reconstructed.ssim``. A number that is not there is an empty cell.
    """
    keys = dict.fromkeys(key for job in jobs for key in (job.overrides or {}))
    measured = [_flat(job) for job in jobs]
    there = dict.fromkeys(name for row in measured for name in row)
    first = [name for name in FIRST if name in there]
    others = [name for name in there if name not in {*first, *keys, *LAST}]
    rows = []
    for job, values in zip(jobs, measured, strict=True):
        # What a job was not given by hand, as batch_size, may stand in its metrics.
        known = [(job.overrides or {}).get(key, _cell(values.get(key))) for key in keys]
        numbers = [_cell(values.get(name)) for name in (*first, *others, LAST[0])]
        where = [relative(job.folder, seen_from), job.status.value, job.sentence]
        rows.append([job.name, *known, *numbers, *where])
    write_csv(path, ["job", *keys, *first, *others, *LAST], rows)


def relative(path: Path, into: Path) -> str:
    """Write a path as seen from a folder, with ``/``; whole where it lies on another disk."""
    try:
        return Path(os.path.relpath(path, into)).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def leaves(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value of an object and of those in it, by its whole name: ``reconstructed.ssim``."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _flat(job: Job) -> dict[str, Any]:
    """Return every number, word and truth of a job's metrics under one name; lists are left out."""
    scores = job.metrics.get(job.shown)
    own = leaves(scores if isinstance(scores, dict) else {})
    found = {(name if name in SCORES else f"changed.{name}"): value for name, value in own}
    found |= leaves({name: value for name, value in job.metrics.items() if not name.startswith(CHANGED)})
    return {name: value for name, value in found.items() if not isinstance(value, list)}


def _cell(value: Any) -> str:
    """Write a value as JSON does; what is not known, and what is no number, is empty."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str) or is_number(value) else ""
