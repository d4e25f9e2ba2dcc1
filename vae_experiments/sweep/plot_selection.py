"""Which plots a sweep calls for, by how many settings were swept and of what kind."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from vae_experiments.pipeline.metrics import NUMBERS
from vae_experiments.pipeline.run_folder import RECONSTRUCTED
from vae_experiments.sweep.jobs import Status, typical
from vae_experiments.sweep.swept import as_number, in_words, short_names, values_of
from vae_experiments.writers.pages.html_page import Plot
from vae_experiments.writers.plots.sweep_plots import (
    MOST_LINES,
    Measurement,
    plot_batch_sizes,
    plot_metrics_along,
    plot_metrics_by_choice,
    plot_metrics_map,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vae_experiments.sweep.jobs import Job
    from vae_experiments.sweep.swept import Swept
    from vae_experiments.sweep.verdicts import Recommendation, Throughput

MAP, BATCH_SIZES = "metrics_map.png", "batch_size.png"
MOST_CELLS = 2000


def draw_plots(
    into: Path,
    jobs: Sequence[Job],
    swept: Sequence[Swept],
    measured: Sequence[Throughput],
    recommendation: Recommendation | None,
) -> list[Plot]:
    """Draw all that the jobs have numbers for: speed, a map of two settings, the metrics along each setting."""
    finished = [job for job in jobs if job.status is Status.finished]
    plots = []
    if measured:
        plot_batch_sizes(into / BATCH_SIZES, measured, recommendation and recommendation.batch_size)
        caption = _speed_caption(finished, len(measured))
        plots.append(Plot(BATCH_SIZES, "Speed and memory by batch size", caption))
    if len(swept) == 2:
        plots += _draw_map(into, finished, swept)
    for setting, file in zip(swept, _files(swept), strict=True):
        plots += _draw_along(into / file, finished, swept, setting)
    return plots


def _speed_caption(jobs: Sequence[Job], measured: int) -> str:
    words = [f"A dot a job that encoded by itself, {measured} of them."]
    if left_out := len(jobs) - measured:
        reasons = "took their latents from the cache, told no speed, or have no like at the other sizes"
        words.append(f"{left_out} more {reasons}.")
    if all(job.metrics.get("device") == "cuda" for job in jobs):
        words.append("The memory is the GPU's.")
    else:
        words.append("The memory is the process's, with what earlier jobs of the same process left in it.")
    return " ".join(words)


def _draw_map(into: Path, jobs: Sequence[Job], swept: Sequence[Swept]) -> list[Plot]:
    across, down = sorted(swept, key=lambda setting: len(setting.values))
    cells: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in jobs:
        column, row = across.of(job), down.of(job)
        if column is not None and row is not None:
            cells[column, row].append(job)
    count = len(across.values) * len(down.values)
    if not cells or len(across.values) < 2 or count > MOST_CELLS:
        return []
    merged = {place: _merged(here) for place, here in cells.items()}
    plot_metrics_map(into / MAP, (across.key, across.values), (down.key, down.values), merged)
    words = ["Of the changed video against the original; each metric has colours of its own."]
    if any(len(here) > 1 for here in cells.values()):
        words.append("A cell with several jobs shows their median.")
    if count > len(cells):
        words.append(f"Empty cells, {count - len(cells)}: no job finished there.")
    return [Plot(MAP, f"Metrics over {across.key} and {down.key}", " ".join(words))]


def _draw_along(path: Path, jobs: Sequence[Job], swept: Sequence[Swept], setting: Swept) -> list[Plot]:
    others = [other for other in swept if other is not setting]
    here = [_measurement(job, setting, others) for job in jobs if setting.of(job) is not None]
    if not here or len(setting.values) < 2:
        return []
    if not setting.is_numeric:
        plot_metrics_by_choice(path, setting.key, here)
    elif len({(one.others, one.x) for one in here}) == len({one.others for one in here}):
        return []  # no two jobs differ in this setting alone
    else:
        plot_metrics_along(path, setting.key, here)
    return [Plot(path.name, f"Metrics by {setting.key}", _caption(setting, others, here, len(jobs)))]


def _caption(setting: Swept, others: Sequence[Swept], here: Sequence[Measurement], jobs: int) -> str:
    words = ["The changed video against the original."]
    names = ", ".join(other.key for other in others)
    if others and setting.is_numeric:
        words.append(f"A line for each choice of {names}; of more than {MOST_LINES}, in black, their median.")
    if others and not setting.is_numeric:
        words.append(f"A bar ends at the median over {names}, a dot is a job.")
    if not setting.is_numeric:
        words.append("Sorted by PSNR.")
    words.append("In red: what is left of the original with the latents untouched.")
    if any(one.is_identical for one in here):
        words.append("Identical: no error at all, so that PSNR has no number.")
    if len(here) < jobs:
        words.append(f"{jobs - len(here)} jobs without a {setting.key} of their own are not in it.")
    return " ".join(words)


def _measurement(job: Job, setting: Swept, others: Sequence[Swept]) -> Measurement:
    value = setting.of(job) or ""
    number = as_number(value) if setting.is_numeric else None
    names = short_names([setting, *others])
    return Measurement(
        value if number is None else number,
        in_words({names[key]: text for key, text in values_of(job, others).items()}),
        job.scores(job.shown),
        job.scores(RECONSTRUCTED),
        job.is_identical(job.shown),
    )


def _merged(jobs: Sequence[Job]) -> Measurement:
    """Make one measurement of all jobs at one place."""
    each = [job.scores(job.shown) for job in jobs]
    scores = {name: typical(one[name] for one in each) for name in NUMBERS}
    return Measurement("", "", scores, {}, all(job.is_identical(job.shown) for job in jobs))


def _files(swept: Sequence[Swept]) -> list[str]:
    """Name the plot of each setting after it, in letters that every file system takes."""
    files: list[str] = []
    for setting in swept:
        name = f"metrics_by_{re.sub(r'[^A-Za-z0-9_.-]+', '_', setting.key)[:60]}"
        files.append(f"{name}_{len(files)}.png" if f"{name}.png" in files else f"{name}.png")
    return files
