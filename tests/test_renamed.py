"""A setting that got another name is still read from what was saved before, and nobody guesses it in vain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.training.test_command import QUICK
from vae_experiments.cli.config import option_from
from vae_experiments.cli.hydra_errors import unknown_setting
from vae_experiments.cli.renamed import RENAMED
from vae_experiments.options import kinds
from vae_experiments.training.data.options import Data
from vae_experiments.training.recipes import Vqvae
from vae_experiments.training.resuming import SETTINGS, saved_settings
from vae_experiments.training.settings import Training


@pytest.mark.parametrize("group", RENAMED)
def test_every_new_name_is_that_of_a_setting_and_no_old_one_is(group: str) -> None:
    known = {name for option in kinds(group).values() for name, _, _ in option.settings()}
    assert {*RENAMED[group].values()} <= known
    assert not {*RENAMED[group]} & known


def test_a_config_of_before_says_what_it_said() -> None:
    saved = OmegaConf.create(
        {
            "training": {"kind": "vqvae", "rate": 0.5, "warm_up": 7, "accumulate": 3, "clip": 2.0, "free": 9}
            | {"averaging": 0.9, "start": "a.safetensors", "window": 5, "fresh": 2, "large_share": 0.25},
            "data": {"kind": "folder", "path": "clips", "validation_share": 0.2},
        }
    )
    training = option_from(Training, saved, "training")  # type: ignore[type-abstract]
    assert isinstance(training, Vqvae)
    assert (training.learning_rate, training.warmup_steps, training.gradient_accumulation) == (0.5, 7, 3)
    assert (training.max_grad_norm, training.ema_decay, training.quantize_after) == (2, 0.9, 9)
    assert (training.init_from, training.buffer_size, training.refresh) == ("a.safetensors", 5, 2)
    assert training.large_fraction == 0.25
    data = option_from(Data, saved, "data")  # type: ignore[type-abstract]
    assert data.validation_fraction == 0.2  # type: ignore[attr-defined]


def test_a_training_of_before_goes_on(tmp_path: Path) -> None:
    before = {"training": {"kind": "vae", "rate": 0.25, "kl_warm_up": 3}, "data": {"kind": "procedural"}}
    (tmp_path / SETTINGS).write_text(json.dumps(before))
    saved = saved_settings(tmp_path)
    assert saved is not None
    assert saved["training"] == {"kind": "vae", "learning_rate": 0.25, "kl_warmup_steps": 3}


def test_an_old_name_that_is_typed_is_answered_with_the_new_one() -> None:
    error = unknown_setting("training", "rate", 0.1, ["learning_rate", "steps"])
    assert str(error) == "training.rate=0.1: has another name now; type training.learning_rate"


def test_quick_trainings_use_the_names_of_today() -> None:
    typed = {word.partition("=")[0].rpartition(".")[2] for word in QUICK}
    assert not typed & {*RENAMED["training"]}
