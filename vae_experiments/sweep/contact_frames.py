"""The contact sheet of a sweep: one moment out of the video of every job, and what stands under it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vae_experiments.errors import VaeExperimentsError
from vae_experiments.pipeline.run_folder import ORIGINAL, RECONSTRUCTED
from vae_experiments.sources.video_file.clip_reader import look_over
from vae_experiments.sweep.csv_table import relative
from vae_experiments.sweep.jobs import Status
from vae_experiments.sweep.swept import in_words, short_names, values_of
from vae_experiments.sweep.table_rows import decibels, link_to, score_cells, spoken_name, video_cells
from vae_experiments.writers.pages.contact_sheets import SheetTile
from vae_experiments.writers.pages.html_page import Card

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def tiles_of_baselines(
    baselines: Sequence[Baseline], number: int, into: Path
) -> Iterator[tuple[SheetTile, Card]]:
    """Show the frame of the original and the reconstructed video, of each source and model once."""
    names = (ORIGINAL, RECONSTRUCTED)
    for baseline in baselines[:MOST_BASELINES]:
        words = in_words(baseline.values)
        played = next((job for job in baseline.jobs if RECONSTRUCTED in job.videos()), baseline.jobs[0])
        videos = {name: relative(path, into) for name, path in played.videos().items() if name in names}
        psnr = decibels(score_cells(baseline.scores, baseline.is_identical))
        for name, score in zip(names, ("", psnr), strict=True):
            paths = (path for job in baseline.jobs if (path := job.videos().get(name)))
            frame = next((found for path in paths if (found := _frame(path, number)) is not None), None)
            card = Card(f"{name}, {words}" if words else name, score, None, videos)
            yield SheetTile(frame, [name, *_worded(baseline.values)]), card


def tiles_of_jobs(
    jobs: Iterable[Job], swept: Sequence[Swept], number: int, into: Path
) -> Iterator[tuple[SheetTile, Card]]:
    """Show the frame of each job's changed video; a job without one gets an empty tile."""
    for job in jobs:
        caption = in_words(values_of(job, swept)) or f"job {job.name}"
        if job.status is Status.finished:
            videos = job.videos()
            played = {spoken_name(name): relative(path, into) for name, path in videos.items()}
            card = Card(caption, decibels(video_cells(job)), link_to(job, into), played)
        else:  # what it left behind may be of an earlier attempt
            videos, card = {}, Card(caption, job.status.value, None, {})
        yield SheetTile(_frame(videos.get(job.shown), number), _lines(job, swept)), card


def _lines(job: Job, swept: Sequence[Swept]) -> list[str]:
    """Write a line a setting; of very many settings the last ones share a line."""
    names = short_names(swept)
    words = _worded({names[key]: value for key, value in values_of(job, swept).items()})
    words = words or [f"job {job.name}"]
    if job.status is not Status.finished:
        words = [job.status.value, *words]
    last = ", ".join(words[MOST_LINES - 1 :])
    return [*words[: MOST_LINES - 1], last] if last else words


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
