"""The frames of the contact sheet: one moment, out of the video of every job."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vae_experiments.errors import VaeExperimentsError
from vae_experiments.pipeline.run_folder import ORIGINAL, RECONSTRUCTED
from vae_experiments.sources.video_file.clip_reader import look_over
from vae_experiments.sweep.swept import short_names, values_of
from vae_experiments.writers import SheetTile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from vae_experiments.sweep.baselines import Baseline
    from vae_experiments.sweep.jobs import Job
    from vae_experiments.sweep.swept import Swept
    from vae_experiments.tensors import Pixels

log = logging.getLogger(__name__)
MOMENT = 0.4
"""Fraction of the shortest clip after which its frame is shown."""
MOST_BASELINES = 6
MANIPULATION = "manipulation"
MOST_LINES = 4


def moment(jobs: Iterable[Job]) -> int:
    """Choose the number of the frame that is shown of every job: the same for all, so the shortest decides."""
    shortest = min((count for job in jobs if (count := job.frames())), default=1)
    return max(round(MOMENT * (shortest - 1)), 0)


def tiles_of_jobs(jobs: Iterable[Job], swept: Sequence[Swept], number: int) -> list[SheetTile]:
    """Take the frame of each job's changed video; a job without one gets an empty tile."""
    # What an unfinished job left behind may be of an earlier attempt.
    paths = ((job, None if job.sentence else job.videos().get(job.shown)) for job in jobs)
    return [SheetTile(_frame(path, number), _lines(job, swept)) for job, path in paths]


def tiles_of_baselines(baselines: Sequence[Baseline], number: int) -> list[SheetTile]:
    """Take the frame of the original and the reconstructed video, of each source and model once."""
    tiles = []
    for baseline in baselines[:MOST_BASELINES]:
        for name in (ORIGINAL, RECONSTRUCTED):
            paths = (path for job in baseline.jobs if (path := job.videos().get(name)))
            frame = next((found for path in paths if (found := _frame(path, number)) is not None), None)
            tiles.append(SheetTile(frame, [name, *_worded(baseline.values)]))
    return tiles


def _lines(job: Job, swept: Sequence[Swept]) -> list[str]:
    """Write a line a setting; of very many settings the last ones share a line."""
    names = short_names(swept)
    words = _worded({names[key]: value for key, value in values_of(job, swept).items()})
    words = words or [f"job {job.name}"]
    if job.sentence:
        words = [job.status.value, *words]
    return (
        [*words[: MOST_LINES - 1], ", ".join(words[MOST_LINES - 1 :])] if len(words) > MOST_LINES else words
    )


def _worded(values: Mapping[str, str]) -> list[str]:
    # A manipulation's name needs no other word; a tile is narrow.
    return [value if key == MANIPULATION else f"{key} {value}" for key, value in values.items()]


def _frame(path: Path | None, number: int) -> Pixels | None:
    """Read one frame; a video that cannot be read has none, and the log says why."""
    if path is None:
        return None
    try:
        video = look_over(path)
        return video.read(min(number, video.frames - 1), 1, lambda pixels: pixels)[0]
    except (VaeExperimentsError, OSError) as error:
        log.warning("contact sheet: %s", error)
        return None
