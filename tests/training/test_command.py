from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Command: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

QUICK = [
    "training.steps=2",
    "training.batch=2",
    "training.crop=32",
    "training.large_crop=32",
    "training.widths=[8,16,16]",
    "training.encoder_blocks=[0,1,1]",
    "training.decoder_blocks=[0,1,1]",
    "training.latent_channels=4",
    "training.validation=1",
    "training.window=4",
]


def test_the_command_trains_into_its_folder(type_command: Command, tmp_path: Path) -> None:
    done = type_command("-m", "vae_experiments.training", *QUICK, "seed=3", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"model=folder model.path={tmp_path / 'model'}" in done.stdout
    made = {file.name for file in (tmp_path / "model").iterdir()}
    assert made == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "latent_statistics.json",
        "recipe.json",
    }
    assert (tmp_path / "checkpoint.safetensors").exists()
    assert (tmp_path / "train.log").exists()


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("training.rate=-1", "training.rate=-1.0: must be more than 0; the default is 0.002"),
        ("training.rate=fast", "training.rate=fast: must be a number"),
        ("training.stesp=3", "training.stesp=3: training has no such setting; did you mean steps?"),
        ("+training.stesp=3", "training.stesp=3: training has no such setting; did you mean steps?"),
        ("training=autoencodr", "training=autoencodr: no such choice; did you mean autoencoder?"),
    ],
)
def test_a_mistake_is_one_line(type_command: Command, tmp_path: Path, typed: str, sentence: str) -> None:
    done = type_command("-m", "vae_experiments.training", typed, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {sentence}")
    assert len(done.stderr.splitlines()) == 1
