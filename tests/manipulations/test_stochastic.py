"""The formulas of the manipulations at random and by coarser numbers."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.manipulations.clips import clip_of, latents_of, through
from vae_experiments.manipulations import (
    Dropout,
    Noise,
    PosteriorTemperature,
    Quantize,
    VariancePreservingNoise,
)
from vae_experiments.manipulations.effects.stochastic import BetaSchedule
from vae_experiments.models import Folder, Posterior
from vae_experiments.pipeline import second_video as companions
from vae_experiments.runtime.seeding import normal, normal_frames
from vae_experiments.sources import MovingCircle

if TYPE_CHECKING:
    from pathlib import Path

    from vae_experiments.runtime.device import DeviceChoice

NEUTRAL: dict[str, dict[str, Any]] = {
    "noise": {"scale": 0.0},
    "variance_preserving_noise": {"strength": 0},
    "dropout": {"share": 0},
    "quantize": {"levels": 1_000_001},
    "posterior_temperature": {"temperature": 0},
}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "noise": {"scale": 0.3, "correlation": 0.4, "follow": 0.7, "channels": [0], "seed": 9},
    "variance_preserving_noise": {
        "timestep": 900,
        "schedule": BetaSchedule.squaredcos_cap_v2,
        "correlation": 0.7,
        "seed": 4,
    },
    "dropout": {"share": 0.7, "steady": True, "cells": True, "seed": 5},
    "quantize": {"levels": 2.5},
    "posterior_temperature": {"temperature": 3.5, "seed": 6},
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


def test_a_second_noise_of_the_same_seed_draws_its_own() -> None:
    latents = latents_of((2, 4, 3, 3))
    first, second = through(Noise(), latents) - latents, through(Noise().named("grain"), latents) - latents
    assert float((first * second).mean().abs()) < 0.3 * float(first.square().mean())


def test_other_seeds_give_other_noise() -> None:
    latents = latents_of((2, 4, 3, 3))
    for kind in (Noise, VariancePreservingNoise, Dropout, PosteriorTemperature):
        assert not torch.equal(through(kind(seed=0), latents), through(kind(seed=1), latents))


def test_a_draw_depends_on_seed_purpose_and_place_only() -> None:
    draw = normal((4, 4), 1, "noise", 7)
    assert torch.equal(draw, normal((4, 4), 1, "noise", 7))
    others = [normal((4, 4), 2, "noise", 7), normal((4, 4), 1, "posterior", 7), normal((4, 4), 1, "noise", 8)]
    assert not any(torch.equal(draw, other) for other in others)


def kept_after(schedule: BetaSchedule, timestep: int) -> float:
    """The product of 1 - beta up to a timestep, from the papers' formulas in float64."""
    steps = torch.arange(1000, dtype=torch.float64)
    if schedule is BetaSchedule.scaled_linear:
        betas = (sqrt(0.00085) + (sqrt(0.012) - sqrt(0.00085)) * steps / 999) ** 2
    elif schedule is BetaSchedule.linear:
        betas = 0.0001 + (0.02 - 0.0001) * steps / 999
    else:
        height = (
            torch.cos((torch.arange(1001, dtype=torch.float64) / 1000 + 0.008) / 1.008 * torch.pi / 2) ** 2
        )
        betas = (1 - height[1:] / height[:-1]).clamp(max=0.999)
    return float((1 - betas).cumprod(0)[timestep])


@pytest.mark.parametrize("schedule", BetaSchedule, ids=str)
@pytest.mark.parametrize("timestep", [0, 250, 999])
def test_variance_preserving_noise_mixes_by_the_roots_of_what_is_kept_and_what_is_not(
    schedule: BetaSchedule, timestep: int
) -> None:
    latents = latents_of((3, 4, 6, 5))
    kept = kept_after(schedule, timestep)
    noise = normal_frames(0, latents.shape, 2, "variance preserving noise")
    noisy = through(VariancePreservingNoise(timestep=timestep, schedule=schedule, seed=2), latents)
    assert torch.allclose(noisy, sqrt(kept) * latents + sqrt(1 - kept) * noise, atol=1e-4)


def test_variance_preserving_noise_keeps_the_variance() -> None:
    latents = latents_of((4, 16, 32, 32))
    for timestep in (100, 500, 900):
        assert float(through(VariancePreservingNoise(timestep=timestep), latents).std()) == pytest.approx(
            1, rel=0.01
        )


def test_variance_preserving_noise_is_correlated_over_time_as_noise_is() -> None:
    noise = through(VariancePreservingNoise(timestep=999, correlation=0.6), torch.zeros(2, 16, 40, 40))
    assert float(torch.corrcoef(noise.flatten(1))[0, 1]) == pytest.approx(0.6, abs=0.02)


def test_a_scheduled_timestep_takes_each_frame_to_its_own() -> None:
    latents = latents_of((5, 4, 3, 3))
    moving = through(VariancePreservingNoise(timestep="ramp(100,500)"), latents)
    for frame, timestep in enumerate((100, 200, 300, 400, 500)):
        still = through(VariancePreservingNoise(timestep=timestep), latents)
        assert torch.equal(moving[frame], still[frame])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_dropout_gives_so_many_values_their_channels_mean_and_leaves_the_others(share: float) -> None:
    latents = latents_of((4, 8, 32, 32)) + 3
    dropped = through(Dropout(share=share), latents)
    means = latents.mean((2, 3), keepdim=True).expand_as(latents)
    lost = dropped != latents
    assert float(lost.float().mean()) == pytest.approx(share, abs=0.01)
    assert torch.allclose(dropped[lost], means[lost], atol=1e-5)
    assert not torch.equal(lost[0], lost[1]), "each frame loses others"
    assert not torch.equal(lost[0, 0], lost[0, 1]), "each channel loses others"


def test_a_dropout_of_everything_leaves_the_means() -> None:
    latents = latents_of((2, 3, 64, 64))
    means = latents.mean((2, 3), keepdim=True).expand_as(latents)
    assert torch.allclose(through(Dropout(share=1), latents), means, atol=1e-6)


def test_steady_dropout_loses_the_same_values_in_every_frame_and_cells_in_every_channel() -> None:
    latents = latents_of((4, 8, 16, 16))
    steady = through(Dropout(share=0.3, steady=True), latents) != latents
    assert all(torch.equal(steady[0], frame) for frame in steady)
    assert not torch.equal(steady[0, 0], steady[0, 1])
    cells = through(Dropout(share=0.3, cells=True), latents) != latents
    assert all(torch.equal(cells[:, 0], cells[:, channel]) for channel in range(8))
    assert not torch.equal(cells[0], cells[1])
    assert float(cells.float().mean()) == pytest.approx(0.3, abs=0.05)


def test_a_growing_dropout_loses_more_of_the_same_places() -> None:
    latents = latents_of((6, 4, 32, 32))
    lost = through(Dropout(share="ramp(0,0.8)", steady=True), latents) != latents
    assert not lost[0].any()
    assert all(bool((after | ~before).all()) for before, after in pairwise(lost))
    assert float(lost[-1].float().mean()) == pytest.approx(0.8, abs=0.03)


def test_quantize_rounds_to_a_grid_with_so_many_levels_from_minus_3_to_3() -> None:
    latents = torch.linspace(-3, 3, 601)[None, None, None]
    rounded = through(Quantize(levels=7), latents)
    assert sorted(set(rounded.flatten().tolist())) == [-3, -2, -1, 0, 1, 2, 3]
    assert torch.equal(rounded, latents.round())


def test_quantize_goes_on_beyond_3_standard_deviations() -> None:
    far = torch.tensor([10.2, -7.9, 3.6])[None, None, None]
    assert through(Quantize(levels=7), far).flatten().tolist() == [10, -8, 4]


@pytest.mark.parametrize("levels", [2, 3.5, 16, 255])
def test_quantize_is_never_off_by_more_than_half_a_step(levels: float) -> None:
    latents = latents_of((3, 4, 16, 16)) * 4
    rounded, step = through(Quantize(levels=levels), latents), 6 / (levels - 1)
    assert float((rounded - latents).abs().max()) <= step / 2 + 1e-5
    assert torch.allclose((rounded / step).round(), rounded / step, atol=1e-4)


def test_posterior_temperature_adds_noise_as_wide_as_the_posterior() -> None:
    latents = latents_of((5, 4, 3, 3))
    clip = clip_of(latents)
    assert clip.posterior_std is not None
    spread = torch.cat(list(clip.posterior_std()))
    expected = latents + 2.5 * spread * normal_frames(0, latents.shape, 4, "posterior")
    changed = through(PosteriorTemperature(temperature=2.5, seed=4), latents, 2)
    assert torch.allclose(changed, expected, atol=1e-6)


def test_a_temperature_of_1_is_the_sample_that_the_model_would_take(
    network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    folder = str(network_folders["AutoencoderKL"])
    frames = latents_of((5, 3, 24, 16)).clamp(-1, 1)
    by_mode = Folder(path=folder).load(cpu)
    by_sample = Folder(path=folder, posterior=Posterior.sample, seed=3).load(cpu)
    (mode,), (sample,) = by_mode.encode([frames]), by_sample.encode([frames])
    assert not torch.allclose(mode, sample, atol=1e-3)
    clip = replace(clip_of(mode), posterior_std=lambda: by_mode.posterior_std(frames.split(2)))
    changed = through(PosteriorTemperature(temperature=1, seed=3), mode, 3, clip)
    assert torch.allclose(changed, sample, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "is_sampled"), [("posterior_temperature", True), ("again", False), ("again", True)]
)
def test_around_a_sample_and_a_second_time_posterior_temperature_draws_anew(
    name: str, is_sampled: bool
) -> None:
    """A draw that is there already is not added to itself: the variances of the two add up."""
    shape = (4, 8, 32, 32)
    first = normal_frames(0, shape, 4, "posterior")
    clip = replace(
        clip_of(first),
        posterior_std=lambda: iter([torch.ones(shape)]),
        is_sampled=is_sampled,
        frames=shape[0],
    )
    added = through(PosteriorTemperature(seed=4).named(name), first, clip=clip) - first
    both = torch.stack([first.flatten(), added.flatten()])
    assert float(torch.corrcoef(both)[0, 1]) == pytest.approx(0, abs=0.02)
    assert float((first + added).std()) == pytest.approx(sqrt(2), rel=0.02)


def test_a_clip_of_a_model_that_samples_says_so(network_folders: dict[str, Path], cpu: DeviceChoice) -> None:
    folder = str(network_folders["AutoencoderKL"])
    for posterior in Posterior:
        autoencoder = Folder(path=folder, posterior=posterior).load(cpu)
        clip = companions.clip_of(MovingCircle(size="32", frames=2), autoencoder, 2)
        assert clip.is_sampled is (posterior is Posterior.sample)


@pytest.mark.parametrize("width", [0.0, 0.5])
def test_a_model_without_a_posterior_changes_nothing_and_says_so_once(
    width: float, caplog: pytest.LogCaptureFixture
) -> None:
    latents = latents_of((6, 4, 3, 3))
    posterior_std = torch.full(latents.shape, width)
    clip = replace(clip_of(latents), posterior_std=lambda: iter(posterior_std.split(2)))
    with caplog.at_level(logging.INFO):
        changed = through(PosteriorTemperature(temperature=4), latents, 1, clip)
    said = [record.getMessage() for record in caplog.records]
    nothing = ["posterior_temperature: this model has no posterior, and nothing changes"]
    assert said == ([] if width else nothing)
    assert torch.equal(changed, latents) is (width == 0)


def test_a_clip_that_is_longer_than_its_posterior_keeps_the_last_width() -> None:
    latents = torch.zeros(7, 2, 3, 3)
    posterior_std = torch.arange(1.0, 5).reshape(4, 1, 1, 1).expand(4, 2, 3, 3)
    clip = replace(clip_of(latents), posterior_std=lambda: iter(posterior_std.split(3)))
    noise = normal_frames(0, latents.shape, 0, "posterior")
    widths = torch.tensor([1.0, 2, 3, 4, 4, 4, 4]).reshape(-1, 1, 1, 1)
    assert torch.equal(through(PosteriorTemperature(), latents, 2, clip), widths * noise)
