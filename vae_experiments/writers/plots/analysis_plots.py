"""Pictures of an analysis: channels, their correlation, their components, their movement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vae_experiments.writers.plots.run_plots import COLOURS, new_figure, save_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np

MOST_PANELS = 64
MOST_WRITTEN = 16
"""As many channels can have their correlations written into the matrix and stay readable."""
MOST_BARS = 32
NOTHING = 1e-12
"""Power below this is rounding, and would stretch a logarithmic axis over nothing."""


def plot_channels(
    path: Path,
    edges: np.ndarray,
    densities: np.ndarray,
    channels: Sequence[Mapping[str, float | None]],
) -> None:
    """Draw the histogram of each channel, and the normal curve of the same mean and deviation.

    Args:
        path: the picture.
        edges: of the bins, ``B + 1``.
        densities: a row a channel, ``C B``.
        channels: ``mean`` and ``std`` of each.
    """
    import numpy as np

    shown = min(len(channels), MOST_PANELS)
    columns = min(8, int(np.ceil(np.sqrt(shown))))
    rows = -(-shown // columns)
    figure = new_figure(max(1.8 * columns, 4.5), max(1.5 * rows + 0.5, 2.6))
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    fine = np.linspace(edges[0], edges[-1], 300)
    for number, (panel, density, channel) in enumerate(zip(panels, densities, channels, strict=False)):
        mean, std = channel["mean"] or 0.0, channel["std"] or 0.0
        panel.stairs(density, edges, fill=True, color=COLOURS[0], alpha=0.5)
        if std > 0:
            curve = np.exp(-(((fine - mean) / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))
            panel.plot(fine, curve, color="black", linewidth=0.8, linestyle=":")
        panel.set_title(f"channel {number}", fontsize=8, pad=2)
        panel.set_yticks([])
        panel.tick_params(labelsize=7)
    for panel in panels[shown:]:
        panel.set_axis_off()
    more = f", the first {shown} of {len(channels)} channels" if shown < len(channels) else ""
    figure.supxlabel("value, in standard deviations of the latents", fontsize=8)
    figure.suptitle(f"densities; dotted: the normal curve of the same mean and deviation{more}", fontsize=8)
    save_figure(figure, path)


def plot_correlation(path: Path, matrix: Sequence[Sequence[float | None]]) -> None:
    """Draw the correlation of every two channels ``C C``; grey where a channel never changes."""
    import numpy as np

    values = np.array(matrix, dtype=float)
    side = len(values)
    figure = new_figure(6.4, 5.4)
    panel = figure.subplots()
    panel.set_facecolor("0.85")
    image = panel.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    for row, column in np.ndindex(values.shape) if side <= MOST_WRITTEN else ():
        value = values[row, column]
        if row != column and np.isfinite(value):
            text = f"{round(value, 2) + 0.0:.2f}".replace("0.", ".")  # + 0.0 makes -0.0 positive
            panel.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=6.5,
                color="white" if abs(value) > 0.6 else "black",
            )
    step = 1 if side <= 2 * MOST_WRITTEN else -(-side // 16)
    panel.set_xticks(range(0, side, step))
    panel.set_yticks(range(0, side, step))
    panel.tick_params(labelsize=8)
    panel.set_xlabel("channel")
    panel.set_ylabel("channel")
    figure.colorbar(image, ax=panel, label="correlation over all cells")
    save_figure(figure, path)


def plot_components(path: Path, shares: Mapping[str, Sequence[float]]) -> None:
    """Draw which fraction of the variance each principal component holds, and how the shares add up.

    Args:
        path: the picture.
        shares: by what was decomposed, a panel each; the fractions of one add up to 1.
    """
    figure = new_figure(max(4.6 * len(shares), 5.5), 3.6)
    for panel, (what, values) in zip(
        figure.subplots(1, max(len(shares), 1), squeeze=False)[0], shares.items(), strict=False
    ):
        shown = list(values[:MOST_BARS])
        numbers = range(1, len(shown) + 1)
        together = [sum(shown[:count]) for count in numbers]
        panel.bar(numbers, shown, color=COLOURS[0], label="each")
        panel.plot(numbers, together, color=COLOURS[1], marker=".", label="all so far")
        panel.set_ylim(0, 1.04)
        more = f", first {len(shown)} of {len(values)}" if len(shown) < len(values) else ""
        panel.set_xlabel(f"principal component{more}")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.set_title(what, fontsize=9)
        panel.grid(alpha=0.25)
        panel.set_ylabel("fraction of the variance")
        panel.legend(fontsize=8, loc="center right")
    save_figure(figure, path)


def plot_spectrum(path: Path, spectra: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Draw the mean power of the latents by Hz, ``hz`` and ``power`` of each clip, on a logarithmic axis."""
    figure = new_figure(8, 3.8)
    panel = figure.subplots()
    for (name, spectrum), colour in zip(spectra.items(), COLOURS, strict=False):
        power = [value if value > NOTHING else float("nan") for value in spectrum["power"]]
        panel.plot(spectrum["hz"], power, color=colour, marker=".", label=name)
    if any(value > NOTHING for spectrum in spectra.values() for value in spectrum["power"]):
        panel.set_yscale("log")
    else:
        panel.text(0.5, 0.5, "nothing changes over time", transform=panel.transAxes, ha="center")
    panel.set_xlim(left=0)
    panel.set_xlabel("frequency (Hz), up to half the rate of the latents")
    panel.set_ylabel("variance a Hz")
    _finish(figure, panel, path)


def plot_distances(path: Path, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    """Draw distances of latents over time: seconds and standard deviations of each curve."""
    figure = new_figure(8, 3.8)
    panel = figure.subplots()
    for (name, (seconds, values)), colour in zip(curves.items(), COLOURS, strict=False):
        panel.plot(seconds, values, color=colour, marker=".", label=name)
    panel.set_ylim(bottom=0)
    panel.set_xlabel("seconds")
    panel.set_ylabel("rms, in standard deviations")
    _finish(figure, panel, path)


def _finish(figure: Any, panel: Any, path: Path) -> None:
    panel.grid(alpha=0.25)
    panel.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, frameon=False, fontsize=8)
    save_figure(figure, path)
