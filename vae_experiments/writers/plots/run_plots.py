"""Pictures of numbers: the only door to matplotlib, and the pictures of a run, a training and a benchmark."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vae_experiments.metrics import METRICS
from vae_experiments.writers.pictures.png import write_png

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import torch

    from vae_experiments.metrics import Metric

COLOURS = ("#3b7dd8", "#e0633a", "#4a9d5f")
MOST_CHANNELS = 16


@contextlib.contextmanager
def panels_of(
    path: Path, width: float, height: float, rows: int, columns: int, **shared: Any
) -> Iterator[Any]:
    """Lend the panels of an empty figure of so many inches, row by row; it is written when the block ends, whole.

    A letter that matplotlib's font lacks is drawn as a box, without a word, and a name with a $ as it is written.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    figure: Any = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    yield figure.subplots(rows, columns, squeeze=False, **shared).ravel()
    for text in figure.findobj(Text):
        # Labels of a logarithmic axis are formulas, which matplotlib writes itself.
        text.set_parse_math("$" not in text.get_text() or "mathdefault" in text.get_text())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.canvas.draw()
    write_png(path, np.asarray(figure.canvas.buffer_rgba())[..., :3])


def metrics_in(scores: Iterable[Mapping[str, object]]) -> list[Metric]:
    """Return the metrics that any of the scores has, by their keys, in the order of their table."""
    keys = {key for each in scores for key in each}
    return [metric for metric in METRICS.values() if metric.key in keys]


def plot_curves(panel: Any, curves: Mapping[str, tuple[Sequence[float], Sequence[float | None]]]) -> None:
    """Draw places and values of each curve in a colour of its own; None leaves a gap."""
    for (label, (places, values)), colour in zip(curves.items(), COLOURS, strict=False):
        panel.plot(places, values, color=colour, label=label, marker=".")
    panel.grid(alpha=0.25)


def legend_above(panel: Any, size: float | None = 8) -> None:
    """Put the legend of a panel above it."""
    panel.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, frameon=False, fontsize=size)


@dataclass(frozen=True)
class LatentPicture:
    """What a picture of latents needs: one frame ``C h w``, and how all values are spread."""

    frame: torch.Tensor
    density: Sequence[float]
    """A histogram from ``-reach`` to ``reach``, in standard deviations, as a density."""
    reach: float


def plot_metrics(path: Path, videos: Mapping[str, Mapping[str, Sequence[float | None]]]) -> None:
    """Draw every metric of each video, by its key, over the frames; None leaves a gap."""
    drawn = metrics_in(videos.values())
    with panels_of(path, 9, 2.1 * len(drawn) + 0.1, len(drawn), 1, sharex=True) as panels:
        for panel, metric in zip(panels, drawn, strict=True):
            curves = {label: numbers[metric.key] for label, numbers in videos.items()}
            plot_curves(panel, {label: (range(len(curve)), curve) for label, curve in curves.items()})
            panel.set_ylabel(metric.label)
        panels[-1].set_xlabel("frame")
        legend_above(panels[0], size=None)


def plot_settings(
    path: Path,
    begins: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    bands: Mapping[str, Sequence[float]],
) -> None:
    """Draw each setting over the seconds in a panel of its own, and under them the bands of the sound."""
    rows = {name: {name: curve} for name, curve in curves.items()} | ({"sound": bands} if bands else {})
    with panels_of(path, 9, 1.7 * len(rows) + 0.5, len(rows), 1, sharex=True) as panels:
        for panel, (title, lines) in zip(panels, rows.items(), strict=True):
            for place, (label, values) in enumerate(lines.items()):
                # A value is that of its frame until the next one begins.
                lasts = begins[-1] - begins[-2] if len(begins) > 1 else 1.0
                panel.step(
                    [*begins, begins[-1] + lasts],
                    [*values, values[-1]],
                    where="post",
                    color=COLOURS[place % len(COLOURS)],
                    label=label,
                    linewidth=1.2,
                )
            panel.set_ylabel(title.replace(".", "\n", 1), fontsize=8)
            panel.grid(alpha=0.25)
            if len(lines) > 1:
                legend_above(panel)
        panels[-1].set_xlabel("seconds")


def plot_training(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Draw loss, PSNR and rate of a training over its steps; rows need not all have the same numbers."""
    drawn = {
        "loss": ("loss", "reconstruction"),
        "PSNR (dB)": ("psnr_db", "held_out_psnr_db", "worst_primary_db"),
        "rate": ("rate",),
    }
    with panels_of(path, 9, 7, 3, 1, sharex=True) as panels:
        for panel, (title, names) in zip(panels, drawn.items(), strict=True):
            curves = {}
            for name in names:
                known = [row for row in rows if name in row]
                label = name.replace("_", " ").removesuffix(" db")
                curves[label] = [row["step"] for row in known], [row[name] for row in known]
            plot_curves(panel, curves)
            panel.set_ylabel(title)
            legend_above(panel)
        panels[0].set_yscale("log")
        panels[-1].set_xlabel("step")


def plot_benchmark(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw frames a second of encoding and decoding, and peak memory, against the batch size."""
    drawn = {
        "encoded frames a second": ("encode_frames_per_second", 1),
        "decoded frames a second": ("decode_frames_per_second", 1),
        "peak memory (MB)": ("peak_memory_bytes", 10**6),
    }
    kinds = sorted({(row["size"], row["dtype"], row["compiled"]) for row in rows})
    with panels_of(path, 12, 3.8, 1, 3) as panels:
        for panel, (title, (number, unit)) in zip(panels, drawn.items(), strict=True):
            for size, dtype, compiled in kinds:
                here = [
                    row
                    for row in rows
                    if (row["size"], row["dtype"], row["compiled"]) == (size, dtype, compiled)
                ]
                points = sorted((row["batch_size"], (row[number] or 0) / unit) for row in here)
                label = f"{size}, {dtype}{', compiled' if compiled else ''}"
                panel.plot(*zip(*points, strict=True), marker="o", label=label)
            panel.set_title(title, fontsize=10)
            panel.set_xlabel("batch size")
            panel.set_ylim(bottom=0)
            panel.grid(alpha=0.25)
        panels[-1].legend(frameon=False, fontsize=8)


def plot_latents(path: Path, pictures: Mapping[str, LatentPicture]) -> None:
    """Draw the channels of the first frame, untouched and changed, and how all values are spread."""
    import numpy as np

    columns = len(pictures) + 1
    with panels_of(path, 3.6 * columns, 3.9, 1, columns) as (*panels, spread):
        for panel, colour, (name, picture) in zip(panels, COLOURS, pictures.items(), strict=False):
            channels = picture.frame[:MOST_CHANNELS]
            panel.imshow(_mosaic(channels), cmap="RdBu_r", vmin=-3, vmax=3, interpolation="nearest")
            panel.set_title(f"{name}: channels 0 to {len(channels) - 1} of frame 0", fontsize=9)
            panel.set_axis_off()
            edges = np.linspace(-picture.reach, picture.reach, len(picture.density) + 1)
            centres = (edges[1:] + edges[:-1]) / 2
            spread.plot(centres, picture.density, color=colour, label=name)
        normal = np.exp(-(centres**2) / 2) / np.sqrt(2 * np.pi)
        spread.plot(centres, normal, "k:", linewidth=1, label="normal")
        spread.set_title("all values, in standard deviations", fontsize=9)
        spread.set_yticks([])
        spread.legend(frameon=False, fontsize=8)


def _mosaic(channels: torch.Tensor) -> Any:
    """Lay channels ``C h w`` out in a square, with a blank line between them."""
    from einops import rearrange
    from torch.nn.functional import pad

    side = int(len(channels) ** 0.5 + 0.999)
    cells = pad(channels, (0, 1, 0, 1, 0, side**2 - len(channels)), value=float("nan"))
    return rearrange(cells, "(rows columns) h w -> (rows h) (columns w)", columns=side).numpy()
