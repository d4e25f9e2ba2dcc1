"""The formulas of the manipulations of motion."""

from __future__ import annotations

from fractions import Fraction
from math import pi
from typing import Any

import pytest
import torch

from tests.manipulations.clips import clip_of, latents_of, second, through
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import (
    Clip,
    MotionGain,
    MotionMagnify,
    MotionTransfer,
    StyleSwap,
    TemporalBand,
)
from vae_experiments.manipulations.effects.motion import By, Reference
from vae_experiments.sources import SourceInfo
from vae_experiments.tensors import Size

NEUTRAL: dict[str, dict[str, Any]] = {
    "motion_gain": {"gain": 1},
    "motion_magnify": {"gain": 1},
    "motion_transfer": {"strength": 0},
    "style_swap": {"strength": 0},
    "temporal_band": {"gain": 1},
}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "motion_gain": {"gain": -0.5, "by": By.flow},
    "motion_magnify": {"gain": 3.5, "reference": Reference.previous, "by": By.flow},
    "motion_transfer": {"gain": 0.4, "by": By.flow},
    "style_swap": {"path": "plasma"},
    "temporal_band": {"gain": 0.2, "low_hz": 3.0, "high_hz": 9.0},
}
SHAPE = (7, 4, 3, 5)


@pytest.mark.parametrize("gain", [-1.0, 0.0, 0.5, 3.0])
def test_motion_gain_stretches_the_way_from_the_mean_over_time(gain: float) -> None:
    latents = latents_of(SHAPE)
    mean = sum(latents) / len(latents)
    expected = torch.stack([mean + gain * (frame - mean) for frame in latents])
    assert torch.allclose(through(MotionGain(gain=gain), latents), expected, atol=1e-5)


def test_a_motion_gain_of_0_gives_the_same_latent_again_and_again() -> None:
    frozen = through(MotionGain(gain=0), latents_of(SHAPE))
    assert all(torch.equal(frame, frozen[0]) for frame in frozen)


def test_a_scheduled_motion_gain_lets_motion_begin() -> None:
    latents = latents_of(SHAPE)
    moving = through(MotionGain(gain="ramp(0,1)"), latents)  # type: ignore[arg-type]
    assert torch.allclose(moving[0], latents.mean(0), atol=1e-5)
    assert torch.allclose(moving[-1], latents[-1], atol=1e-5)


def test_motion_magnify_goes_on_from_the_first_latent() -> None:
    latents = latents_of(SHAPE)
    expected = latents[:1] + 2.5 * (latents - latents[:1])
    assert torch.allclose(through(MotionMagnify(gain=2.5), latents, 2), expected, atol=1e-5)


def test_motion_magnify_goes_on_from_the_latent_before() -> None:
    latents = latents_of(SHAPE)
    changed = through(MotionMagnify(gain=2.5, reference=Reference.previous), latents, 3)
    assert torch.equal(changed[0], latents[0])
    for number in range(1, 7):
        step = latents[number] - latents[number - 1]
        assert torch.allclose(changed[number], latents[number] + 1.5 * step, atol=1e-5)


@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0])
def test_motion_transfer_adds_the_other_videos_motion_to_the_first_latent(gain: float) -> None:
    latents = latents_of(SHAPE)
    other = second(SHAPE)[[0, 1, 2, 3, 4, 0, 1]]  # five latents, then it begins again
    expected = latents[:1] + gain * (other - other[:1])
    assert torch.allclose(through(MotionTransfer(gain=gain), latents, 3), expected, atol=1e-5)


def test_motion_transfer_moves_a_still_and_forgets_its_own_motion() -> None:
    latents = latents_of(SHAPE)
    still = latents[:1].expand(SHAPE).clone()
    moved = through(MotionTransfer(), still)
    assert (moved[1:] - moved[:-1]).abs().amax() > 1
    assert torch.equal(moved, through(MotionTransfer(), latents))


def test_style_swap_puts_this_motion_on_the_mean_of_the_other() -> None:
    latents = latents_of((5, 4, 3, 5))
    other = second((5, 4, 3, 5))
    swapped = through(StyleSwap(), latents)
    assert torch.allclose(swapped.mean(0), other.mean(0), atol=1e-5)
    assert torch.allclose(swapped - swapped.mean(0), latents - latents.mean(0), atol=1e-5)


def test_where_the_first_latent_stands_for_one_frame_the_other_videos_first_one_is_left_out_too() -> None:
    latents, other = latents_of(SHAPE), second(SHAPE)[[0, 1, 2, 3, 4, 0, 1]]
    clip = clip_of(latents, time_stride=4)
    moved = latents[1:2] + 0.5 * (other[1:] - other[1:2])
    assert torch.allclose(through(MotionTransfer(gain=0.5), latents, 3, clip)[1:], moved, atol=1e-5)
    swapped = latents[1:] - latents[1:].mean(0) + other[1:].mean(0)
    assert torch.allclose(through(StyleSwap(), latents, 3, clip)[1:], swapped, atol=1e-5)


def oscillation(count: int, half_waves: int) -> torch.Tensor:
    """A cosine over a clip, as it continues in the clip's mirror image without a break."""
    return torch.cos(pi * half_waves * (torch.arange(count) + 0.5) / count).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(("half_waves", "factor"), [(0, 1), (1, 1), (2, 4), (6, 4), (7, 1), (20, 1)])
def test_temporal_band_multiplies_what_oscillates_in_the_band_and_nothing_else(
    half_waves: int, factor: float
) -> None:
    """24 latents at 24 a second: so many half waves in a second are half as many Hz; the band is 1 to 3 Hz."""
    latents = 0.3 + oscillation(24, half_waves).expand(-1, 2, 3, 3)
    changed = through(TemporalBand(gain=4, low_hz=1, high_hz=3), latents)
    constant = 1.3 if half_waves == 0 else 0.3
    assert torch.allclose(changed, constant + factor * (latents - constant), atol=1e-4)


def test_temporal_band_counts_hertz_by_the_frames_own_times_where_they_last_differently() -> None:
    times = [Fraction(number, 30) for number in range(60)] + [
        2 + Fraction(number, 10) for number in range(41)
    ]
    info = SourceInfo(Size(8, 8), tuple(times[:-1]), times[-1])
    clip = Clip(fps=float(info.fps), begins=info.begins, frames=100)
    moments = torch.tensor([float(moment) for moment in times[:-1]])[:, None, None, None]
    slow, fast = torch.cos(0.5 * pi * moments), torch.cos(2.5 * pi * moments)
    latents = (slow + fast).expand(100, 2, 3, 3)
    calmed = through(TemporalBand(gain=0, low_hz=1, high_hz=1.5), latents, 9, clip)
    assert float((calmed - slow).abs().mean()) < 0.1 * float(fast.abs().mean())
    same = through(TemporalBand(gain=1, low_hz=1, high_hz=1.5), latents, 9, clip)
    assert torch.equal(same, latents)
    for few in (1, 2):
        short = through(TemporalBand(low_hz=2, high_hz=3), latents[:few], 9, clip.of_length(few))
        assert short.isfinite().all()


@pytest.mark.parametrize(("fps", "time_stride", "factor"), [(24, 1, 4), (12, 1, 1), (96, 4, 4), (24, 4, 1)])
def test_temporal_band_counts_hertz_by_the_rate_of_the_latents(
    fps: float, time_stride: int, factor: float
) -> None:
    """24 latents that go through one wave: 1 Hz and in the band where there are 24 a second, else too slow."""
    alone = int(time_stride > 1)
    latents = oscillation(24, 2).expand(-1, 2, 3, 3)
    whole = torch.cat([latents[:alone], latents])
    clip = clip_of(whole, fps, time_stride)
    changed = through(TemporalBand(gain=4, low_hz=1, high_hz=3), whole, clip=clip)
    assert torch.allclose(changed[alone:], factor * latents, atol=1e-4)


def test_a_band_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(
        SettingError, match=r"temporal_band.low_hz=5: must be at most temporal_band.high_hz=2"
    ):
        TemporalBand(low_hz=5, high_hz=2)


@pytest.mark.parametrize(
    "manipulation",
    [
        MotionGain(gain=3),
        MotionMagnify(gain=3),
        MotionMagnify(gain=3, reference=Reference.previous),
        MotionTransfer(),
        StyleSwap(),
        TemporalBand(low_hz=0, high_hz=99),
    ],
    ids=str,
)
def test_where_the_first_latent_stands_for_one_frame_it_stays_and_the_rest_is_the_clip(
    manipulation: Any,
) -> None:
    latents = latents_of(SHAPE)
    changed = through(manipulation, latents, 2, clip_of(latents, time_stride=4))
    assert torch.equal(changed[0], latents[0])
    other_start = torch.cat([latents[3:4], latents[1:]])
    again = through(manipulation, other_start, 3, clip_of(latents, time_stride=4))
    assert torch.equal(again[1:], changed[1:]), "the first latent has no say in the others"
