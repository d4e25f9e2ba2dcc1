"""Pictures of an analysis: channels, their correlation, their components, their movement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vae_experiments.writers.plots.run_plots import COLOURS, legend_above, panels_of, plot_curves

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
    path: Path, edges: np.ndarray, densities: np.ndarray, channels: Sequence[Mapping[str, float | None]]
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
    fine = np.linspace(edges[0], edges[-1], 300)
    more = f", the first {shown} of {len(channels)} channels" if shown < len(channels) else ""
    width, height = max(1.8 * columns, 4.5), max(1.5 * rows + 0.5, 2.6)
    with panels_of(path, width, height, rows, columns, sharex=True) as panels:
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
        figure = panels[0].figure
        figure.supxlabel("value, in standard deviations of the latents", fontsize=8)
        figure.suptitle(
            f"densities; dotted: the normal curve of the same mean and deviation{more}", fontsize=8
        )


def plot_correlation(path: Path, matrix: Sequence[Sequence[float | None]]) -> None:
    """Draw the correlation of every two channels ``C C``; grey where a channel never changes."""
    import numpy as np

    values = np.array(matrix, dtype=float)
    side = len(values)
    ticks = range(0, side, 1 if side <= 2 * MOST_WRITTEN else -(-side // 16))
    with panels_of(path, 6.4, 5.4, 1, 1) as (panel,):
        panel.set_facecolor("0.85")
        image = panel.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        for row, column in np.argwhere(np.isfinite(values)) if side <= MOST_WRITTEN else ():
            if row != column:
                value = values[row, column]
                text = f"{round(value, 2) + 0.0:.2f}".replace("0.", ".")  # + 0.0 makes -0.0 positive
                colour = "white" if abs(value) > 0.6 else "black"
                panel.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
        panel.set_xticks(ticks)
        panel.set_yticks(ticks)
        panel.tick_params(labelsize=8)
        panel.set_xlabel("channel")
        panel.set_ylabel("channel")
        panel.figure.colorbar(image, ax=panel, label="correlation over all cells")


def plot_components(path: Path, shares: Mapping[str, Sequence[float]]) -> None:
    """Draw which fraction of the variance each principal component holds, and how the shares add up.

    Args:
        path: the picture.
        shares: by what was decomposed, a panel each; the fractions of one add up to 1.
    """
    with panels_of(path, max(4.6 * len(shares), 5.5), 3.6, 1, max(len(shares), 1)) as panels:
        for panel, (what, values) in zip(panels, shares.items(), strict=False):
            shown = list(values[:MOST_BARS])
            numbers = range(1, len(shown) + 1)
            panel.bar(numbers, shown, color=COLOURS[0], label="each")
            together = [sum(shown[:count]) for count in numbers]
            panel.plot(numbers, together, color=COLOURS[1], marker=".", label="all so far")
            panel.set_ylim(0, 1.04)
            more = f", first {len(shown)} of {len(values)}" if len(shown) < len(values) else ""
            panel.set_xlabel(f"principal component{more}")
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.set_title(what, fontsize=9)
            panel.grid(alpha=0.25)
            panel.set_ylabel("fraction of the variance")
            panel.legend(fontsize=8, loc="center right")


def plot_spectrum(path: Path, spectra: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Draw the mean power of the latents by Hz, ``hz`` and ``power`` of each clip, on a logarithmic axis."""
    curves = {
        name: (spectrum["hz"], [value if value > NOTHING else None for value in spectrum["power"]])
        for name, spectrum in spectra.items()
    }
    with panels_of(path, 8, 3.8, 1, 1) as (panel,):
        plot_curves(panel, curves)
        if any(value for _, power in curves.values() for value in power):
            panel.set_yscale("log")
        else:
            panel.text(0.5, 0.5, "nothing changes over time", transform=panel.transAxes, ha="center")
        panel.set_xlim(left=0)
        panel.set_xlabel("frequency (Hz), up to half the rate of the latents")
        panel.set_ylabel("variance a Hz")
        legend_above(panel)


def plot_distances(path: Path, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> None:
    """Draw distances of latents over time: seconds and standard deviations of each curve."""
    with panels_of(path, 8, 3.8, 1, 1) as (panel,):
        plot_curves(panel, curves)
        panel.set_ylim(bottom=0)
        panel.set_xlabel("seconds")
        panel.set_ylabel("rms, in standard deviations")
        legend_above(panel)


def plot_equivariance(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw how near transformed latents come to transformed frames, a line of three dots a transform.

    Args:
        path: the picture.
        rows: ``transform``, ``plain_db``, ``steered_db`` (None where nothing was fitted) and ``limit_db`` of each.
    """
    with panels_of(path, 8, 0.36 * len(rows) + 1.2, 1, 1) as (panel,):
        places = list(range(len(rows)))
        for place, row in zip(places, rows, strict=True):
            panel.plot([row["plain_db"], row["limit_db"]], [place, place], color="0.8", zorder=1)
        for number, kind in enumerate(("plain", "steered", "limit")):
            values = [row[f"{kind}_db"] for row in rows]
            if None not in values:
                panel.scatter(values, places, color=COLOURS[number], label=kind, zorder=2)
        panel.set_yticks(places, [str(row["transform"]) for row in rows], fontsize=8)
        panel.invert_yaxis()
        panel.set_xlabel("dB of decode(T z) against T(decode z)")
        panel.grid(alpha=0.25, axis="x")
        legend_above(panel)
