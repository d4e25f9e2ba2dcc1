"""Latents to numbers: each function is one formula, in float64, and knows nothing of files.

Latents are ``T C h w``, float32, in standard deviations of the model. A cell is one place of one latent:
a vector of C values. Sums run over a few latents at a time, so that float64 never doubles the clip; the
variances divide by the count, not by the count less one. None stands for what is not defined, such as
the correlation of a channel that never changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.metrics import LatentStatistics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from vae_experiments.tensors import Latents

LATENTS_AT_ONCE = 64
MOMENTS = ("mean", "std", "skewness", "excess_kurtosis", "min", "max")
FEWEST_BINS, BINS, REACH = 8, 60, 4.0


def channel_moments(latents: Latents) -> list[dict[str, float | None]]:
    """Describe the distribution of each channel by ``MOMENTS``, a row a channel.

    With z = (x - mean) / std: skewness ``E[z^3]`` and excess kurtosis ``E[z^4] - 3`` (Pearson's moment
    coefficients), both 0 for a normal distribution and None for a channel that never changes.
    """
    import torch

    statistics = LatentStatistics()
    for chunk in in_chunks(latents):
        statistics.update(chunk)
    summary = statistics.summary()
    means, stds = summary["channel_means"], summary["channel_stds"]
    mean, std = torch.tensor(means, dtype=torch.float64), torch.tensor(stds, dtype=torch.float64)
    low, high = latents.amin((0, 2, 3)), latents.amax((0, 2, 3))
    constant = low == high
    # Of standardised values the third and the fourth power; of a constant channel nobody reads them.
    third, fourth = torch.zeros_like(mean), torch.zeros_like(mean)
    for centred in _centred_cells(latents, mean):
        scaled = centred / std.where(~constant, std.new_ones(()))[:, None]
        third += scaled.pow(3).sum(1)
        fourth += scaled.pow(4).sum(1)
    count = latents[:, 0].numel()
    third, fourth = third / count, fourth / count
    columns = (mean, std.where(~constant, std.new_zeros(())), third, fourth - 3, low, high)
    rows = zip(constant.tolist(), *(column.tolist() for column in columns), strict=True)
    return [
        {
            name: None if is_constant and name in ("skewness", "excess_kurtosis") else value
            for name, value in zip(MOMENTS, row, strict=True)
        }
        for is_constant, *row in rows
    ]


def in_chunks(latents: Latents) -> Iterator[Latents]:
    """Cut latents into a few at a time, which is as many as float64 copies are made of."""
    return (latents[at : at + LATENTS_AT_ONCE] for at in range(0, len(latents), LATENTS_AT_ONCE))


def histograms(latents: Latents, channels: Sequence[dict[str, float | None]]) -> tuple[Any, Any]:
    """Return the density of each channel's values over common bins: edges ``B + 1``, densities ``C B``.

    The bins reach four standard deviations beyond the means, or to the last value where that is nearer;
    there are about as many as the square root of the number of values, and at most 60.
    """
    import numpy as np

    ends = np.array([[row[name] or 0.0 for name in ("mean", "std", "min", "max")] for row in channels])
    mean, std, lowest, highest = ends.T
    low = max((mean - REACH * std).min(), lowest.min())
    high = min((mean + REACH * std).max(), highest.max())
    if low == high:
        low, high = low - 1, high + 1
    bins = min(BINS, max(FEWEST_BINS, round(latents[:, 0].numel() ** 0.5)))
    edges = np.linspace(low, high, bins + 1)
    counts = np.stack([np.histogram(values, edges)[0] for values in latents.transpose(0, 1).numpy()])
    return edges, counts / (latents[:, 0].numel() * (edges[1] - edges[0]))


class Gaussian(NamedTuple):
    """The normal distribution that a clip's cells would have in channel space."""

    mean: Tensor
    """``C``, float64."""
    covariance: Tensor
    """``C C``, float64."""


def gaussian(latents: Latents) -> Gaussian:
    """Fit a normal distribution to all cells of a clip: their mean and covariance in channel space."""
    count, channels = latents[:, 0].numel(), latents.shape[1]
    mean = latents.new_zeros(channels).double()
    for chunk in in_chunks(latents):
        mean += chunk.double().sum((0, 2, 3))
    mean /= count
    covariance = mean.new_zeros(channels, channels)
    for centred in _centred_cells(latents, mean):
        covariance += centred @ centred.T
    return Gaussian(mean, covariance / count)


def _centred_cells(latents: Latents, mean: Tensor) -> Iterator[Tensor]:
    """Yield the cells as columns ``C n`` in float64, less the mean of each channel."""
    from einops import rearrange

    for chunk in in_chunks(latents):
        yield rearrange(chunk, "t c h w -> c (t h w)").double() - mean[:, None]


def correlation(cells: Gaussian) -> list[list[float | None]]:
    """Return Pearson's correlation of every pair of channels over all cells, ``C C``.

    ``cov(a, b) / (std(a) std(b))``; None where one of the two never changes.
    """
    std = cells.covariance.diagonal().sqrt()
    matrix = (cells.covariance / (std[:, None] * std[None, :])).clamp(-1, 1)
    return [[None if value != value else value for value in row] for row in matrix.tolist()]


def mean_absolute_correlation(matrix: Sequence[Sequence[float | None]]) -> float | None:
    """Average the size of the correlations between different channels; None where there are none."""
    values = [abs(value) for row, line in enumerate(matrix) for value in line[row + 1 :] if value is not None]
    return sum(values) / len(values) if values else None


class PrincipalComponents(NamedTuple):
    """Principal components of the cells, the widest first."""

    variances: Tensor
    """``C``: the variance along each component."""
    directions: Tensor
    """``C C``: a row a component, of length 1; its largest entry is positive, so that no sign is at random."""


def principal_components(cells: Gaussian) -> PrincipalComponents:
    """Find the directions of channel space along which cells vary most (PCA, Pearson 1901).

    The eigenvectors of the covariance; the variances are its eigenvalues.
    """
    import torch

    variances, columns = torch.linalg.eigh(cells.covariance)
    directions = columns.T.flip(0)
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return PrincipalComponents(variances.flip(0).clamp(min=0), directions * largest.sign())


def frame_variances(latents: Latents) -> list[float]:
    """Return the variances along the principal components of whole latents, each one point of C h w numbers.

    They are the eigenvalues of the T x T matrix of inner products, divided by T (the snapshot method,
    Sirovich 1987): at most ``T - 1`` of them are not 0. The cost grows with the cube of T.
    """
    import torch

    count = len(latents)
    products = torch.zeros(count, count, dtype=torch.float64)
    for channel in latents.unbind(1):
        values = channel.flatten(1).double()
        values -= values.mean(0)
        products += values @ values.T
    variances: list[float] = torch.linalg.eigvalsh(products / count).flip(0).clamp(min=0).tolist()
    return variances[: min(count - 1, latents[0].numel())]


def explained_variance(variances: Sequence[float]) -> list[float] | None:
    """Return the fraction of each component in the sum of all variances; None where nothing varies."""
    total = sum(variances)
    return [variance / total for variance in variances] if total > 0 else None


def power_spectrum(latents: Latents, rate_hz: float) -> dict[str, list[float]] | None:
    """Return at which frequencies latents change: the mean over all values of their power by Hz.

    The periodogram of each value over time, less its mean and under a Hann window w, which keeps slow
    change out of the high frequencies (Welch 1967): ``2 |X_k|^2 / (rate sum w^2)``. Unit: variance a Hz;
    the area below it is about the variance over time. None for fewer than 3 latents.

    Args:
        latents: evenly spaced in time.
        rate_hz: how many of them there are in a second.
    """
    import torch

    count = len(latents)
    if count < 3:
        return None
    window = torch.hann_window(count, periodic=True, dtype=torch.float64)
    power = torch.zeros(count // 2 + 1, dtype=torch.float64)
    for channel in latents.unbind(1):
        values = channel.flatten(1).double()
        values -= values.mean(0)
        power += torch.fft.rfft(values * window[:, None], dim=0).abs().square().sum(1)
    power *= 2 / (rate_hz * float(window.square().sum()) * latents[0].numel())
    # What the window leaves of the mean, at 0 Hz, says nothing.
    return {"hz": [k * rate_hz / count for k in range(1, len(power))], "power": power[1:].tolist()}


def distances(first: Latents, second: Latents) -> list[float]:
    """Return the distance of each pair of latents: the root of the mean square of all their differences."""
    found: list[float] = []
    for one, other in zip(in_chunks(first), in_chunks(second), strict=True):
        found += (one.double() - other.double()).square().flatten(1).mean(1).sqrt().tolist()
    return found


def mean_shifts(first: Gaussian, second: Gaussian) -> list[float | None]:
    """Return how far each channel's mean lies from the first clip's in the second, in standard deviations.

    Cohen's d (1988), of the second less the first: ``(m2 - m1) / sqrt((v1 + v2) / 2)``. None where the
    channel never changes in either clip and yet has another mean.
    """
    apart = (second.mean - first.mean).tolist()
    spread = ((first.covariance.diagonal() + second.covariance.diagonal()) / 2).sqrt().tolist()
    return [
        0.0 if difference == 0 else difference / width if width > 0 else None
        for difference, width in zip(apart, spread, strict=True)
    ]


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """Return the Frechet distance of two normal distributions, in standard deviations of the latents.

    ``d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`` (Dowson and Landau 1982); the FID is such a
    ``d^2``, of other features. The trace is found as ``min over rotations Q of |C1^(1/2) - C2^(1/2) Q|^2``
    (Bhatia, Jain and Lim 2019), which has no difference of large numbers in it: two equal clips are
    0 apart but for rounding.
    """
    import torch

    root_first, root_second = _root(first.covariance), _root(second.covariance)
    left, _, right = torch.linalg.svd(root_second @ root_first)
    shapes = (root_first - root_second @ left @ right).square().sum()
    return float(((first.mean - second.mean).square().sum() + shapes).sqrt())


def _root(covariance: Tensor) -> Tensor:
    """Return the symmetric matrix whose square is the covariance."""
    import torch

    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
