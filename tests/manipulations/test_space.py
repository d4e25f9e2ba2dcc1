"""The formulas of the manipulations in space."""

from __future__ import annotations

from math import exp
from typing import Any

import pytest
import torch

from tests.manipulations.clips import latents_of, through
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import Blur, ErodeDilate, Flip, Mosaic, Sharpen
from vae_experiments.manipulations.effects.space import Mirror

NEUTRAL: dict[str, dict[str, Any]] = {
    "flip": {"strength": 0},
    "blur": {"sigma": 0},
    "sharpen": {"amount": 0},
    "mosaic": {"size": 1},
    "erode_dilate": {"radius": 0},
}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "flip": {"direction": Mirror.both},
    "blur": {"sigma": 2.5},
    "sharpen": {"amount": 3, "sigma": 0.6},
    "mosaic": {"size": 2},
    "erode_dilate": {"radius": -2},
}
SHAPE = (3, 4, 6, 5)


def moved(latents: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Give what stands so many cells below and to the right, or the border where nothing does."""
    height, width = latents.shape[-2:]
    rows = (torch.arange(height) + down).clamp(0, height - 1)
    columns = (torch.arange(width) + right).clamp(0, width - 1)
    return latents[..., rows, :][..., columns]


def blurred(latents: torch.Tensor, sigma: float, reach: int) -> torch.Tensor:
    """A Gaussian as the plain sum over a square of neighbours."""
    total, weights = torch.zeros_like(latents), 0.0
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            weight = exp(-(down**2 + right**2) / (2 * sigma**2))
            total += weight * moved(latents, down, right)
            weights += weight
    return total / weights


@pytest.mark.parametrize(
    ("direction", "rows", "columns"),
    [(Mirror.horizontal, 1, -1), (Mirror.vertical, -1, 1), (Mirror.both, -1, -1)],
    ids=str,
)
def test_flip_mirrors_the_last_two_axes_and_never_time(direction: Mirror, rows: int, columns: int) -> None:
    latents = latents_of(SHAPE)
    expected = torch.from_numpy(latents.numpy()[:, :, ::rows, ::columns].copy())
    assert torch.equal(through(Flip(direction=direction), latents), expected)


@pytest.mark.parametrize(("sigma", "reach"), [(0.3, 2), (0.8, 4), (1.7, 7)])
def test_blur_is_a_gaussian_with_its_border_repeated(sigma: float, reach: int) -> None:
    latents = latents_of(SHAPE)
    assert torch.allclose(through(Blur(sigma=sigma), latents), blurred(latents, sigma, reach), atol=1e-5)


def test_blur_spreads_a_point_by_its_standard_deviation() -> None:
    point = torch.zeros(1, 1, 41, 41)
    point[0, 0, 20, 20] = 1
    spread = through(Blur(sigma=3), point)[0, 0]
    places = torch.arange(41.0) - 20
    assert float(spread.sum()) == pytest.approx(1, abs=1e-5)
    assert float((spread.sum(0) * places**2).sum()) ** 0.5 == pytest.approx(3, rel=0.01)
    assert float((spread.sum(1) * places**2).sum()) ** 0.5 == pytest.approx(3, rel=0.01)


def test_a_blur_far_wider_than_the_frame_leaves_finite_latents_between_their_extremes() -> None:
    latents = latents_of((2, 3, 3, 2))
    wide = through(Blur(sigma=100), latents)
    assert wide.abs().max() <= latents.abs().max()
    # What lies outside repeats the corners: theirs is nearly all that counts.
    corners = latents[..., [0, 0, -1, -1], [0, -1, 0, -1]].mean(-1)
    assert torch.allclose(wide.mean((-2, -1)), corners, atol=0.05)


def test_a_scheduled_blur_is_that_of_each_frames_moment() -> None:
    latents = latents_of(SHAPE)
    changed = through(Blur(sigma="ramp(0,2)"), latents)  # type: ignore[arg-type]
    assert torch.equal(changed[0], latents[0])
    assert torch.allclose(changed[1], blurred(latents[1], 1, 5), atol=1e-4)
    assert torch.allclose(changed[2], blurred(latents[2], 2, 9), atol=1e-4)


@pytest.mark.parametrize(("amount", "sigma"), [(0.5, 1.0), (3.0, 0.7)])
def test_sharpen_adds_what_a_blur_takes_away(amount: float, sigma: float) -> None:
    latents = latents_of(SHAPE)
    expected = latents + amount * (latents - blurred(latents, sigma, 5))
    assert torch.allclose(through(Sharpen(amount=amount, sigma=sigma), latents), expected, atol=1e-4)


def test_sharpen_leaves_flat_latents_alone() -> None:
    flat = torch.full((2, 3, 5, 4), 0.7)
    assert torch.allclose(through(Sharpen(amount=5), flat), flat, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_mosaic_gives_each_square_its_mean_also_where_the_border_cuts_it(size: int) -> None:
    latents = latents_of(SHAPE)
    expected = latents.clone()
    for top in range(0, 6, size):
        for left in range(0, 5, size):
            square = latents[..., top : top + size, left : left + size]
            expected[..., top : top + size, left : left + size] = square.mean((-2, -1), keepdim=True)
    assert torch.allclose(through(Mosaic(size=size), latents), expected, atol=1e-5)


def test_mosaic_rounds_a_scheduled_size_to_whole_cells() -> None:
    latents = latents_of((4, 2, 6, 6))
    changed = through(Mosaic(size="0f:1 1f:1.4 2f:1.6 3f:3.2"), latents)  # type: ignore[arg-type]
    for frame, size in enumerate([1, 1, 2, 3]):
        assert torch.equal(changed[frame], through(Mosaic(size=size), latents)[frame])


@pytest.mark.parametrize("radius", [-7, -2, -1, 1, 2, 7])
def test_dilating_takes_the_largest_value_of_a_square_and_eroding_the_smallest(radius: int) -> None:
    latents = latents_of(SHAPE)
    reach = range(-abs(radius), abs(radius) + 1)
    around = torch.stack([moved(latents, down, right) for down in reach for right in reach])
    expected = around.amax(0) if radius > 0 else around.amin(0)
    assert torch.equal(through(ErodeDilate(radius=radius), latents), expected)


def test_the_sentence_about_a_square_of_no_cells() -> None:
    with pytest.raises(
        SettingError,
        match=r"mosaic.size=0: must be at least 1 and at most 1000 latent cells; the default is 3",
    ):
        Mosaic(size=0)
