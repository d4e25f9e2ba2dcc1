from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
import torch
from diffusers import AutoencoderDC

from vae_experiments.errors import SettingError, TrainingError
from vae_experiments.training.batches import validation_frames
from vae_experiments.training.checkpoints import read_checkpoint, write_checkpoint
from vae_experiments.training.export import STATISTICS_FILE
from vae_experiments.training.losses import psnr_db
from vae_experiments.training.networks import build_autoencoder, decode, encode, split_parameters
from vae_experiments.training.settings import Autoencoder
from vae_experiments.training.trainer import CHECKPOINT, MOST_SKIPPED, Trainer

if TYPE_CHECKING:
    from pathlib import Path

TINY = {
    "batch": 4,
    "crop": 32,
    "large_batch": 2,
    "large_crop": 64,
    "widths": [8, 16, 32],
    "encoder_blocks": [0, 1, 1],
    "decoder_blocks": [0, 1, 1],
    "latent_channels": 8,
    "warm_up": 5,
    "workers": 0,
    "window": 8,
    "validation": 6,
    "log_every": 10,
}


def settings(**changes: object) -> Autoencoder:
    return Autoencoder(**{**TINY, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    Trainer(settings(steps=80, save_every=40), folder).train()
    return folder


def load(folder: Path) -> torch.nn.Module:
    network = AutoencoderDC.from_pretrained(folder, low_cpu_mem_usage=False, local_files_only=True)
    return network.float()  # type: ignore[no-any-return]


@torch.no_grad()
def quality_db(network: torch.nn.Module) -> float:
    frames = validation_frames(0, 8)
    return psnr_db(decode(network, encode(network, frames)), frames)


def test_a_short_training_makes_better_frames_than_none(trained: Path) -> None:
    torch.manual_seed(0)
    untrained = build_autoencoder([8, 16, 32], [0, 1, 1], [0, 1, 1], 8)
    assert quality_db(load(trained / "model")) > quality_db(untrained) + 6


def test_the_exported_latents_have_mean_0_and_variance_1(trained: Path) -> None:
    network = load(trained / "model")
    statistics = json.loads((trained / "model" / STATISTICS_FILE).read_text())
    mean, deviation = (torch.tensor(statistics[name])[:, None, None] for name in ("mean", "std"))
    with torch.no_grad():
        latents = (encode(network, validation_frames(0, 6)) - mean) / deviation
    variance, mean = torch.var_mean(latents, dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(mean, torch.zeros(8), atol=1e-3, rtol=0)
    torch.testing.assert_close(variance, torch.ones(8), atol=1e-3, rtol=0)


def test_the_exported_weights_are_the_averaged_ones_in_half_precision(trained: Path) -> None:
    weights, progress = read_checkpoint(trained / CHECKPOINT)
    exported = load(trained / "model").state_dict()
    for name, weight in weights["average"].items():
        assert torch.equal(exported[name], weight.half().float()), name
    assert progress["step"] == 80
    assert progress["settings"]["widths"] == [8, 16, 32]
    assert json.loads((trained / "model" / "recipe.json").read_text()) == progress


def test_the_same_settings_take_the_same_steps(tmp_path: Path) -> None:
    results = []
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        Trainer(settings(steps=3, seed=seed, validation=1), tmp_path / name).train()
        results.append(read_checkpoint(tmp_path / name / CHECKPOINT)[0]["network"])
    first, again, other = results
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_batch_without_a_usable_loss_is_skipped_counted_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = Trainer(settings(seed=4, validation=1), tmp_path)
    before = [parameter.clone() for parameter in trainer.network.parameters()]
    with caplog.at_level(logging.WARNING):
        trainer.learn(17, torch.full((2, 3, 32, 32), float("nan")))
    assert trainer.skipped == 1
    assert "skipped batch 17 of seed 4: its loss is nan" in caplog.text
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))
    trainer.learn(18, torch.zeros(2, 3, 32, 32))
    assert trainer.skipped_in_a_row == 0


def test_a_huge_rate_stops_in_one_sentence_and_leaves_no_broken_weights(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"training diverged: 10 steps in a row.*lower training.rate"
    ) as stopped:
        Trainer(settings(steps=60, rate=1e12, warm_up=0, save_every=1, validation=1), tmp_path).train()
    assert "\n" not in str(stopped.value)
    if (tmp_path / CHECKPOINT).exists():
        weights, _ = read_checkpoint(tmp_path / CHECKPOINT)
        assert all(tensor.isfinite().all() for part in weights.values() for tensor in part.values())


def test_a_training_that_diverges_keeps_the_last_good_weights(tmp_path: Path) -> None:
    trainer = Trainer(settings(validation=1), tmp_path)
    trainer.learn(0, torch.zeros(2, 3, 32, 32))
    trainer.save(1)
    good, _ = read_checkpoint(tmp_path / CHECKPOINT)
    broken = torch.full((2, 3, 32, 32), float("inf"))
    for step in range(1, MOST_SKIPPED):
        trainer.learn(step, broken)
    with pytest.raises(TrainingError, match="the last good weights are in"):
        trainer.learn(MOST_SKIPPED, broken)
    kept, _ = read_checkpoint(tmp_path / CHECKPOINT)
    assert all(torch.equal(good["average"][name], kept["average"][name]) for name in good["average"])
    assert all(parameter.isfinite().all() for parameter in trainer.network.parameters())


def test_a_training_can_start_from_a_checkpoint(trained: Path, tmp_path: Path) -> None:
    trainer = Trainer(settings(start=str(trained / CHECKPOINT)), tmp_path)
    weights, _ = read_checkpoint(trained / CHECKPOINT)
    assert all(torch.equal(weights["average"][name], w) for name, w in trainer.network.state_dict().items())
    assert all(torch.equal(weights["average"][name], w) for name, w in trainer.average.state_dict().items())


def test_a_start_that_cannot_be_is_refused_in_one_sentence(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no checkpoint"):
        Trainer(settings(start=str(tmp_path / "missing")), tmp_path)
    with pytest.raises(TrainingError, match="are of another network; give the widths and blocks"):
        Trainer(settings(start=str(trained / CHECKPOINT), widths=[8, 16, 64]), tmp_path)


def test_every_weight_is_learned_by_exactly_one_optimiser() -> None:
    network = build_autoencoder([8, 16, 32], [0, 1, 1], [0, 1, 1], 8)
    inner, others = split_parameters(network)
    assert {id(p) for p in inner} | {id(p) for p in others} == {id(p) for p in network.parameters()}
    assert not {id(p) for p in inner} & {id(p) for p in others}
    assert all(parameter.ndim == 4 for parameter in inner)


def test_the_rate_rises_and_falls_by_steps(tmp_path: Path) -> None:
    trainer = Trainer(settings(steps=100, warm_up=9, validation=1), tmp_path)
    rates = []
    for step in range(100):
        trainer._set_rates(step)
        rates.append(trainer.optimisers[0].param_groups[0]["lr"])
    assert rates[0] == pytest.approx(trainer.settings.rate / 10)
    assert max(rates) == rates[9]
    assert rates[50] == pytest.approx(trainer.settings.rate / 2)
    assert rates[-1] < trainer.settings.rate / 1000


def test_large_crops_come_last() -> None:
    sizes = list(settings(steps=20, large_share=0.25).sizes())
    assert sizes == [(4, 32)] * 15 + [(2, 64)] * 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": 30}, "training.crop=30: must be a multiple of 4, the stride of the network"),
        ({"encoder_blocks": [1]}, r"training.encoder_blocks=\[1\]: must have one number a width \(3\)"),
        ({"rate": -1.0}, "training.rate=-1.0: must be more than 0"),
    ],
)
def test_a_wrong_setting_is_named_with_its_rule(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        settings(**changes)


def test_a_checkpoint_gives_back_what_was_put_in(tmp_path: Path) -> None:
    weights = {"network": {"a.b": torch.ones(2, 3)}, "average": {"a.b": torch.zeros(1)}}
    write_checkpoint(tmp_path / "checkpoint.safetensors", weights, {"step": 3, "name": "ü"})
    read, progress = read_checkpoint(tmp_path / "checkpoint.safetensors")
    assert progress == {"step": 3, "name": "ü"}
    assert torch.equal(read["network"]["a.b"], torch.ones(2, 3))
    assert torch.equal(read["average"]["a.b"], torch.zeros(1))
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.safetensors"]
