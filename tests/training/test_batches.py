from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
import torch

from vae_experiments.training.batches import batches, colour_matrix, crops, validation_frames
from vae_experiments.training.frames import SIDE, frame
from vae_experiments.training.settings import Autoencoder

SEED = 5


def settings(**changes: Any) -> Autoencoder:
    return Autoencoder(
        seed=SEED, steps=5, batch=4, crop=32, large_batch=2, large_crop=64, window=6, **changes
    )


@pytest.fixture(scope="module")
def painted_here() -> list[torch.Tensor]:
    return list(batches(settings(workers=0)))


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_the_same_for_any_number_of_workers(
    painted_here: list[torch.Tensor], workers: int
) -> None:
    for batch, expected in zip(batches(settings(workers=workers)), painted_here, strict=True):
        assert torch.equal(batch, expected)


def test_a_batch_has_the_size_that_its_step_asks_for() -> None:
    shapes = [tuple(batch.shape) for batch in batches(settings(workers=0, large_share=0.4))]
    assert shapes == [(4, 3, 32, 32)] * 3 + [(2, 3, 64, 64)] * 2


def test_crops_stay_in_range_and_differ_from_each_other(painted_here: list[torch.Tensor]) -> None:
    together = torch.cat([batch for batch in painted_here if batch.shape[-1] == 32])
    assert together.dtype == torch.float32
    assert together.abs().max() <= 1
    assert len({crop.sum().item() for crop in together}) > 10


def test_a_crop_is_turned_but_never_resized() -> None:
    ramp = np.tile(np.arange(SIDE, dtype=np.uint8)[:, None, None], (1, SIDE, 3))
    batch = crops(np.random.default_rng(0), deque([ramp]), 40, 16)
    # Grey stays grey under every change of colour, and neighbours stay one level apart.
    steps = (batch.diff(dim=2).mean((1, 2, 3)) + batch.diff(dim=3).mean((1, 2, 3))) * 127.5
    assert torch.allclose(steps.abs(), torch.ones(40), atol=1e-3)
    assert {round(step) for step in steps.tolist()} == {-1, 1}


def test_a_change_of_colour_leaves_greys_alone_and_reaches_every_hue() -> None:
    random = np.random.default_rng(0)
    matrices = np.stack([colour_matrix(random) for _ in range(500)])
    assert np.allclose(matrices.sum(2), 1, atol=1e-5)
    strongest = (matrices @ np.array([1.0, 0.2, 0.1])).argmax(1)
    assert np.bincount(strongest, minlength=3).min() > 50


def test_validation_frames_are_none_of_those_trained_on() -> None:
    held_out = validation_frames(SEED, 3)
    assert held_out.shape == (3, 3, SIDE, SIDE)
    assert torch.equal(held_out, validation_frames(SEED, 3))
    trained_on = torch.from_numpy(np.stack([frame(SEED, number) for number in range(3)]))
    assert not torch.equal(held_out, trained_on.permute(0, 3, 1, 2) / 127.5 - 1)
