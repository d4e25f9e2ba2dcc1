from __future__ import annotations

import pytest
import torch

from vae_experiments.training.losses import charbonnier, prior_loss, psnr_db, reconstruction_loss

FRAMES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5


def test_equal_frames_cost_nothing() -> None:
    assert reconstruction_loss(FRAMES, FRAMES).item() == pytest.approx(0, abs=1e-6)


def test_a_wrong_colour_costs_more_than_a_brightness_that_is_as_wrong() -> None:
    grey = torch.full((1, 3, 1, 1), 0.1)
    colour = torch.tensor([0.1, -0.1, 0.1]).reshape(1, 3, 1, 1)
    assert reconstruction_loss(FRAMES + colour, FRAMES) > 1.1 * reconstruction_loss(FRAMES + grey, FRAMES)


def test_charbonnier_is_the_absolute_error_where_that_is_large() -> None:
    assert charbonnier(torch.full((4,), -0.8)).item() == pytest.approx(0.79, abs=1e-3)
    assert charbonnier(torch.zeros(4)).item() == 0


def test_psnr_is_that_of_the_range_from_minus_one_to_one() -> None:
    assert psnr_db(FRAMES + 0.02, FRAMES) == pytest.approx(40, abs=0.01)
    # A video clips what lies outside, so it is no error.
    assert psnr_db(torch.full((1, 3, 8, 8), 1.5), torch.ones(1, 3, 8, 8)) == pytest.approx(106.02, abs=0.01)


def test_the_prior_is_least_for_latents_of_mean_zero_and_variance_one() -> None:
    latents = torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    latents = (latents - latents.mean((0, 2, 3), keepdim=True)) / latents.std((0, 2, 3), keepdim=True)
    least = prior_loss(latents).item()
    assert least == pytest.approx(0, abs=1e-5)
    # 0.5 (mean^2 + variance - 1 - ln variance), with mean 0.5 and variance 4
    assert prior_loss(2 * latents + 0.5).item() == pytest.approx(0.5 * (0.25 + 3 - 1.38629), abs=1e-3)
