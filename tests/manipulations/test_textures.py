"""The formulas of the noises that have a texture."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import interpolate

from tests.manipulations.clips import clip_of, latents_of, through
from vae_experiments.manipulations import FractalNoise, PyramidNoise
from vae_experiments.manipulations.effects.textures import fractal
from vae_experiments.runtime.seeding import normal, normal_frames

NEUTRAL: dict[str, dict[str, Any]] = {"fractal_noise": {"scale": 0}, "pyramid_noise": {"scale": 0}}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "fractal_noise": {"scale": 2.0, "alpha": 0.5, "over_time": True, "seed": 3},
    "pyramid_noise": {"scale": 1.5, "discount": 0.3, "correlation": 0.6, "seed": 4},
}


def slope(noise: torch.Tensor, dims: tuple[int, ...]) -> float:
    """Fit the exponent of the power over the length of the frequency."""
    power = torch.fft.fftn(noise.double(), dim=dims).abs().square()
    axes = torch.meshgrid(*(torch.fft.fftfreq(noise.shape[dim]).double() for dim in dims), indexing="ij")
    length = torch.stack([axis.square() for axis in axes]).sum(0).sqrt().flatten()
    mean = power.mean([dim for dim in range(4) if dim not in dims]).flatten()
    known = length > 0
    x, y = length[known].log(), mean[known].log()
    return float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.0, 3.0])
def test_the_power_of_fractal_noise_falls_as_a_power_of_the_frequency(alpha: float) -> None:
    noise = through(FractalNoise(scale=1, alpha=alpha), torch.zeros(4, 16, 32, 24))
    assert slope(noise, (2, 3)) == pytest.approx(-alpha, abs=0.1)


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_over_time_its_power_falls_with_the_frequency_over_time_too(alpha: float) -> None:
    noise = through(FractalNoise(scale=1, alpha=alpha, over_time=True), torch.zeros(16, 16, 16, 12))
    assert slope(noise, (0, 2, 3)) == pytest.approx(-alpha, abs=0.1)


@pytest.mark.parametrize("over_time", [False, True])
def test_fractal_noise_has_no_mean_and_the_scale_as_its_standard_deviation(over_time: bool) -> None:
    noise = through(FractalNoise(scale=0.3, alpha=2, over_time=over_time), torch.zeros(5, 4, 9, 7))
    pieces = [noise] if over_time else list(noise)
    for piece in pieces:
        assert float(piece.mean()) == pytest.approx(0, abs=1e-6)
        assert float(piece.std(correction=0)) == pytest.approx(0.3, rel=1e-4)


def test_fractal_noise_is_white_noise_divided_by_a_power_of_the_frequency() -> None:
    white = normal_frames(0, (1, 2, 5, 4), 6, "fractal noise").double()
    expected = torch.zeros(1, 2, 5, 4, dtype=torch.complex128)
    spectrum = torch.fft.fft2(white)
    for row, y in enumerate((0, 0.2, 0.4, -0.4, -0.2)):
        for column, x in enumerate((0, 0.25, -0.5, -0.25)):
            if (row, column) != (0, 0):
                expected[..., row, column] = spectrum[..., row, column] / (x * x + y * y) ** 0.25
    noise = torch.fft.ifft2(expected).real
    noise = (noise / noise.std(correction=0)).float()
    changed = through(FractalNoise(scale=1, alpha=1, seed=6), torch.zeros(1, 2, 5, 4))
    assert torch.allclose(changed, noise, atol=1e-5)


def test_only_the_mean_is_left_out_and_not_every_slow_frequency() -> None:
    power = torch.fft.fft2(fractal(latents_of((1, 1, 8, 8)).double(), 1.0)).abs()[0, 0]
    assert float(power[0, 0]) < 1e-9
    assert float(power[0, 1:].min()) > 1e-3
    assert float(power[1:, 0].min()) > 1e-3


@pytest.mark.parametrize("over_time", [False, True])
def test_a_scheduled_alpha_is_that_of_each_frame(over_time: bool) -> None:
    latents = latents_of((3, 4, 6, 5))
    moving = through(FractalNoise(alpha="ramp(0,2)", over_time=over_time), latents)
    for frame, alpha in enumerate((0, 1, 2)):
        still = through(FractalNoise(alpha=alpha, over_time=over_time), latents)
        assert torch.allclose(moving[frame], still[frame], atol=1e-6)


def test_fractal_noise_holds_the_clip_only_over_time() -> None:
    clip = clip_of(latents_of((3, 4, 2, 2)))
    assert not FractalNoise().holds(clip)
    assert FractalNoise(over_time=True).holds(clip)


def test_fractal_noise_over_time_drifts_where_the_other_flickers() -> None:
    silence = torch.zeros(16, 8, 16, 16)
    steps = [
        float(through(FractalNoise(scale=1, alpha=4, over_time=over_time), silence).diff(dim=0).std())
        for over_time in (False, True)
    ]
    assert steps[1] < 0.6 * steps[0]


def test_pyramid_noise_is_the_sum_of_enlarged_noises() -> None:
    total = torch.zeros(2, 4, 5, 3)
    for number, size in enumerate([(5, 3), (3, 2), (2, 1), (1, 1)]):
        coarse = normal_frames(0, (2, 4, *size), 7, f"pyramid noise {number}")
        total += 0.5**number * interpolate(coarse, (5, 3), mode="bilinear")
    total /= total.square().mean((1, 2, 3), keepdim=True).sqrt()
    changed = through(PyramidNoise(scale=0.5, discount=0.5, seed=7), torch.zeros(2, 4, 5, 3))
    assert torch.allclose(changed, 0.5 * total, atol=1e-5)


def test_a_discount_of_0_leaves_noise_of_single_cells() -> None:
    noise = through(PyramidNoise(scale=1, discount=0), torch.zeros(4, 16, 32, 32))
    assert slope(noise, (2, 3)) == pytest.approx(0, abs=0.05)
    assert slope(through(PyramidNoise(scale=1), torch.zeros(4, 16, 32, 32)), (2, 3)) < -0.8


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_the_correlation_of_pyramid_noise_is_that_between_frames(correlation: float) -> None:
    settings = {"scale": 1, "discount": 0.3, "correlation": correlation}
    noise = through(PyramidNoise(**settings), torch.zeros(3, 32, 48, 48))
    assert float(torch.corrcoef(noise.flatten(1))[0, 2]) == pytest.approx(correlation, abs=0.03)
    assert torch.allclose(noise.square().mean((1, 2, 3)), torch.ones(3), atol=1e-4)


def test_the_noise_that_frames_share_is_drawn_for_every_size() -> None:
    changed = through(PyramidNoise(scale=1, correlation=1, discount=1), torch.zeros(2, 1, 2, 2))
    fine = normal((1, 2, 2), 0, "shared pyramid noise 0")
    both = fine + normal((1, 1, 1), 0, "shared pyramid noise 1")
    for frame in changed:
        assert torch.allclose(frame, both / both.square().mean().sqrt(), atol=1e-6)


def test_other_seeds_give_other_textures() -> None:
    latents = latents_of((2, 4, 3, 3))
    for kind in (FractalNoise, PyramidNoise):
        assert not torch.equal(through(kind(seed=0), latents), through(kind(seed=1), latents))
