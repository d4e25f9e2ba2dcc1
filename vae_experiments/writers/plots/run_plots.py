"""Pictures of numbers: the only door to matplotlib."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vae_experiments.writers.pictures.png import write_png

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch

COLOURS = ("#3b7dd8", "#e0633a", "#4a9d5f")
MOST_CHANNELS = 16


@dataclass(frozen=True)
class LatentPicture:
    """What a picture of latents needs: one frame ``C h w``, and how all values are spread."""

    frame: torch.Tensor
    density: Sequence[float]
    """A histogram from ``-reach`` to ``reach``, in standard deviations, as a density."""
    reach: float


def plot_metrics(path: Path, videos: Mapping[str, Mapping[str, Sequence[float | None]]]) -> None:
    """Draw ``psnr_db``, ``ssim`` and ``flicker`` of each video over its frames; None leaves a gap."""
    figure = new_figure(9, 6.4)
    panels = figure.subplots(3, 1, sharex=True)
    names = {"psnr_db": "PSNR (dB)", "ssim": "SSIM", "flicker": "flicker (levels)"}
    for panel, (name, title) in zip(panels, names.items(), strict=True):
        for (label, frames), colour in zip(videos.items(), COLOURS, strict=False):
            values = frames[name]
            panel.plot(
                [float("nan") if value is None else value for value in values],
                color=colour,
                label=label,
                marker=".",
            )
        panel.set_ylabel(title)
        panel.grid(alpha=0.25)
    panels[-1].set_xlabel("frame")
    panels[0].legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, frameon=False)
    save_figure(figure, path)


def plot_training(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Draw loss, PSNR and rate of a training over its steps; rows need not all have the same numbers."""
    panels = {
        "loss": ("loss", "reconstruction"),
        "PSNR (dB)": ("psnr_db", "held_out_psnr_db", "worst_primary_db"),
        "rate": ("rate",),
    }
    figure = new_figure(9, 7)
    for axes, (title, names) in zip(figure.subplots(3, 1, sharex=True), panels.items(), strict=True):
        for name, colour in zip(names, COLOURS, strict=False):
            points = [(row["step"], row[name]) for row in rows if name in row]
            steps, values = zip(*points, strict=True) if points else ((), ())
            axes.plot(
                steps, values, color=colour, label=name.replace("_", " ").removesuffix(" db"), marker="."
            )
        axes.set_ylabel(title)
        axes.grid(alpha=0.25)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, frameon=False, fontsize=8)
        if title == "loss":
            axes.set_yscale("log")
    axes.set_xlabel("step")
    save_figure(figure, path)


def plot_benchmark(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw frames a second of encoding and decoding, and peak memory, against the batch size."""
    panels = {
        "encoded frames a second": "encode_frames_per_second",
        "decoded frames a second": "decode_frames_per_second",
        "peak memory (MB)": "peak_memory_bytes",
    }
    figure = new_figure(12, 3.8)
    kinds = sorted({(row["size"], row["dtype"], row["compiled"]) for row in rows})
    for axes, (title, number) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for size, dtype, compiled in kinds:
            points = sorted(
                (row["batch_size"], (row[number] or 0) / (2**20 if "MB" in title else 1))
                for row in rows
                if (row["size"], row["dtype"], row["compiled"]) == (size, dtype, compiled)
            )
            label = f"{size}, {dtype}{', compiled' if compiled else ''}"
            axes.plot(*zip(*points, strict=True), marker="o", label=label)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("batch size")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def plot_latents(path: Path, pictures: Mapping[str, LatentPicture]) -> None:
    """Draw the channels of the first frame, untouched and changed, and how all values are spread."""
    import numpy as np

    figure = new_figure(3.6 * (len(pictures) + 1), 3.9)
    panels = figure.subplots(1, len(pictures) + 1, squeeze=False)[0]
    for panel, (name, picture) in zip(panels, pictures.items(), strict=False):
        panel.imshow(
            _mosaic(picture.frame[:MOST_CHANNELS]), cmap="RdBu_r", vmin=-3, vmax=3, interpolation="nearest"
        )
        shown = min(len(picture.frame), MOST_CHANNELS)
        panel.set_title(f"{name}: channels 0 to {shown - 1} of frame 0", fontsize=9)
        panel.set_axis_off()
    for (name, picture), colour in zip(pictures.items(), COLOURS, strict=False):
        edges = np.linspace(-picture.reach, picture.reach, len(picture.density) + 1)
        centres = (edges[1:] + edges[:-1]) / 2
        panels[-1].plot(centres, picture.density, color=colour, label=name)
    panels[-1].plot(
        centres, np.exp(-(centres**2) / 2) / np.sqrt(2 * np.pi), "k:", linewidth=1, label="normal"
    )
    panels[-1].set_title("all values, in standard deviations", fontsize=9)
    panels[-1].set_yticks([])
    panels[-1].legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def _mosaic(channels: torch.Tensor) -> Any:
    """Lay channels ``C h w`` out in a square, with a blank line between them."""
    from einops import rearrange
    from torch.nn.functional import pad

    side = int(len(channels) ** 0.5 + 0.999)
    cells = pad(channels, (0, 1, 0, 1, 0, side**2 - len(channels)), value=float("nan"))
    return rearrange(cells, "(rows columns) h w -> (rows h) (columns w)", columns=side).numpy()


def new_figure(width: float, height: float) -> Any:
    """Open an empty figure of so many inches, off every screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure, whole or not at all."""
    import numpy as np

    figure.canvas.draw()
    write_png(path, np.asarray(figure.canvas.buffer_rgba())[..., :3])
