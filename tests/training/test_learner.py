"""What one step does to weights, averages and chance, against expectations of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_trainer import trainer
from vae_experiments.training.data.loader import Batches
from vae_experiments.training.settings import Precision


@pytest.mark.slow
@pytest.mark.parametrize("averaging", [0.999, 0.15])
def test_the_running_mean_forgets_its_start_fast_and_then_at_its_own_rate(
    averaging: float, tmp_path: Path
) -> None:
    made = trainer(tmp_path, ema_decay=averaging)
    learner = made.learner
    expected = [parameter.detach().clone().double() for parameter in learner.average.parameters()]
    for step, batches in enumerate(Batches(made.settings, made.prepared).steps(0, range(1))):
        learner.learn(step, [(0, batches[0])])
        decay = min(averaging, (1 + step) / (10 + step))
        for mean, new in zip(expected, learner.trainee.parameters(), strict=True):
            mean.mul_(decay).add_(new.detach().double() * (1 - decay))
        if step == 4:
            break
    for mean, averaged in zip(expected, learner.average.parameters(), strict=True):
        torch.testing.assert_close(averaged.double(), mean, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_the_parts_of_every_step_draw_different_noise(tmp_path: Path) -> None:
    made = trainer(tmp_path, steps=2, gradient_accumulation=3)
    model, seen = made.learner.model, []

    def watched(frames: Any, draws: Any) -> Any:
        seen.append(tuple(torch.randn(4, generator=draws.random.clone_state()).tolist()))
        return model(frames, draws)

    made.learner.model = watched
    made.train()
    assert len(seen) == len(set(seen)) == 6


def test_the_gradient_of_two_accumulated_halves_is_as_long_as_the_whole_batchs(tmp_path: Path) -> None:
    quiet: dict[str, Any] = {"latent_noise": 0.0, "prior": 0.0, "precision": Precision.float32}
    halves, whole = (trainer(tmp_path / name, **quiet) for name in ("halves", "whole"))
    frames = next(Batches(whole.settings, whole.prepared).steps(0, range(1)))[0]
    in_parts = halves.learner.learn(0, [(0, frames[:2]), (1, frames[2:])])
    at_once = whole.learner.learn(0, [(0, frames)])
    assert at_once["gradient_norm"] > 0
    assert in_parts["gradient_norm"] == pytest.approx(at_once["gradient_norm"], rel=1e-3)
