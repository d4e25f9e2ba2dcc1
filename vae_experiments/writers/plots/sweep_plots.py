"""Pictures of a sweep: the metrics along what was swept, speed and memory along the batch size."""

from __future__ import annotations

import math
import warnings
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.writers.plots.run_plots import COLOURS, new_figure, save_figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

METRICS = {"psnr_db": "PSNR (dB)", "ssim": "SSIM", "flicker": "flicker (levels)"}
LADDER = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#92c83e", "#d9c21c")
"""From low to high, as in the colour map of the heat maps."""
MOST_LINES = len(LADDER)
DECADES_FOR_LOG = 2
LETTER = 0.026
"""Fraction of a panel's width that a letter of a tick's label takes, with some space."""
LONGEST_LABEL = 44
UNTOUCHED, UNNAMED = "latents untouched", "_"
MB = 10**6


class Measurement(NamedTuple):
    """What one job says at one place of a plot."""

    x: float | str
    others: str
    """The values of all other swept settings, in words."""
    scores: Mapping[str, float | None]
    """Of the changed video, by the names of ``METRICS``."""
    untouched: Mapping[str, float | None]
    """Of the untouched one."""
    is_identical: bool = False
    """The video has no error, and so no PSNR that could be drawn."""


def plot_metrics_along(path: Path, key: str, jobs: Sequence[Measurement]) -> None:
    """Draw each metric along a setting that is a number: a line for each choice of all other settings.

    The axis is logarithmic where the numbers span two decades or more. Where several jobs stand at one place of a line, it goes through their median. A triangle at the
    upper edge is a video without any error.
    """
    figure = new_figure(12, 4.1)
    panels = figure.subplots(1, len(METRICS))
    for panel, (metric, title) in zip(panels, METRICS.items(), strict=True):
        _lines(panel, metric, jobs)
        same = sorted({float(job.x) for job in jobs if job.is_identical}) if metric == "psnr_db" else []
        if same:
            edge = panel.get_xaxis_transform()
            panel.plot(same, [0.98] * len(same), "^", color=COLOURS[0], transform=edge, label="identical")
        panel.set_title(title, fontsize=10)
        panel.set_xlabel(shortened(key), parse_math=False)
        panel.grid(alpha=0.25)
        _scale(panel, sorted({float(job.x) for job in jobs}))
    _legend(figure, panels[0])
    save_sweep_figure(figure, path)


def plot_metrics_by_choice(path: Path, key: str, jobs: Sequence[Measurement]) -> None:
    """Draw each metric for every choice of a setting that is a word: a bar each, the best PSNR on top.

    A bar ends at the median of its jobs, and each job of several is a dot.
    """
    choices = sorted(dict.fromkeys(str(job.x) for job in jobs), key=_best(jobs))
    figure = new_figure(12, max(2.4, 0.21 * len(choices) + 1.2))
    panels = figure.subplots(1, len(METRICS), sharey=True)
    for panel, (metric, title) in zip(panels, METRICS.items(), strict=True):
        for place, choice in enumerate(choices):
            here = [job for job in jobs if str(job.x) == choice]
            known = [value for job in here if (value := job.scores[metric]) is not None]
            if known:
                panel.barh(place, median(known), height=0.7, color=COLOURS[0], alpha=0.75)
                dots = known if len(known) > 1 else []
                panel.plot(dots, [place] * len(dots), ".", color="black", markersize=3)
            elif metric == "psnr_db" and any(job.is_identical for job in here):
                panel.text(0, place, " identical", va="center", fontsize=8)
            untouched = [value for job in here if (value := job.untouched[metric]) is not None]
            if untouched:
                at, ends = median(untouched), (place - 0.5, place + 0.5)
                panel.plot([at, at], ends, color=COLOURS[1], label=UNTOUCHED if place == 0 else UNNAMED)
        panel.set_title(title, fontsize=10)
        panel.grid(alpha=0.25, axis="x")
    name_ticks(panels[0].set_yticks, range(len(choices)), choices)
    panels[0].set_ylim(len(choices) - 0.4, -0.6)
    panels[0].set_ylabel(shortened(key), parse_math=False)
    _legend(figure, panels[0])
    save_sweep_figure(figure, path)


def plot_batch_sizes(
    path: Path, jobs: Sequence[tuple[int, float, float | None]], recommended: int | None
) -> None:
    """Draw frames per second and peak memory against the batch size.

    Args:
        path: the picture.
        jobs: batch size, frames per second and peak memory in bytes of each job that measured them.
        recommended: the batch size that gets a ring.
    """
    figure = new_figure(9, 3.8)
    panels = figure.subplots(1, 2)
    rates = [(float(size), rate) for size, rate, _ in jobs]
    memory = [(float(size), peak / MB) for size, _, peak in jobs if peak is not None]
    for panel, points, title in zip(
        panels, (rates, memory), ("frames per second", "peak memory (MB)"), strict=True
    ):
        sizes = sorted({size for size, _ in points})
        typical = [median(value for at, value in points if at == size) for size in sizes]
        panel.plot(
            sizes, typical, color=COLOURS[0], label="median" if len(points) > len(sizes) else "measured"
        )
        panel.plot(*zip(*points, strict=True) if points else ((), ()), "o", color=COLOURS[0], markersize=4)
        if recommended in sizes:
            best = typical[sizes.index(float(recommended or 0))]
            panel.plot(
                recommended, best, "o", markersize=13, fillstyle="none", color=COLOURS[1], label="recommended"
            )
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("batch size")
        panel.set_ylim(0, 1.12 * max(value for _, value in points) if points else 1)
        panel.grid(alpha=0.25)
        if sizes:
            _scale(panel, sizes)
    _legend(figure, panels[0])
    save_sweep_figure(figure, path)


def _lines(panel: Any, metric: str, jobs: Sequence[Measurement]) -> None:
    """Draw one metric: a line for each choice of the other settings, their median if they are many, the untouched."""
    lines = list(dict.fromkeys(job.others for job in jobs))
    for line, colour in zip(lines, _colours(len(lines)), strict=True):
        label = "changed" if len(lines) == 1 else shortened(line) if len(lines) <= MOST_LINES else UNNAMED
        _line(panel, [(job.x, job.scores[metric]) for job in jobs if job.others == line], colour, label)
    changed = [(job.x, job.scores[metric]) for job in jobs]
    if len(lines) > MOST_LINES:
        _line(panel, changed, "black", "median of all", linewidth=2)
    # A line each: another source or model has other losses of its own.
    for number, line in enumerate(lines):
        untouched = [(job.x, job.untouched[metric]) for job in jobs if job.others == line]
        _line(panel, untouched, COLOURS[1], UNNAMED if number else UNTOUCHED, linestyle="--", marker="")


def _line(
    panel: Any, points: Sequence[tuple[float | str, float | None]], colour: str, label: str, **style: Any
) -> None:
    """Draw a line through the median at each place; a place without a number is a gap."""
    known: dict[float, list[float]] = {float(place): [] for place, _ in points}
    for place, number in points:
        if number is not None:
            known[float(place)].append(number)
    places = sorted(known)
    heights = [median(known[place]) if known[place] else float("nan") for place in places]
    panel.plot(places, heights, color=colour, label=label, **({"marker": ".", "linewidth": 1.2} | style))


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


def _best(jobs: Sequence[Measurement]) -> Callable[[str], float]:
    """Sort choices: identical first, then by PSNR from high to low, then those without one."""

    def key(choice: str) -> float:
        here = [job for job in jobs if str(job.x) == choice]
        known = [value for job in here if (value := job.scores["psnr_db"]) is not None]
        if known:
            return -median(known)
        return float("-inf") if any(job.is_identical for job in here) else float("inf")

    return key


def _legend(figure: Any, panel: Any) -> None:
    """Put the legend of one panel below all of them."""
    handles, labels = panel.get_legend_handles_labels()
    if handles:
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=min(len(handles), 4), frameon=False, fontsize=8
        )
        for text in legend.get_texts():
            text.set_parse_math(False)


def save_sweep_figure(figure: Any, path: Path) -> None:
    """Save a figure; a letter that matplotlib's font lacks is drawn as a box, without a word."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        save_figure(figure, path)


def name_ticks(set_ticks: Callable[..., Any], places: Sequence[int], names: Sequence[str]) -> None:
    """Put words at the ticks as they are; a $ in one begins no formula."""
    set_ticks(places, labels=[shortened(name) for name in names], fontsize=8, parse_math=False)


def shortened(text: str) -> str:
    """Cut the middle out of a text that would push the plot aside."""
    text = " ".join(text.split())
    half = LONGEST_LABEL // 2
    return text if len(text) <= LONGEST_LABEL else f"{text[: half - 1]} … {text[-half + 2 :]}"
