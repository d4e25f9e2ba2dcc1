"""Which plots a sweep calls for, by how many settings were swept and of what kind."""

from __future__ import annotations

import re
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

from vae_experiments.pipeline.metrics import NUMBERS
from vae_experiments.pipeline.run_folder import RECONSTRUCTED
from vae_experiments.sweep.jobs import Status
from vae_experiments.sweep.swept import as_number, in_words, short_names, values_of
from vae_experiments.sweep.verdicts import BATCH_SIZE
from vae_experiments.writers import (
    MOST_LINES,
    Measurement,
    plot_batch_sizes,
    plot_metrics_along,
    plot_metrics_by_choice,
    plot_metrics_map,
)
from vae_experiments.writers.pages.html_page import Plot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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
    if measured and any(setting.key == BATCH_SIZE for setting in swept):
        plots.append(_draw_batch_sizes(into, finished, measured, recommendation))
    if len(swept) == 2:
        plots += _draw_map(into, finished, swept)
    files = _files(swept)
    for setting in swept:
        plots += _draw_along(into / files[setting.key], finished, swept, setting)
    return plots


def _draw_batch_sizes(
    into: Path, jobs: Sequence[Job], measured: Sequence[Throughput], recommendation: Recommendation | None
) -> Plot:
    plot_batch_sizes(into / BATCH_SIZES, measured, recommendation and recommendation.batch_size)
    left_out = len(jobs) - len(measured)
    others = (
        f" {left_out} more took their latents from the cache, told no speed, or have no like at the other sizes."
        if left_out
        else ""
    )
    where = "the process's" if any(job.metrics.get("device") != "cuda" for job in jobs) else "the GPU's"
    caption = (
        f"A dot a job that encoded by itself, {len(measured)} of them.{others} "
        f"The memory is {where}"
        + (", with what earlier jobs of the same process left in it." if where == "the process's" else ".")
    )
    return Plot(BATCH_SIZES, "Speed and memory by batch size", caption)


def _draw_map(into: Path, jobs: Sequence[Job], swept: Sequence[Swept]) -> list[Plot]:
    across, down = sorted(swept, key=lambda setting: len(setting.values))
    cells: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in jobs:
        place = across.of(job), down.of(job)
        if place[0] is not None and place[1] is not None:
            cells[place[0], place[1]].append(job)
    if not cells or len(across.values) < 2 or len(across.values) * len(down.values) > MOST_CELLS:
        return []
    merged = {place: _merged(here) for place, here in cells.items()}
    plot_metrics_map(into / MAP, (across.key, across.values), (down.key, down.values), merged)
    empty = len(across.values) * len(down.values) - len(cells)
    several = (
        " A cell with several jobs shows their median."
        if any(len(here) > 1 for here in cells.values())
        else ""
    )
    missing = f" Empty cells, {empty}: no job finished there." if empty else ""
    caption = (
        f"Of the changed video against the original; each metric has colours of its own.{several}{missing}"
    )
    return [Plot(MAP, f"Metrics over {across.key} and {down.key}", caption)]


def _draw_along(path: Path, jobs: Sequence[Job], swept: Sequence[Swept], setting: Swept) -> list[Plot]:
    others = [other for other in swept if other is not setting]
    here = [_measurement(job, setting, others) for job in jobs if setting.of(job) is not None]
    if not here or len(setting.values) < 2:
        return []
    if setting.is_numeric:
        places = {(one.others, one.x) for one in here}
        if len(places) == len({one.others for one in here}):
            return []  # no two jobs differ in this setting alone
        plot_metrics_along(path, setting.key, here)
    else:
        plot_metrics_by_choice(path, setting.key, here)
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
    number = as_number(value)
    names = short_names([setting, *others])
    rest = in_words({names[key]: text for key, text in values_of(job, others).items()})
    return Measurement(
        number if setting.is_numeric and number is not None else value,
        rest,
        {name: job.number(job.shown, name) for name in NUMBERS},
        {name: job.number(RECONSTRUCTED, name) for name in NUMBERS},
        job.is_identical(job.shown),
    )


def _merged(jobs: Sequence[Job]) -> Measurement:
    """Make one measurement of all jobs at one place."""

    def typical(name: str) -> float | None:
        known = [value for job in jobs if (value := job.number(job.shown, name)) is not None]
        return median(known) if known else None

    scores: Mapping[str, float | None] = {name: typical(name) for name in NUMBERS}
    return Measurement("", "", scores, {}, all(job.is_identical(job.shown) for job in jobs))


def _files(swept: Sequence[Swept]) -> dict[str, str]:
    """Name the plot of each setting after it, in letters that every file system takes."""
    files: dict[str, str] = {}
    for setting in swept:
        name = f"metrics_by_{re.sub(r'[^A-Za-z0-9_.-]+', '_', setting.key)[:60]}"
        clash = f"{name}.png" in files.values()
        files[setting.key] = f"{name}_{len(files)}.png" if clash else f"{name}.png"
    return files
