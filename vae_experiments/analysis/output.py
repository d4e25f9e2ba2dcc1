"""What an analysis leaves behind, each file whole or absent, analysis.json last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vae_experiments.analysis.settings import Plots
from vae_experiments.analysis.statistics import (
    PrincipalComponents,
    gaussian,
    histograms,
    in_chunks,
    principal_components,
)
from vae_experiments.files import write_csv, write_json
from vae_experiments.writers import open_mp4, write_page
from vae_experiments.writers.plots.analysis_plots import (
    plot_channels,
    plot_components,
    plot_correlation,
    plot_distances,
    plot_equivariance,
    plot_spectrum,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from vae_experiments.analysis.clip_latents import Subject
    from vae_experiments.tensors import Latents, Pixels, Size

FINISHED = "analysis.json"
VIDEO = "pca.mp4"
CAPTIONS = {
    "correlation.png": (
        "How channels hang together",
        "Correlation of every two channels over all cells of all latents: 0 for channels that each say something of their own.",
    ),
    "pca.png": (
        "How many directions there are",
        "Fraction of the variance along each principal component: of the cells in channel space, and of whole latents over time.",
    ),
    "spectrum.png": (
        "How fast latents change",
        "Mean power of all latent values by frequency: the periodogram under a Hann window, without what never changes.",
    ),
    "distances.png": (
        "How far latents move",
        "Root of the mean square of the differences of two latents, in standard deviations: about 1.4 for two that have nothing to do with each other, where each value has a variance of 1.",
    ),
    "equivariance.png": (
        "How latents turn with the picture",
        "decode(T z) against T(decode z) for transforms T: looked up plainly, steered, and the limit of encoding the transformed frames anew; the higher, the nearer.",
    ),
    "channels.png": (
        "How values are spread",
        "Density of the values of each channel; dotted, the normal curve of the same mean and deviation.",
    ),
}
PERCENTILES = (1, 99)
NOTHING = 1e-5
"""A range below this, in standard deviations or as a fraction of the widest component's, is only rounding."""
WRITTEN = (FINISHED, "analysis.csv", "equivariance.csv", "analysis.html", VIDEO, *CAPTIONS)
"""Every name that an analysis writes into its folder, as patterns."""


def write_study(folder: Path, subject: Subject, numbers: Mapping[str, Any], plots: Plots) -> None:
    """Write the files that were asked for; analysis.json, which says that all is there, last.

    Raises:
        WriteError: the folder cannot be written.
    """
    rows = _rows(numbers)
    write_csv(folder / "analysis.csv", list(rows[0]), [list(row.values()) for row in rows])
    plot_correlation(folder / "correlation.png", numbers["correlation"])
    plot_components(folder / "pca.png", _shares(numbers))
    if turned := numbers.get("equivariance"):
        write_csv(folder / "equivariance.csv", list(turned[0]), [list(row.values()) for row in turned])
        plot_equivariance(folder / "equivariance.png", turned)
    if plots is not Plots.none:
        _plot_movement(folder, numbers)
    if plots is Plots.all:
        edges, densities = histograms(subject.latents, numbers["channels"])
        plot_channels(folder / "channels.png", edges, densities, numbers["channels"])
        _paint(folder / VIDEO, subject)
    _write_page(folder, subject, numbers, rows, plots)
    write_json(folder / FINISHED, numbers)


def _rows(numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the table of channels; with a second video, how far its mean is, too."""
    rows = [{"channel": number} | channel for number, channel in enumerate(numbers["channels"])]
    if "second" in numbers:
        for row, moved in zip(rows, numbers["second"]["mean_shifts"], strict=True):
            row["mean_shift"] = moved
    return rows


def _shares(numbers: Mapping[str, Any]) -> dict[str, list[float]]:
    titles = {"cells": "cells, in channel space", "frames": "whole latents, over time"}
    return {titles[name]: found["explained_variance"] or [] for name, found in numbers["pca"].items()}


def _plot_movement(folder: Path, numbers: Mapping[str, Any]) -> None:
    """Draw what happens over time, as far as there are latents enough."""
    second = numbers.get("second", {})
    clips = {numbers["title"]: numbers["spectrum"], "second": second.get("spectrum")}
    if second and second["title"] != numbers["title"]:
        clips[second["title"]] = clips.pop("second")
    spectra = {name: spectrum for name, spectrum in clips.items() if spectrum}
    if spectra:
        plot_spectrum(folder / "spectrum.png", spectra)
    motion = numbers["distances"]
    curves = {
        "from the previous latent": (motion["seconds"], motion["from_previous"]),
        "from the first latent": (motion["seconds"], motion["from_first"]),
    }
    if second:
        curves[f"from the second video, {second['title']}"] = (second["seconds"], second["distances"])
    if any(values for _, values in curves.values()):
        plot_distances(folder / "distances.png", curves)


def _paint(path: Path, subject: Subject) -> None:
    """Write the latents as colours, as large as the source and as long as what each stands for."""
    pixels = component_pictures(subject.latents, principal_components(gaussian(subject.latents)))
    clip, count = subject.clip, len(subject.latents)
    times = [clip.begins(clip.frame(latent)) for latent in range(count + 1)] if clip.begins else ()
    with open_mp4(path, subject.size, subject.fps / clip.time_stride, times=times) as video:
        for picture in enlarged(pixels, subject.clip.stride, subject.size):
            video.write(picture)


def _write_page(
    folder: Path,
    subject: Subject,
    numbers: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    plots: Plots,
) -> None:
    count, channels, height, width = numbers["shape"]
    names = {path.name for path in folder.iterdir() if path.name[0] != "."}
    origin = numbers["provenance"]
    known = [name for name in ("device", "weights_digest", "git_commit") if name in origin]
    frames = f"{numbers['time_stride']} frames" if numbers["time_stride"] > 1 else "1 frame"
    write_page(
        folder / "analysis.html",
        "analysis_report.html",
        title=f"Latents of {numbers['title']}",
        subtitle=f"{count} latents of {channels} x {height} x {width} at {numbers['latent_rate_hz']:g} Hz, "
        f"from frames of {subject.size} at {numbers['fps']:g} fps",
        remarks=numbers["remarks"],
        summary=_summary(numbers),
        video=VIDEO if plots is Plots.all else None,
        pictures={file: caption for file, caption in CAPTIONS.items() if file in names},
        columns=[column.replace("_", " ") for column in rows[0]],
        rows=[list(row.values()) for row in rows],
        facts={
            "a cell stands for": f"{numbers['stride']} x {numbers['stride']} pixels",
            "a latent stands for": frames,
            **{name.replace("_", " "): origin[name] for name in known},
        },
        files=sorted({FINISHED, *names}),
        command=str(origin["command"]),
    )


def _summary(numbers: Mapping[str, Any]) -> dict[str, str]:
    """Pick the numbers that a person reads first."""
    summary, shares = {}, numbers["pca"]["cells"]["explained_variance"]
    if (correlated := numbers["mean_absolute_correlation"]) is not None:
        summary[f"{correlated:.3f}"] = "is the correlation of two channels on average, without its sign"
    if shares:
        first = f"the first {min(3, len(shares))} of {len(shares)} components"
        summary[f"{100 * sum(shares[:3]):.1f} %"] = f"of the variance is in {first}"
    if second := numbers.get("second"):
        cells = f"its cells from those of {second['title']}, in standard deviations"
        summary[f"{second['frechet_distance']:.3f}"] = f"is the Frechet distance of {cells}"
    return summary


def component_pictures(latents: Latents, components: PrincipalComponents) -> Pixels:
    """Paint each cell by its first three principal components: uint8 ``T h w 3``.

    Each component is scaled so that its 1st percentile over the clip is 0 and its 99th is 255. One that
    does not vary, or is not there, is 128 everywhere; latents of one channel become grey.
    """
    import numpy as np
    import torch

    # Without taking off the mean: a shift does not change how scores lie between their percentiles.
    projected = (
        torch.einsum("tchw,kc->thwk", chunk.double(), components.directions[:3])
        for chunk in in_chunks(latents)
    )
    scores = np.concatenate([score.float().numpy() for score in projected])
    low, high = np.percentile(scores, PERCENTILES, axis=(0, 1, 2))
    span = high - low
    varies = span > NOTHING * max(span.max(), 1)
    shares = np.where(varies, (scores - low) / np.where(varies, span, 1), 128 / 255)
    pixels: Pixels = np.rint(shares.clip(0, 1) * 255).astype(np.uint8)
    if pixels.shape[-1] == 1:
        return pixels.repeat(3, axis=-1)
    return np.pad(pixels, ((0, 0), (0, 0), (0, 0), (0, 3 - pixels.shape[-1])), constant_values=128)


def enlarged(pixels: Pixels, stride: int, size: Size) -> Iterator[Pixels]:
    """Make every cell a square of ``stride`` pixels, cut off at the size of the source, a picture at a time."""
    from einops import repeat

    for picture in pixels:
        square = repeat(picture, "h w c -> (h p) (w q) c", p=stride, q=stride)
        yield square[None, : size.height, : size.width]
