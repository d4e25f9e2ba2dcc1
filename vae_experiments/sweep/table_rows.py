"""The rows of the page's table, and the words under its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.pipeline.run_folder import RECONSTRUCTED
from vae_experiments.sweep.baselines import LABEL
from vae_experiments.sweep.csv_table import relative
from vae_experiments.sweep.jobs import Status
from vae_experiments.sweep.swept import as_number, in_words, values_of
from vae_experiments.writers import Card, Cell, Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vae_experiments.sweep.baselines import Baseline
    from vae_experiments.sweep.jobs import Job
    from vae_experiments.sweep.swept import Swept

REPORT = "report.html"
SCORES = {"psnr_db": ("PSNR (dB)", ".2f"), "ssim": ("SSIM", ".4f"), "flicker": ("flicker (levels)", ".3f")}
AGAINST = "psnr_db_against_reconstructed"
MB = 10**6
TIMES = {
    "frames_per_second": "frames per second",
    "encode_seconds": "encode (s)",
    "decode_seconds": "decode (s)",
    "total_seconds": "total (s)",
}


def columns_of(swept: Sequence[Swept], has_failures: bool) -> list[str]:
    """Name the columns of the table."""
    return [
        "job",
        *(setting.key for setting in swept),
        *(["status"] if has_failures else []),
        *(title for title, _ in SCORES.values()),
        "PSNR against reconstr. (dB)",
        *TIMES.values(),
        "peak memory (MB)",
    ]


def job_row(job: Job, swept: Sequence[Swept], into: Path, has_failures: bool) -> Row:
    """Write a job's row; what is not known is an empty cell."""
    memory = job.number("peak_memory_bytes")
    cells = [
        Cell(job.name),
        *(setting_cell(setting.of(job)) for setting in swept),
        *([Cell(job.status.value, hint=job.sentence)] if has_failures else []),
        *(score_cell(job.number(job.shown, name), name, job.is_identical(job.shown)) for name in SCORES),
        number_cell(job.number(job.shown, AGAINST), ".2f"),
        *(time_cell(job, name) for name in TIMES),
        number_cell(None if memory is None else memory / MB, ".0f"),
    ]
    return Row(cells, link_to(job, into), job.status is Status.finished)


def baseline_row(baseline: Baseline, swept: Sequence[Swept], has_failures: bool) -> Row:
    """Write the row of the untouched latents: scores, and of the settings only what they depend on."""
    scores = [score_cell(baseline.scores[name], name, baseline.is_identical) for name in SCORES]
    values = [setting_cell(baseline.values.get(setting.key)) for setting in swept]
    values += [Cell("")] * has_failures
    empty = [Cell("")] * (len(columns_of(swept, has_failures)) - 1 - len(values) - len(scores))
    label = Cell(f"{LABEL} ({baseline.remark})" if baseline.remark else LABEL)
    return Row([label, *values, *scores, *empty], None, is_finished=True)


def job_card(job: Job, swept: Sequence[Swept], into: Path) -> Card:
    """Return what stands under a job's frame, and what it plays: the original beside the changed video."""
    caption = in_words(values_of(job, swept)) or f"job {job.name}"
    if job.status is not Status.finished:
        return Card(caption, job.status.value, None, {})
    psnr = score_cell(job.number(job.shown, "psnr_db"), "psnr_db", job.is_identical(job.shown)).text
    videos = {spoken_name(name): relative(path, into) for name, path in job.videos().items()}
    score = psnr if psnr in ("", "identical") else f"{psnr} dB"
    return Card(caption, score, link_to(job, into), videos)


def baseline_cards(baseline: Baseline, names: Sequence[str], into: Path) -> list[Card]:
    """Return what stands under the frames of the original and the reconstructed video."""
    first = next((job for job in baseline.jobs if RECONSTRUCTED in job.videos()), baseline.jobs[0])
    videos = {
        spoken_name(name): relative(path, into) for name, path in first.videos().items() if name in names
    }
    words = in_words(baseline.values)
    psnr = score_cell(baseline.scores["psnr_db"], "psnr_db", baseline.is_identical).text
    scores = {RECONSTRUCTED: psnr if psnr in ("", "identical") else f"{psnr} dB"}
    return [Card(f"{name}, {words}" if words else name, scores.get(name, ""), None, videos) for name in names]


def link_to(job: Job, into: Path) -> str | None:
    """Lead to the run's page, or to its folder where it has none."""
    report = job.folder / REPORT
    return relative(report, into) if report.exists() else f"{relative(job.folder, into)}/"


def setting_cell(value: str | None) -> Cell:
    """Return a setting's value as it was typed; an empty cell where a job was not given it."""
    return Cell("") if value is None else Cell(value, as_number(value))


def score_cell(value: float | None, name: str, is_identical: bool) -> Cell:
    """Return a number of a video as its column shows it."""
    if value is None and is_identical and name == "psnr_db":
        # Sorted above every number: no error is the best there is.
        return Cell("identical", 1e9)
    return number_cell(value, SCORES[name][1])


def time_cell(job: Job, name: str) -> Cell:
    """Return a time of a job, or the word that stands for it where nothing was measured."""
    word = job.word("timing", name)
    return number_cell(job.number("timing", name), ".2f") if word is None else Cell(word)


def number_cell(value: float | None, form: str) -> Cell:
    """Return a number in that form; an empty cell where there is none."""
    return Cell("") if value is None else Cell(f"{value:{form}}", value)


def spoken_name(name: str) -> str:
    """Return what a video is called for a person."""
    return name.replace("_", " ")
