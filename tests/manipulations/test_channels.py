"""The formulas of the manipulations of channels."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.manipulations.clips import latents_of, through
from vae_experiments.manipulations import (
    ChannelBias,
    ChannelGain,
    ChannelMute,
    ChannelShuffle,
    ClampOutliers,
    Invert,
    Truncation,
)
from vae_experiments.runtime.seeding import normal

NEUTRAL: dict[str, dict[str, Any]] = {
    "channel_gain": {"gain": 1},
    "channel_bias": {"bias": 0},
    "channel_mute": {"strength": 0},
    "channel_shuffle": {"strength": 0},
    "invert": {"strength": 0},
    "clamp_outliers": {"limit": 1_000},
    "truncation": {"psi": 1},
}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "channel_gain": {"gain": -0.5},
    "channel_bias": {"bias": -3.0, "channels": [0]},
    "channel_mute": {"channels": []},
    "channel_shuffle": {"seed": 8},
    "invert": {"channels": [0]},
    "clamp_outliers": {"limit": 0.4, "soft": False},
    "truncation": {"psi": -0.4},
}


def uneven(count: int = 5) -> torch.Tensor:
    """Latents whose channels differ in mean and spread."""
    mean = torch.tensor([0.0, 2.0, -1.0, 0.5]).reshape(1, 4, 1, 1)
    return latents_of((count, 4, 6, 5)) * torch.tensor([1.0, 0.3, 2.0, 1.5]).reshape(1, 4, 1, 1) + mean


def means(latents: torch.Tensor) -> torch.Tensor:
    return torch.stack([latents[:, channel].mean() for channel in range(4)]).reshape(1, 4, 1, 1)


def posterior_std(latents: torch.Tensor) -> torch.Tensor:
    return torch.stack([latents[:, channel].std(correction=0) for channel in range(4)]).reshape(1, 4, 1, 1)


def test_channel_gain_multiplies_spreads_and_keeps_means() -> None:
    latents = uneven()
    changed = through(ChannelGain(gain=2.5), latents)
    assert torch.allclose(changed, means(latents) + 2.5 * (latents - means(latents)), atol=1e-5)
    assert torch.allclose(means(changed), means(latents), atol=1e-5)
    assert torch.allclose(posterior_std(changed), 2.5 * posterior_std(latents), atol=1e-4)


def test_a_gain_that_rises_is_about_the_mean_of_the_whole_clip_in_every_frame() -> None:
    latents = uneven(3)
    changed = through(ChannelGain(gain="ramp(0,2)"), latents)
    mean = means(latents)
    assert torch.allclose(changed[:1], mean.expand(1, 4, 6, 5), atol=1e-5)
    assert torch.allclose(changed[1], latents[1], atol=1e-5)
    assert torch.allclose(changed[2:], 2 * latents[2:] - mean, atol=1e-5)


def test_channel_bias_adds_to_the_channels_that_are_named() -> None:
    latents = uneven()
    changed = through(ChannelBias(bias=-0.75, channels=[1, 2]), latents)
    assert torch.equal(changed[:, [0, 3]], latents[:, [0, 3]])
    assert torch.allclose(changed[:, [1, 2]], latents[:, [1, 2]] - 0.75)


def test_a_muted_channel_is_its_mean_over_the_clip() -> None:
    latents = uneven()
    changed = through(ChannelMute(channels=[1, 3]), latents)
    expected = means(latents).expand_as(latents)
    assert torch.allclose(changed[:, [1, 3]], expected[:, [1, 3]], atol=1e-6)
    assert torch.equal(changed[:, [0, 2]], latents[:, [0, 2]])


def test_the_first_channel_is_muted_if_none_is_named_and_all_by_an_empty_list() -> None:
    latents = uneven()
    assert torch.equal(through(ChannelMute(), latents), through(ChannelMute(channels=[0]), latents))
    expected = means(latents).expand_as(latents)
    assert torch.allclose(through(ChannelMute(channels=[]), latents), expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_a_shuffled_channel_has_the_pattern_of_one_and_the_statistics_of_another(seed: int) -> None:
    latents = uneven()
    changed = through(ChannelShuffle(seed=seed), latents)
    order = normal((4,), seed, "order of channel shuffle").argsort().tolist()
    assert sorted(order) == [0, 1, 2, 3]
    assert torch.allclose(means(changed), means(latents), atol=1e-5)
    assert torch.allclose(posterior_std(changed), posterior_std(latents), atol=1e-5)
    plain = (latents - means(latents)) / posterior_std(latents)
    for place, channel in enumerate(order):
        both = torch.stack([plain[:, channel].flatten(), changed[:, place].flatten()])
        assert float(torch.corrcoef(both)[0, 1]) == pytest.approx(1, abs=1e-5)


def test_other_seeds_shuffle_otherwise() -> None:
    latents = latents_of((2, 16, 3, 3))
    first, second = (through(ChannelShuffle(seed=seed), latents) for seed in (0, 1))
    assert not torch.allclose(first, second)


def test_a_flat_channel_is_flat_in_its_new_place() -> None:
    latents = uneven()
    latents[:, 0] = 0.1
    order = normal((4,), 1, "order of channel shuffle").argsort().tolist()
    place = order.index(0)
    assert place != 0
    changed = through(ChannelShuffle(seed=1), latents)
    assert torch.allclose(changed[:, place], means(latents)[0, place], atol=1e-6)
    assert torch.allclose(changed[:, 0], torch.tensor(0.1), atol=1e-6)


def test_invert_mirrors_each_channel_at_its_mean_and_twice_is_nothing() -> None:
    latents = uneven()
    changed = through(Invert(), latents)
    assert torch.allclose(changed, 2 * means(latents) - latents, atol=1e-5)
    assert torch.allclose(through(Invert(), changed), latents, atol=1e-5)
    half = through(Invert(strength=0.5), latents)
    assert torch.allclose(half, means(latents).expand_as(latents), atol=1e-5)


def test_hard_clamping_cuts_off_at_so_many_deviations_and_leaves_the_rest_bit_for_bit() -> None:
    latents = uneven()
    changed = through(ClampOutliers(limit=1.2, soft=False), latents)
    away = (latents - means(latents)) / posterior_std(latents)
    within = away.abs() < 1.19
    assert torch.equal(changed[within], latents[within])
    reached = ((changed - means(latents)) / posterior_std(latents)).abs()
    assert float(reached.max()) == pytest.approx(1.2, abs=1e-4)
    assert torch.allclose(reached[away.abs() > 1.21], torch.tensor(1.2), atol=1e-4)


def test_soft_clamping_bends_by_a_hyperbolic_tangent() -> None:
    latents = uneven()
    mean, spread = means(latents), posterior_std(latents)
    expected = mean + spread * 0.7 * torch.tanh((latents - mean) / spread / 0.7)
    assert torch.allclose(through(ClampOutliers(limit=0.7), latents), expected, atol=1e-5)


def test_clamping_a_channel_that_never_changes_leaves_it() -> None:
    flat = torch.full((2, 3, 4, 4), 0.1)
    for soft in (True, False):
        assert torch.equal(through(ClampOutliers(limit=0.5, soft=soft), flat), flat)


def test_truncation_is_a_factor_since_the_mean_latent_of_the_model_is_0() -> None:
    latents = uneven()
    assert torch.equal(through(Truncation(psi=0.3), latents), latents * 0.3)
    moving = through(Truncation(psi="ramp(1,0)"), uneven(3))
    assert torch.allclose(moving, uneven(3) * torch.tensor([1, 0.5, 0]).reshape(3, 1, 1, 1))
