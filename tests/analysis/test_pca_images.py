"""Cells as colours: the components, their scale, and their size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.analysis.clips import mixed, noise
from vae_experiments.analysis.output import component_pictures, enlarged
from vae_experiments.analysis.statistics import gaussian, principal_components
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from vae_experiments.tensors import Latents, Pixels


def painted(latents: Latents) -> Pixels:
    return component_pictures(latents, principal_components(gaussian(latents)))


def test_each_colour_is_one_component_from_its_first_to_its_last_percentile() -> None:
    latents = mixed()
    cells = latents.movedim(1, -1).reshape(-1, 5).double().numpy()
    directions = principal_components(gaussian(latents)).directions.numpy()
    for colour in range(3):
        scores = (cells - cells.mean(0)) @ directions[colour]
        low, high = np.percentile(scores, [1, 99])
        expected = np.clip((scores - low) / (high - low), 0, 1) * 255
        assert np.abs(painted(latents)[..., colour].reshape(-1) - expected).max() <= 0.51


def test_latents_of_one_channel_are_grey_and_of_two_leave_blue_in_the_middle() -> None:
    grey = painted(noise(3, 1, 6, 6))
    assert grey.shape == (3, 6, 6, 3)
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 0] == grey[..., 2]).all()
    assert grey.std() > 20
    assert (painted(noise(3, 2, 6, 6))[..., 2] == 128).all()


def test_a_component_that_is_only_rounding_is_not_blown_up_to_colour() -> None:
    latents = noise(3, 1, 6, 6) * torch.tensor([1.0, -2.0, 0.5, 3.0])[:, None, None]
    assert (painted(latents)[..., 1:] == 128).all()


@pytest.mark.parametrize("value", [0.0, 0.3, 41.7])
def test_constant_latents_are_one_colour(value: float) -> None:
    latents = torch.full((2, 4, 3, 3), value)
    assert (painted(latents) == 128).all()
    assert (painted(latents + 1e-7 * noise(2, 4, 3, 3)) == 128).all()


def test_cells_become_squares_cut_off_at_the_size_of_the_source() -> None:
    pixels = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3)
    large = np.concatenate(list(enlarged(pixels, 4, Size(10, 7))))
    assert large.shape == (2, 7, 10, 3)
    for row, column in ((0, 0), (6, 9), (3, 4), (4, 3)):
        assert (large[:, row, column] == pixels[:, row // 4, column // 4]).all()
