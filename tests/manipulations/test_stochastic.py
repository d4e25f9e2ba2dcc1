"""The formulas of the manipulations by chance."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch

from tests.manipulations.clips import latents_of, through
from vae_experiments.manipulations import Noise
from vae_experiments.randomness import normal, normal_frames

NEUTRAL: dict[str, dict[str, Any]] = {"noise": {"scale": 0.0}}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "noise": {"scale": 0.3, "correlation": 0.4, "channels": [0], "seed": 9}
}


def test_noise_is_scale_times_standard_normal() -> None:
    latents = latents_of((3, 4, 6, 5))
    expected = latents + 0.7 * normal_frames(0, latents.shape, 5, "noise")
    assert torch.allclose(through(Noise(scale=0.7, seed=5), latents), expected, atol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 1.0, 2.0])
def test_the_scale_of_noise_is_its_standard_deviation(scale: float) -> None:
    silence = torch.zeros(8, 16, 32, 32)
    noise = through(Noise(scale=scale), silence)
    assert float(noise.std()) == pytest.approx(scale, rel=0.01)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01 * scale)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9, 1.0])
def test_correlation_is_that_between_any_two_frames_and_keeps_the_variance(correlation: float) -> None:
    noise = through(Noise(scale=1, correlation=correlation), torch.zeros(6, 16, 40, 40))
    for first, second in [(0, 1), (1, 5), (2, 3)]:
        both = torch.stack([noise[first].flatten(), noise[second].flatten()])
        assert float(torch.corrcoef(both)[0, 1]) == pytest.approx(correlation, abs=0.02)
    assert float(noise[4].std()) == pytest.approx(1, rel=0.02)


def test_correlated_noise_is_the_root_weighted_sum_of_shared_and_own() -> None:
    noise = through(Noise(scale=1, correlation=0.25, seed=2), torch.zeros(3, 4, 5, 5))
    own, shared = normal_frames(0, (3, 4, 5, 5), 2, "noise"), normal((4, 5, 5), 2, "shared noise")
    assert torch.allclose(noise, sqrt(0.75) * own + 0.5 * shared, atol=1e-6)


def test_noise_leaves_the_channels_alone_that_are_not_named() -> None:
    latents = latents_of((3, 4, 6, 5))
    changed = through(Noise(scale=1, channels=[1, 3]), latents)
    assert torch.equal(changed[:, [0, 2]], latents[:, [0, 2]])
    assert torch.equal(changed[:, [1, 3]], through(Noise(scale=1), latents)[:, [1, 3]])


def test_other_seeds_give_other_noise() -> None:
    latents = latents_of((2, 4, 3, 3))
    assert not torch.equal(through(Noise(seed=0), latents), through(Noise(seed=1), latents))


def test_a_draw_depends_on_seed_purpose_and_place_only() -> None:
    draw = normal((4, 4), 1, "noise", 7)
    assert torch.equal(draw, normal((4, 4), 1, "noise", 7))
    others = [normal((4, 4), 2, "noise", 7), normal((4, 4), 1, "posterior", 7), normal((4, 4), 1, "noise", 8)]
    assert not any(torch.equal(draw, other) for other in others)
