from __future__ import annotations

import math

import pytest
import torch

from vae_experiments.training.networks.losses import (
    charbonnier,
    code_losses,
    kl_loss,
    prior_loss,
    psnr_db,
    reconstruction_loss,
    structure_loss,
)

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


def test_the_prior_is_least_for_latents_of_mean_zero_variance_one_and_no_correlation() -> None:
    latents = torch.randn(8, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    channels = latents.movedim(1, 0).flatten(1)
    channels = channels - channels.mean(1, keepdim=True)
    whitened = torch.linalg.solve(torch.linalg.cholesky(torch.cov(channels, correction=0)), channels)
    latents = whitened.reshape(4, 8, 32, 32).movedim(0, 1)
    assert prior_loss(latents).item() == pytest.approx(0, abs=1e-3)
    # 0.5 (mean^2 + variance - 1 - ln variance), with mean 0.5 and variance 4
    assert prior_loss(2 * latents + 0.5).item() == pytest.approx(0.5 * (0.25 + 3 - 1.38629), abs=1e-3)
    # two channels of correlation r: -0.5 ln(1 - r^2) nats in all
    mixed = latents.clone()
    mixed[:, 1] = 0.8 * latents[:, 0] + 0.6 * latents[:, 1]
    assert prior_loss(mixed).item() == pytest.approx(-0.5 * math.log(1 - 0.8**2) / 4, abs=1e-3)


def test_the_divergence_of_a_posterior_is_the_closed_form_that_torch_has() -> None:
    mean, log_variance = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0, 1)).mean()
    torch.testing.assert_close(kl_loss(mean, log_variance), expected)


def test_codes_are_pulled_to_latents_and_latents_to_codes_each_by_its_own_loss() -> None:
    latents, codes = (torch.full((1, 2, 1, 1), value, requires_grad=True) for value in (1.0, 3.0))
    book, commitment = code_losses(latents, codes)
    assert (book.item(), commitment.item()) == (4, 4)
    assert torch.autograd.grad(book, codes, retain_graph=True)[0].flatten().tolist() == [2, 2]
    assert torch.autograd.grad(commitment, latents)[0].flatten().tolist() == [-2, -2]
    assert book.grad_fn is not None
    assert torch.autograd.grad(book, latents, allow_unused=True)[0] is None


def test_structure_is_lost_by_blurring_and_kept_by_a_shade_of_brightness() -> None:
    blurred = torch.nn.functional.avg_pool2d(FRAMES, 3, 1, 1)
    assert structure_loss(FRAMES, FRAMES).item() == pytest.approx(0, abs=1e-5)
    assert structure_loss(blurred, FRAMES) > 5 * structure_loss(FRAMES + 0.02, FRAMES)


def test_the_prior_is_the_same_in_mixed_precision() -> None:
    mixed = torch.randn(1, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    mixed = mixed[:, :1] + 0.1 * mixed  # correlations of 0.99: in bfloat16 their determinant turns negative
    exact = prior_loss(mixed)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(prior_loss(mixed), exact)
