"""Each number against a formula of its own, in numpy, or against data whose number is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.analysis.clips import mixed, noise, wave
from vae_experiments.analysis.statistics import (
    channel_moments,
    correlation,
    distances,
    explained_variance,
    frame_variances,
    gaussian,
    histograms,
    mean_absolute_correlation,
    power_spectrum,
    principal_components,
)

if TYPE_CHECKING:
    from vae_experiments.tensors import Latents


def columns(latents: Latents) -> np.ndarray:
    """Give the cells as rows of float64, ``T h w`` of them."""
    return latents.movedim(1, -1).reshape(-1, latents.shape[1]).double().numpy()


def test_the_moments_of_a_channel_are_those_of_its_standardised_values() -> None:
    latents = mixed().exp().clamp(max=50)  # skewed
    cells = columns(latents)
    scaled = (cells - cells.mean(0)) / cells.std(0)
    expected = {
        "mean": cells.mean(0),
        "std": cells.std(0),
        "skewness": (scaled**3).mean(0),
        "excess_kurtosis": (scaled**4).mean(0) - 3,
        "min": cells.min(0),
        "max": cells.max(0),
    }
    found = channel_moments(latents)
    for name, values in expected.items():
        assert [row[name] for row in found] == pytest.approx(values.tolist(), rel=1e-9), name


def test_a_normal_channel_has_neither_skewness_nor_excess_kurtosis_and_a_uniform_one_the_latter() -> None:
    latents = noise(40, 2, 32, 32)
    latents[:, 1] = torch.special.ndtr(latents[:, 1])
    normal, uniform = channel_moments(latents)
    assert normal["skewness"] == pytest.approx(0, abs=0.05)
    assert normal["excess_kurtosis"] == pytest.approx(0, abs=0.1)
    assert uniform["excess_kurtosis"] == pytest.approx(-1.2, abs=0.02)


def test_a_channel_that_never_changes_has_no_shape_and_no_correlation() -> None:
    latents = noise(7, 3, 37, 37)
    latents[:, 1] = 0.31  # of so many equal values, sums of squares leave a deviation of 6e-9
    row = channel_moments(latents)[1]
    assert row == {
        "mean": pytest.approx(0.31),
        "std": 0,
        "skewness": None,
        "excess_kurtosis": None,
        "min": pytest.approx(0.31),
        "max": pytest.approx(0.31),
    }
    matrix = correlation(gaussian(latents))
    assert matrix[1] == [None, None, None]
    assert [line[1] for line in matrix] == [None, None, None]
    assert mean_absolute_correlation(matrix) == pytest.approx(abs(matrix[0][2] or 0))


def test_correlation_is_that_of_numpy() -> None:
    latents = mixed()
    expected = np.corrcoef(columns(latents).T)
    matrix = correlation(gaussian(latents))
    assert np.array(matrix) == pytest.approx(expected, abs=1e-12)
    off_diagonal = np.abs(expected)[~np.eye(len(expected), dtype=bool)]
    assert mean_absolute_correlation(matrix) == pytest.approx(off_diagonal.mean())


def test_one_channel_has_nothing_to_hang_together_with() -> None:
    assert correlation(gaussian(noise(2, 1, 3, 3))) == [[pytest.approx(1)]]
    assert mean_absolute_correlation([[1.0]]) is None


def test_mean_and_covariance_are_those_of_numpy_far_from_zero_too() -> None:
    latents = mixed() + 1000
    cells = gaussian(latents)
    assert cells.mean.numpy() == pytest.approx(columns(latents).mean(0), rel=1e-12)
    assert cells.covariance.numpy() == pytest.approx(np.cov(columns(latents).T, bias=True), rel=1e-9)


def test_the_components_of_data_with_known_variances_are_found() -> None:
    rotation = torch.linalg.qr(noise(1, 1, 4, 4)[0, 0].double()).Q
    spread = torch.tensor([0.5, 3.0, 1.0, 2.0])[:, None, None]
    latents = torch.einsum("tchw,dc->tdhw", noise(60, 4, 40, 40) * spread, rotation.float())
    components = principal_components(gaussian(latents))
    assert components.variances.tolist() == pytest.approx([9, 4, 1, 0.25], rel=0.02)
    assert explained_variance(components.variances.tolist()) == pytest.approx(
        [9 / 14.25, 4 / 14.25, 1 / 14.25, 0.25 / 14.25], abs=0.01
    )
    for direction, column in zip(components.directions, (1, 3, 2, 0), strict=True):
        assert abs(float(direction @ rotation[:, column])) == pytest.approx(1, abs=1e-3)
        assert direction[direction.abs().argmax()] > 0


def test_the_components_of_whole_latents_are_those_of_a_singular_value_decomposition() -> None:
    latents = noise(7, 3, 4, 5)
    points = latents.flatten(1).double().numpy()
    expected = np.linalg.svd(points - points.mean(0), compute_uv=False)[:6] ** 2 / 7
    assert frame_variances(latents) == pytest.approx(expected.tolist())


def test_a_still_clip_has_components_of_cells_and_none_over_time() -> None:
    latents = noise(1, 3, 4, 4).expand(6, -1, -1, -1)
    assert explained_variance(principal_components(gaussian(latents)).variances.tolist()) is not None
    assert explained_variance(frame_variances(latents)) is None


def test_no_more_components_over_time_than_values_in_a_latent() -> None:
    assert len(frame_variances(noise(9, 1, 1, 2))) == 2


@pytest.mark.parametrize("count", [24, 25])
@pytest.mark.parametrize("step", [1, 5, 11])
def test_a_wave_peaks_at_its_frequency_with_half_its_squared_amplitude(count: int, step: int) -> None:
    rate = 7.5
    spectrum = power_spectrum(wave(step * rate / count, rate, count, amplitude=3), rate)
    assert spectrum is not None
    hertz, power = np.array(spectrum["hz"]), np.array(spectrum["power"])
    assert hertz[power.argmax()] == pytest.approx(step * rate / count)
    assert hertz == pytest.approx(np.fft.rfftfreq(count, 1 / rate)[1:])
    if 1 < step < 11:  # the window spreads a wave over three frequencies
        assert power.sum() * rate / count == pytest.approx(3**2 / 2, rel=1e-5)


def test_the_spectrum_is_numpys_periodogram_under_a_hann_window() -> None:
    latents = mixed(9)
    values = latents.flatten(1).double().numpy()
    values -= values.mean(0)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(9) / 9)
    squares = np.abs(np.fft.rfft(values * window[:, None], axis=0)) ** 2
    expected = 2 * squares.mean(1) / (4.0 * (window**2).sum())
    spectrum = power_spectrum(latents, 4.0)
    assert spectrum is not None
    assert spectrum["power"] == pytest.approx(expected[1:].tolist())


@pytest.mark.parametrize("count", [0, 1, 2])
def test_so_few_latents_have_no_spectrum(count: int) -> None:
    assert power_spectrum(noise(3, 2, 2, 2)[:count], 8) is None


def test_the_spectrum_of_a_still_clip_is_zero() -> None:
    spectrum = power_spectrum(torch.full((5, 2, 3, 3), 0.1), 8)
    assert spectrum is not None
    assert spectrum["power"] == pytest.approx([0, 0], abs=1e-25)


def test_a_distance_is_the_root_of_the_mean_square_over_all_values() -> None:
    first, second = mixed(70), mixed(70, seed=1)
    expected = ((first - second).double().numpy() ** 2).mean((1, 2, 3)) ** 0.5
    assert distances(first, second) == pytest.approx(expected.tolist())
    assert distances(first, first) == [0.0] * 70
    assert distances(first[:1], first[:1] + 0.25) == pytest.approx([0.25], rel=1e-5)


def test_a_histogram_is_a_density_over_bins_that_all_channels_share() -> None:
    latents = mixed()
    edges, densities = histograms(latents, channel_moments(latents))
    assert densities.shape == (5, len(edges) - 1)
    for values, density in zip(columns(latents).T, densities, strict=True):
        counts, _ = np.histogram(values, edges)
        assert density == pytest.approx(counts / len(values) / np.diff(edges))
    assert (densities * np.diff(edges)).sum(1) == pytest.approx(np.ones(5), abs=0.01)


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_the_histogram_of_constant_latents_is_one_bar_around_the_value(value: float) -> None:
    latents = torch.full((1, 1, 1, 1), value)
    edges, densities = histograms(latents, channel_moments(latents))
    assert (densities > 0).sum() == 1
    assert edges[0] < value < edges[-1]
