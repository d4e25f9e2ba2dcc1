from __future__ import annotations

import os
from collections import deque
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch

from vae_experiments.errors import TrainingError
from vae_experiments.sources.procedural.frames import SIDE, frame
from vae_experiments.tensors import to_frames
from vae_experiments.training.data.dataset import Dataset, TrainingSample
from vae_experiments.training.data.loader import Batches, colour_matrix, crops
from vae_experiments.training.data.options import Procedural
from vae_experiments.training.recipes import Autoencoder, VideoVae
from vae_experiments.training.settings import Training

SEED = 5
SMALL: dict[str, Any] = {"seed": SEED, "steps": 5, "batch": 4, "crop": 32, "large_batch": 2, "large_crop": 64}


def settings(**changes: Any) -> Autoencoder:
    return Autoencoder(**{**SMALL, "buffer_size": 6, "workers": 0, **changes})


def steps(settings: Training, first: int = 0, parts: range = range(1)) -> list[list[torch.Tensor]]:
    return list(Batches(settings, Procedural().prepare(settings.frames)).steps(first, parts))


@pytest.fixture(scope="module")
def painted_here() -> list[list[torch.Tensor]]:
    return steps(settings())


def same(first: list[list[torch.Tensor]], second: list[list[torch.Tensor]]) -> bool:
    pairs = zip(chain(*first), chain(*second), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_batches_are_the_same_for_any_number_of_workers(
    painted_here: list[list[torch.Tensor]], workers: int
) -> None:
    assert same(steps(settings(workers=workers)), painted_here)


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 4])
@pytest.mark.parametrize("fresh", [0, 1, 2])
def test_batches_from_a_later_step_on_are_those_of_a_training_that_began_at_the_first(
    first: int, fresh: int
) -> None:
    whole, later = steps(settings(refresh=fresh)), steps(settings(refresh=fresh), first)
    assert same(whole[first:], later)


def test_the_parts_of_a_step_are_the_same_whichever_process_asks(
    painted_here: list[list[torch.Tensor]],
) -> None:
    together = steps(settings(), parts=range(3))
    assert same([[parts[0]] for parts in together], painted_here)
    assert same([[parts[2]] for parts in together], steps(settings(), parts=range(2, 3)))
    assert not torch.equal(together[0][0], together[0][1])


def test_a_batch_has_the_size_that_its_step_asks_for() -> None:
    shapes = [tuple(batch.shape) for (batch,) in steps(settings(large_fraction=0.4))]
    assert shapes == [(4, 3, 32, 32)] * 3 + [(2, 3, 64, 64)] * 2


def test_a_clip_is_cut_turned_and_coloured_as_a_whole() -> None:
    clips = VideoVae(**{**SMALL, "steps": 2, "buffer_size": 3, "workers": 0, "clip_frames": 5})
    ((batch,), _) = steps(clips)
    assert batch.shape == (4, 3, 5, 32, 32)
    still = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8), 5, axis=0)
    cut = crops(np.random.default_rng(1), deque([still]), 8, 32)
    assert torch.equal(cut, cut[:, :, :1].expand_as(cut))


def test_what_is_found_in_the_data_is_told_once() -> None:
    class Grumbling(Dataset):
        remarks = ("first",)
        fingerprint = ""

        def piece(self, seed: int, number: int) -> TrainingSample:
            return TrainingSample(np.zeros((1, 64, 64, 3), np.uint8), ("first", "second"))

        validation = piece

        def __str__(self) -> str:
            return "grumbling"

    batches = Batches(settings(), Grumbling())
    list(batches.steps(0, range(1)))
    batches.held_out()
    assert batches.new_remarks() == ["second"]
    assert batches.new_remarks() == []


def test_crops_stay_in_range_and_differ_from_each_other(painted_here: list[list[torch.Tensor]]) -> None:
    together = torch.cat([batch for (batch,) in painted_here if batch.shape[-1] == 32])
    assert together.dtype == torch.float32
    assert together.abs().max() <= 1
    assert len({crop.sum().item() for crop in together}) > 10


def test_a_crop_is_turned_but_never_resized() -> None:
    ramp = np.tile(np.arange(SIDE, dtype=np.uint8)[:, None, None], (1, SIDE, 3))[None]
    batch = crops(np.random.default_rng(0), deque([ramp]), 40, 16)[:, :, 0]
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


def test_what_is_held_out_is_none_of_what_is_trained_on() -> None:
    batches = Batches(settings(validation=3), Procedural().prepare(1))
    held_out = batches.held_out()
    assert [tuple(clip.shape) for clip in held_out] == [(1, 3, SIDE, SIDE)] * 3
    trained_on = to_frames(np.stack([frame(SEED, number) for number in range(9)]))
    assert not any(torch.equal(clip[0], other) for clip in held_out for other in trained_on)


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_training_in_one_sentence() -> None:
    batches = Batches(settings(workers=1), _Deadly())
    with pytest.raises(TrainingError, match="a process that prepares data ended unasked; free some memory"):
        list(batches.steps(0, range(1)))


class _Deadly(Dataset):
    remarks = ()
    fingerprint = ""

    def piece(self, seed: int, number: int) -> TrainingSample:
        os._exit(3)

    validation = piece

    def __str__(self) -> str:
        return "deadly"
