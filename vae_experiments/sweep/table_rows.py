"""The cells of the tables over jobs and over runs, and the rows of the one over jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.metrics import METRICS
from vae_experiments.sweep.csv_table import AGAINST, relative
from vae_experiments.sweep.jobs import Status
from vae_experiments.sweep.swept import as_number
from vae_experiments.writers.pages.html_page import Cell, Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vae_experiments.sweep.baselines import Baseline
    from vae_experiments.sweep.jobs import Job
    from vae_experiments.sweep.swept import Swept

LABEL = "manipulation=none"
REPORT = "report.html"
TIMES = {
    "frames_per_second": "frames per second",
    "encode_seconds": "encode (s)",
    "decode_seconds": "decode (s)",
    "total_seconds": "total (s)",
}
VIDEO_TITLES = [*(metric.label for metric in METRICS.values()), "PSNR against reconstr. (dB)"]
COST_TITLES = [*TIMES.values(), "peak memory (MB)"]
MB = 10**6


def columns_of(swept: Sequence[Swept], has_failures: bool) -> list[str]:
    """Name the columns of the table over jobs."""
    settings = [setting.key for setting in swept]
    return ["job", *settings, *["status"] * has_failures, *VIDEO_TITLES, *COST_TITLES]


def job_row(job: Job, swept: Sequence[Swept], into: Path, has_failures: bool) -> Row:
    """Write a job's row; what is not known is an empty cell."""
    cells = [
        Cell(job.name),
        *(setting_cell(setting.of(job)) for setting in swept),
        *([Cell(job.status.value, hint=job.sentence)] if has_failures else []),
        *video_cells(job),
        *cost_cells(job),
    ]
    return Row(cells, link_to(job, into), job.status is Status.finished)


def baseline_row(baseline: Baseline, swept: Sequence[Swept], has_failures: bool) -> Row:
    """Write the row of the untouched latents: scores, and of the settings only what they depend on."""
    cells = [
        Cell(f"{LABEL} ({baseline.remark})" if baseline.remark else LABEL),
        *(setting_cell(baseline.values.get(setting.key)) for setting in swept),
        *[Cell("")] * has_failures,
        *score_cells(baseline.scores, baseline.is_identical),
    ]
    empty = [Cell("")] * (len(columns_of(swept, has_failures)) - len(cells))
    return Row([*cells, *empty], None, is_finished=True)


def without_empty(columns: Sequence[str], rows: Sequence[Row]) -> tuple[list[str], list[Row]]:
    """Leave out the columns in which no row has anything."""
    kept = [place for place in range(len(columns)) if any(row.cells[place].text for row in rows)]
    shorter = [row._replace(cells=[row.cells[place] for place in kept]) for row in rows]
    return [columns[place] for place in kept], shorter


def link_to(job: Job, into: Path) -> str:
    """Lead to the run's page, or to its folder where it has none."""
    report = job.folder / REPORT
    return relative(report, into) if report.exists() else f"{relative(job.folder, into)}/"


def setting_cell(value: str | None) -> Cell:
    """Return a setting's value as it was typed; an empty cell where a job was not given it."""
    return Cell("") if value is None else Cell(value, as_number(value))


def score_cells(scores: Mapping[str, float | None], is_identical: bool) -> list[Cell]:
    """Return the numbers of a video as their columns show them, PSNR first."""
    cells = [number_cell(scores.get(metric.key), metric.digits) for metric in METRICS.values()]
    if is_identical and "psnr_db" in scores:
        cells[0] = Cell("identical", 1e9)  # sorted above every number: no error is the best there is
    return cells


def video_cells(job: Job) -> list[Cell]:
    """Return all numbers of the video that a job is about, as ``VIDEO_TITLES`` names them."""
    scores = score_cells(job.scores(job.shown), job.is_identical(job.shown))
    return [*scores, number_cell(job.number(job.shown, AGAINST), ".2f")]


def cost_cells(job: Job) -> list[Cell]:
    """Return times and memory of a job, as ``COST_TITLES`` names them; a word where nothing was measured."""
    words = {name: job.word("timing", name) for name in TIMES}
    times = [
        number_cell(job.number("timing", name), ".2f") if word is None else Cell(word)
        for name, word in words.items()
    ]
    memory = job.number("peak_memory_bytes")
    return [*times, number_cell(None if memory is None else memory / MB, ".0f")]


def decibels(scores: Sequence[Cell]) -> str:
    """Return the PSNR of ``score_cells`` as it stands alone, with its unit."""
    text = scores[0].text
    return text if text in ("", "identical") else f"{text} dB"


def number_cell(value: float | None, form: str) -> Cell:
    """Return a number in that form; an empty cell where there is none."""
    return Cell("") if value is None else Cell(f"{value:{form}}", value)


def spoken_name(name: str) -> str:
    """Return what a video is called for a person."""
    return name.replace("_", " ")
