"""The formulas of the manipulations of frequencies."""

from __future__ import annotations

from itertools import product
from math import cos, pi
from typing import Any

import numpy as np
import pytest
import torch

from tests.manipulations.clips import clip_of, latents_of, second, through
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import FrequencyFilter, PhaseSwap
from vae_experiments.manipulations.effects.frequency import Over

NEUTRAL: dict[str, dict[str, Any]] = {
    "frequency_filter": {"low": 0, "high": 1},
    "phase_swap": {"strength": 0},
}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "frequency_filter": {"low": 0.2, "high": 0.7, "over": Over.both},
    "phase_swap": {"path": "plasma"},
}
SHAPE = (5, 2, 6, 7)
AXES = {Over.space: (2, 3), Over.time: (0,), Over.both: (0, 2, 3)}


def gain(distance: float, low: float, high: float) -> float:
    """Butterworth of order 4: what is left of a frequency in fractions of Nyquist."""
    kept = 1.0 if high == 1 else 1 / (1 + (distance / high) ** 8)
    return kept * (1.0 if low == 0 else 1 - 1 / (1 + (distance / low) ** 8))


def cosine(shape: tuple[int, ...], axis: int, number: int) -> torch.Tensor:
    """A wave of ``number / side`` of the Nyquist frequency, level at both borders, as a mirror wants it."""
    side = shape[axis]
    wave = torch.tensor([cos(pi * number * (place + 0.5) / side) for place in range(side)])
    form = [1] * len(shape)
    form[axis] = side
    return wave.reshape(form).expand(shape)


@pytest.mark.parametrize("over", Over, ids=str)
@pytest.mark.parametrize(("low", "high"), [(0, 0.3), (0.4, 1), (0.2, 0.6)])
def test_the_filter_scales_every_wave_by_its_butterworth_gain(over: Over, low: float, high: float) -> None:
    manipulation = FrequencyFilter(low=low, high=high, over=over)
    for numbers in product(range(3), repeat=len(AXES[over])):
        wave, squared = torch.ones(SHAPE), 0.0
        for axis, number in zip(AXES[over], numbers, strict=True):
            wave = wave * cosine(SHAPE, axis, number)
            squared += (number / SHAPE[axis]) ** 2
        expected = wave * (gain(squared**0.5, low, high) if any(numbers) else 1)
        assert torch.allclose(through(manipulation, wave), expected, atol=1e-5), numbers


def test_over_space_it_is_the_fourier_transform_of_the_mirrored_frame() -> None:
    latents = latents_of((1, 1, 4, 5))
    frame = latents[0, 0].double().numpy()
    mirrored = np.block([[frame, frame[:, ::-1]], [frame[::-1], frame[::-1, ::-1]]])
    down, across = np.meshgrid(np.fft.fftfreq(8) * 2, np.fft.fftfreq(10) * 2, indexing="ij")
    kept = 1 / (1 + ((down**2 + across**2) / 0.3**2) ** 4)
    expected = np.fft.ifft2(np.fft.fft2(mirrored) * kept).real[:4, :5]
    changed = through(FrequencyFilter(high=0.3), latents)[0, 0]
    assert np.allclose(changed.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("over", Over, ids=str)
def test_the_mean_over_what_is_filtered_always_stays(over: Over) -> None:
    latents = latents_of(SHAPE) + 3
    high_pass = through(FrequencyFilter(low=0.9, high=1, over=over), latents)
    assert torch.allclose(high_pass.mean(AXES[over]), latents.mean(AXES[over]), atol=1e-4)
    only_mean = through(FrequencyFilter(low=0, high=0.001, over=over), latents)
    expected = latents.mean(AXES[over], keepdim=True).expand(SHAPE)
    assert torch.allclose(only_mean, expected, atol=1e-4)


def test_over_space_frames_and_over_time_cells_do_not_mix() -> None:
    for over, part in ((Over.space, (2,)), (Over.time, (slice(None), slice(None), 3, 4))):
        other = latents_of(SHAPE, seed=5)
        other[part] = latents_of(SHAPE)[part]
        manipulation = FrequencyFilter(high=0.3, over=over)
        same = through(manipulation, latents_of(SHAPE))[part], through(manipulation, other)[part]
        assert torch.allclose(*same, atol=1e-6)


def test_the_last_frame_does_not_shine_into_the_first() -> None:
    latents = torch.zeros(16, 1, 2, 2)
    latents[-1] = 1
    smooth = through(FrequencyFilter(high=0.25, over=Over.time), latents)
    assert smooth[-1].min() > 0.2
    assert smooth[0].abs().max() < 0.02


@pytest.mark.parametrize("over", Over, ids=str)
def test_a_scheduled_cutoff_is_that_of_each_frames_moment(over: Over) -> None:
    latents = latents_of(SHAPE)
    opening = through(FrequencyFilter(high="ramp(0.1,0.9)", over=over), latents)  # type: ignore[arg-type]
    for frame, high in enumerate([0.1, 0.3, 0.5, 0.7, 0.9]):
        constant = through(FrequencyFilter(high=high, over=over), latents)
        assert torch.allclose(opening[frame], constant[frame], atol=1e-4), frame


def test_only_a_filter_over_time_holds_the_clip_and_leaves_a_first_latent_alone() -> None:
    latents = latents_of(SHAPE)
    clip = clip_of(latents, time_stride=4)
    assert [FrequencyFilter(over=over).holds(clip) for over in Over] == [False, True, True]
    for over, stays in ((Over.space, False), (Over.time, True), (Over.both, True)):
        changed = through(FrequencyFilter(high=0.2, over=over), latents, 2, clip)
        assert torch.equal(changed[0], latents[0]) is stays
        assert not torch.allclose(changed[1], latents[1], atol=0.1)


def test_the_sentence_about_a_band_that_is_none() -> None:
    with pytest.raises(
        SettingError, match=r"frequency_filter.low=0.5: must be below frequency_filter.high=0.3"
    ):
        FrequencyFilter(low=0.5, high=0.3)


def test_phase_swap_keeps_the_magnitudes_and_takes_the_others_phases() -> None:
    latents = latents_of((7, 4, 6, 5))
    spectrum = np.fft.fft2(latents.double().numpy())
    others = second((7, 4, 6, 5))[[0, 1, 2, 3, 4, 0, 1]]
    phases = np.fft.fft2(others.double().numpy())
    swapped = np.fft.ifft2(np.abs(spectrum) * phases / np.abs(phases))
    assert np.abs(swapped.imag).max() < 1e-9
    assert np.allclose(through(PhaseSwap(), latents).numpy(), swapped.real, atol=1e-5)


def test_phase_swap_with_a_video_of_the_same_phases_changes_nothing() -> None:
    latents = second((5, 3, 4, 4)) * 2.5
    assert torch.allclose(through(PhaseSwap(), latents), latents, atol=1e-5)
