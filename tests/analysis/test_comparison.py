"""The distance of two clips against normal distributions for which it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.analysis.clips import mixed, noise
from vae_experiments.analysis.statistics import Gaussian, frechet_distance, gaussian, mean_shifts


def test_a_mean_shift_is_in_standard_deviations_of_both() -> None:
    first, second = mixed(), mixed(40, seed=3) * 2 + 1
    one, other = (latents.transpose(0, 1).flatten(1).double().numpy() for latents in (first, second))
    expected = (other.mean(1) - one.mean(1)) / np.sqrt((one.var(1) + other.var(1)) / 2)
    assert mean_shifts(gaussian(first), gaussian(second)) == pytest.approx(expected.tolist())


def test_a_channel_that_never_changes_is_nowhere_or_at_no_finite_distance() -> None:
    first, second = noise(2, 3, 4, 4), noise(2, 3, 4, 4, seed=1)
    first[:, 0] = second[:, 0] = 0.5
    first[:, 1], second[:, 1] = 0.5, 0.75
    shifts = mean_shifts(gaussian(first), gaussian(second))
    assert shifts[:2] == [0.0, None]
    assert isinstance(shifts[2], float)


def test_between_two_round_distributions_it_is_the_way_between_means_and_between_deviations() -> None:
    apart = torch.tensor([3.0, 4.0, 0.0], dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    first, second = Gaussian(apart * 0, 4 * eye), Gaussian(apart, 25 * eye)
    assert frechet_distance(first, second) == pytest.approx((5**2 + 3 * (5 - 2) ** 2) ** 0.5)


def test_it_is_the_formula_of_dowson_and_landau_with_roots_from_eigenvalues() -> None:
    first, second = gaussian(mixed()), gaussian(mixed(seed=5) * 1.5)
    product = first.covariance.numpy() @ second.covariance.numpy()
    root = np.sqrt(np.linalg.eigvals(product).real).sum()
    traces = float(first.covariance.trace() + second.covariance.trace())
    squared = float((first.mean - second.mean).square().sum()) + traces - 2 * root
    assert frechet_distance(first, second) == pytest.approx(squared**0.5)
    assert frechet_distance(second, first) == pytest.approx(squared**0.5)


def test_a_clip_is_no_distance_from_itself_whatever_its_channels() -> None:
    latents = mixed()
    latents[:, 2] = latents[:, 0]  # a covariance that has no inverse
    latents[:, 3] = 1.0
    assert frechet_distance(gaussian(latents), gaussian(latents.clone())) < 1e-6
    assert mean_shifts(gaussian(latents), gaussian(latents.clone())) == [0.0] * 5
    assert frechet_distance(gaussian(latents), gaussian(latents + 0.01)) > 0.01


def test_one_channel_and_one_cell_have_a_distance_too() -> None:
    first, second = gaussian(torch.full((1, 1, 1, 1), 2.0)), gaussian(torch.full((1, 1, 1, 1), -1.5))
    assert frechet_distance(first, second) == pytest.approx(3.5)
