"""Pictures of a sweep: the metrics along what was swept, speed and memory along the batch size."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.writers.plots.run_plots import COLOURS, metrics_in, panels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

LADDER = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#92c83e", "#d9c21c")
"""From low to high, as in the colour map of the heat maps."""
MOST_LINES = len(LADDER)
DECADES_FOR_LOG = 2
LETTER = 0.026
"""Fraction of a panel's width that a letter of a tick's label takes, with some space."""
LETTER_INCHES = 0.075
LONGEST_LABEL = 44
UNTOUCHED, UNNAMED = "latents untouched", "_"
WIDEST_ROW = 26
"""Inches that maps beside each other may take; wider ones stand below each other."""
MB = 10**6


class Measurement(NamedTuple):
    """What one job says at one place of a plot."""

    x: float | str
    others: str
    """The values of all other swept settings, in words."""
    scores: Mapping[str, float | None]
    """Of the changed video, by the keys of ``METRICS``."""
    untouched: Mapping[str, float | None]
    """Of the untouched one."""
    is_identical: bool = False
    """The video has no error, and so no PSNR that could be drawn."""


def plot_metrics_along(path: Path, key: str, jobs: Sequence[Measurement]) -> None:
    """Draw each metric along a setting that is a number: a line for each choice of all other settings.

    The axis is logarithmic where the numbers span two decades or more. Where several jobs stand at one
    place of a line, it goes through their median. A triangle at the upper edge is a video without any error.
    """
    identical = sorted({float(job.x) for job in jobs if job.is_identical})
    drawn = metrics_in(job.scores for job in jobs)
    with panels_of(path, 4 * len(drawn), 4.1, 1, len(drawn)) as panels:
        for panel, metric in zip(panels, drawn, strict=True):
            _lines(panel, metric.key, jobs)
            if identical and metric.key == "psnr_db":
                edge = panel.get_xaxis_transform()
                heights = [0.98] * len(identical)
                panel.plot(identical, heights, "^", color=COLOURS[0], transform=edge, label="identical")
            panel.set_title(metric.label, fontsize=10)
            panel.set_xlabel(_shortened(key), parse_math=False)
            panel.grid(alpha=0.25)
            _scale(panel, sorted({float(job.x) for job in jobs}))
        _legend(panels[0])


def plot_metrics_by_choice(path: Path, key: str, jobs: Sequence[Measurement]) -> None:
    """Draw each metric for every choice of a setting that is a word: a bar each, the best PSNR on top.

    A bar ends at the median of its jobs, and each job of several is a dot.
    """
    groups: dict[str, list[Measurement]] = defaultdict(list)
    for job in jobs:
        groups[str(job.x)].append(job)
    choices = sorted(groups, key=lambda choice: _from_the_best(groups[choice]))
    height = max(2.4, 0.21 * len(choices) + 1.2)
    drawn = metrics_in(job.scores for job in jobs)
    with panels_of(path, 4 * len(drawn), height, 1, len(drawn), sharey=True) as panels:
        for panel, metric in zip(panels, drawn, strict=True):
            for place, choice in enumerate(choices):
                _bar(panel, metric.key, place, groups[choice])
            panel.set_title(metric.label, fontsize=10)
            panel.grid(alpha=0.25, axis="x")
        _name_ticks(panels[0].set_yticks, choices)
        panels[0].set_ylim(len(choices) - 0.4, -0.6)
        panels[0].set_ylabel(_shortened(key), parse_math=False)
        _legend(panels[0])


def plot_metrics_map(
    path: Path,
    across: tuple[str, Sequence[str]],
    down: tuple[str, Sequence[str]],
    cells: Mapping[tuple[str, str], Measurement],
) -> None:
    """Draw each metric over two settings, with the numbers in the cells; a missing job is an empty cell.

    Args:
        path: the picture.
        across: the setting along the width, and its values in order.
        down: the setting along the height, and its values in order.
        cells: by the values across and down.
    """
    columns, rows = across[1], down[1]
    names = LETTER_INCHES * max(len(_shortened(name)) for name in rows)
    width, height = max(3.4, 0.56 * len(columns) + 0.7 + max(1.0, names)), max(2.4, 0.32 * len(rows) + 1.5)
    drawn = metrics_in(cell.scores for cell in cells.values())
    count = len(drawn)
    is_row = count * width <= WIDEST_ROW
    sizes = (count * width, height, 1, count) if is_row else (width, count * height, count, 1)
    with panels_of(path, *sizes) as panels:
        for panel, metric in zip(panels, drawn, strict=True):
            _fill(panel, metric.key, columns, rows, cells)
            panel.set_title(metric.label, fontsize=10)
            _name_ticks(panel.set_xticks, columns)
            _name_ticks(panel.set_yticks, rows)
            if max(map(len, columns)) > 5:
                panel.tick_params(axis="x", rotation=60)
            panel.set_xlabel(_shortened(across[0]), parse_math=False)
            panel.set_ylabel(_shortened(down[0]), parse_math=False)


def plot_batch_sizes(
    path: Path, jobs: Sequence[tuple[int, float, float | None]], recommended: int | None
) -> None:
    """Draw frames per second and peak memory against the batch size.

    Args:
        path: the picture.
        jobs: batch size, frames per second and peak memory in bytes of each job that measured them.
        recommended: the batch size that gets a ring.
    """
    drawn = {
        "frames per second": [(float(size), rate) for size, rate, _ in jobs],
        "peak memory (MB)": [(float(size), peak / MB) for size, _, peak in jobs if peak is not None],
    }
    with panels_of(path, 9, 3.8, 1, 2) as panels:
        for panel, (title, points) in zip(panels, drawn.items(), strict=True):
            typical = {place: median(values) for place, values in _by_place(points).items()}
            label = "median" if len(points) > len(typical) else "measured"
            panel.plot(list(typical), list(typical.values()), color=COLOURS[0], label=label)
            panel.plot(
                *zip(*points, strict=True) if points else ((), ()), "o", color=COLOURS[0], markersize=4
            )
            if recommended in typical:
                ring = {"markersize": 13, "fillstyle": "none", "color": COLOURS[1], "label": "recommended"}
                panel.plot(recommended, typical[recommended], "o", **ring)
            panel.set_title(title, fontsize=10)
            panel.set_xlabel("batch size")
            panel.set_ylim(0, 1.12 * max(value for _, value in points) if points else 1)
            panel.grid(alpha=0.25)
            if points:
                _scale(panel, list(typical))
        _legend(panels[0])


def _lines(panel: Any, metric: str, jobs: Sequence[Measurement]) -> None:
    """Draw one metric: a line for each choice of the other settings, their median if they are many, the untouched."""
    lines: dict[str, list[Measurement]] = defaultdict(list)
    for job in jobs:
        lines[job.others].append(job)
    for (line, here), colour in zip(lines.items(), _colours(len(lines)), strict=True):
        label = "changed" if len(lines) == 1 else _shortened(line) if len(lines) <= MOST_LINES else UNNAMED
        _line(panel, [(job.x, job.scores.get(metric)) for job in here], colour, label)
    if len(lines) > MOST_LINES:
        changed = [(job.x, job.scores.get(metric)) for job in jobs]
        _line(panel, changed, "black", "median of all", linewidth=2)
    # A line each: another source or model has other losses of its own.
    for number, here in enumerate(lines.values()):
        untouched = [(job.x, job.untouched.get(metric)) for job in here]
        _line(panel, untouched, COLOURS[1], UNNAMED if number else UNTOUCHED, linestyle="--", marker="")


def _line(
    panel: Any, points: Iterable[tuple[float | str, float | None]], colour: str, label: str, **style: Any
) -> None:
    """Draw a line through the median at each place; a place without a number is a gap."""
    heights = {}
    for place, numbers in _by_place(points).items():
        known = _known(numbers)
        heights[place] = median(known) if known else None
    style = {"marker": ".", "linewidth": 1.2} | style
    panel.plot(list(heights), list(heights.values()), color=colour, label=label, **style)


def _bar(panel: Any, metric: str, place: int, jobs: Sequence[Measurement]) -> None:
    known = _known(job.scores.get(metric) for job in jobs)
    if known:
        panel.barh(place, median(known), height=0.7, color=COLOURS[0], alpha=0.75)
        dots = known if len(known) > 1 else []
        panel.plot(dots, [place] * len(dots), ".", color="black", markersize=3)
    elif metric == "psnr_db" and any(job.is_identical for job in jobs):
        panel.text(0, place, " identical", va="center", fontsize=8)
    if untouched := _known(job.untouched.get(metric) for job in jobs):
        at, ends = median(untouched), (place - 0.5, place + 0.5)
        panel.plot([at, at], ends, color=COLOURS[1], label=UNNAMED if place else UNTOUCHED)


def _fill(
    panel: Any,
    metric: str,
    columns: Sequence[str],
    rows: Sequence[str],
    cells: Mapping[tuple[str, str], Measurement],
) -> None:
    import numpy as np

    values = np.full((len(rows), len(columns)), np.nan)
    for row, column in np.ndindex(values.shape):
        cell = cells.get((columns[column], rows[row]))
        if cell and (number := cell.scores.get(metric)) is not None:
            values[row, column] = number
        elif cell and cell.is_identical and metric == "psnr_db":
            panel.text(column, row, "same", ha="center", va="center", fontsize=7)
    panel.set_facecolor("0.93")
    panel.imshow(values, cmap="viridis", aspect="auto", interpolation="nearest")
    written = np.argwhere(np.isfinite(values))
    low, high = (np.nanmin(values), np.nanmax(values)) if len(written) else (0.0, 0.0)
    for row, column in written:
        value = values[row, column]
        colour = "black" if high > low and (value - low) / (high - low) > 0.6 else "white"
        text = f"{value:.3f}" if metric in ("ssim", "ms_ssim", "lpips") else f"{value:.3g}"
        panel.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


def _by_place(points: Iterable[tuple[float | str, Any]]) -> dict[float, list[Any]]:
    """Gather what stands at each place, in the order of places."""
    found: dict[float, list[Any]] = defaultdict(list)
    for place, value in points:
        found[float(place)].append(value)
    return dict(sorted(found.items()))


def _known(numbers: Iterable[float | None]) -> list[float]:
    return [number for number in numbers if number is not None]


def _colours(count: int) -> list[str]:
    """Give each line its colour; of too many all are grey."""
    if count > MOST_LINES:
        return ["0.75"] * count
    last = len(LADDER) - 1
    return (
        [LADDER[round(last * number / (count - 1))] for number in range(count)] if count > 1 else [COLOURS[0]]
    )


def _scale(panel: Any, places: Sequence[float]) -> None:
    """Draw an axis to scale, logarithmic over two decades or more, with ticks at the values where there is room."""
    is_logarithmic = places[0] > 0 and places[-1] >= 10**DECADES_FOR_LOG * places[0]
    if is_logarithmic:
        panel.set_xscale("log")
    ends = {place: math.log(place) if is_logarithmic else place for place in places}
    room = LETTER * max(len(f"{place:g}") for place in places) * (ends[places[-1]] - ends[places[0]])
    ticks = [places[0]]
    for place in places:
        if place > ticks[-1] and ends[place] - ends[ticks[-1]] >= room:
            ticks.append(place)
    if 2 * len(ticks) >= len(places):
        panel.set_xticks(ticks, labels=[f"{place:g}" for place in ticks], fontsize=8)
        panel.set_xticks([], minor=True)


def _from_the_best(jobs: Sequence[Measurement]) -> float:
    """Sort choices: identical first, then by PSNR from high to low, then those without one."""
    known = _known(job.scores.get("psnr_db") for job in jobs)
    if known:
        return -median(known)
    return -math.inf if any(job.is_identical for job in jobs) else math.inf


def _legend(panel: Any) -> None:
    """Put the legend of one panel below all of them."""
    handles, labels = panel.get_legend_handles_labels()
    if handles:
        style = {"ncols": min(len(handles), 4), "frameon": False, "fontsize": 8}
        legend = panel.figure.legend(handles, labels, loc="outside lower center", **style)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _name_ticks(set_ticks: Callable[..., Any], names: Sequence[str]) -> None:
    """Put words at the ticks as they are; a $ in one begins no formula."""
    set_ticks(range(len(names)), labels=[_shortened(name) for name in names], fontsize=8, parse_math=False)


def _shortened(text: str) -> str:
    """Cut the middle out of a text that would push the plot aside."""
    text = " ".join(text.split())
    half = LONGEST_LABEL // 2
    return text if len(text) <= LONGEST_LABEL else f"{text[: half - 1]} … {text[-half + 2 :]}"
