"""The heat maps of a sweep over two settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vae_experiments.writers.plots.run_plots import new_figure
from vae_experiments.writers.plots.sweep_plots import METRICS, name_ticks, save_sweep_figure, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vae_experiments.writers.plots.sweep_plots import Measurement

WIDEST_ROW = 26
"""Inches that three maps beside each other may take; wider ones stand below each other."""


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
    width, height = max(3.4, 0.56 * len(columns) + 1.7), max(2.4, 0.32 * len(rows) + 1.5)
    is_wide = 3 * width > WIDEST_ROW
    figure = new_figure(width if is_wide else 3 * width, 3 * height if is_wide else height)
    panels = figure.subplots(3 if is_wide else 1, 1 if is_wide else 3, squeeze=False).ravel()
    for panel, (metric, title) in zip(panels, METRICS.items(), strict=True):
        _fill(panel, metric, columns, rows, cells)
        panel.set_title(title, fontsize=10)
        name_ticks(panel.set_xticks, range(len(columns)), columns)
        name_ticks(panel.set_yticks, range(len(rows)), rows)
        if max(map(len, columns)) > 5:
            panel.tick_params(axis="x", rotation=60)
        panel.set_xlabel(shortened(across[0]), parse_math=False)
        panel.set_ylabel(shortened(down[0]), parse_math=False)
    save_sweep_figure(figure, path)


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
        number = None if cell is None else cell.scores[metric]
        values[row, column] = np.nan if number is None else number
        if number is None and cell is not None and cell.is_identical and metric == "psnr_db":
            panel.text(column, row, "same", ha="center", va="center", fontsize=7)
    panel.set_facecolor("0.93")
    panel.imshow(values, cmap="viridis", aspect="auto", interpolation="nearest")
    if not np.isfinite(values).any():
        return
    low, high = np.nanmin(values), np.nanmax(values)
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        is_light = high > low and (value - low) / (high - low) > 0.6
        text = f"{value:.3f}" if metric == "ssim" else f"{value:.3g}"
        panel.text(
            column, row, text, ha="center", va="center", fontsize=7, color="black" if is_light else "white"
        )
