from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import torch
from hydra import compose, initialize_config_dir

from tests.conftest import REPOSITORY
from vae_experiments.cli.hydra_setup import CONF, register
from vae_experiments.errors import SettingError
from vae_experiments.training.checkpoints import read_checkpoint
from vae_experiments.training.command import CONFIG_GROUPS, training_from

if TYPE_CHECKING:
    from collections.abc import Callable

    from vae_experiments.training.settings import Training

    Command: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

QUICK = [
    "training.steps=2",
    "training.batch=2",
    "training.crop=32",
    "training.large_batch=2",
    "training.large_crop=32",
    "training.widths=[8,16,16]",
    "training.encoder_blocks=[0,1,1]",
    "training.decoder_blocks=[0,1,1]",
    "training.latent_channels=4",
    "training.validation=1",
    "training.buffer_size=4",
    "training.workers=0",
    "training.tensorboard=false",
    "device.threads=1",
]


def start(*words: str, folder: Path, command: str = "vae_experiments.training") -> subprocess.Popen[str]:
    """Start a training as a person would, and let it run on."""
    return subprocess.Popen(
        [sys.executable, "-m", *command.split(), *words, f"hydra.run.dir={folder}"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError(f"{path} did not come")


def weights(folder: Path) -> dict[str, Any]:
    return read_checkpoint(folder / "checkpoint.safetensors")[0]


def assert_same_weights(first: Path, second: Path) -> None:
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    for part, tensors in one.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other[part][name]), (part, name)


def children(process: subprocess.Popen[str]) -> list[int]:
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in listing.read_text().split()] if listing.exists() else []


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.fixture(scope="module")
def uninterrupted(type_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    words = (*QUICK, "training.steps=12", "training.save_every=4")
    done = type_command("-m", "vae_experiments.training", *words, folder=folder)
    assert done.returncode == 0, done.stderr
    assert f"model=folder model.path={folder / 'model'}" in done.stdout
    return folder


def test_the_command_trains_into_its_folder(uninterrupted: Path) -> None:
    made = {file.name for file in (uninterrupted / "model").iterdir()}
    assert made == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "latent_statistics.json",
        "recipe.json",
    }
    files = {
        "checkpoint.safetensors",
        "metrics.csv",
        "samples.png",
        "train.log",
        "training.json",
        "training.png",
    }
    assert files <= {file.name for file in uninterrupted.iterdir()}


@pytest.mark.slow
def test_a_training_that_was_killed_goes_on_to_the_weights_of_one_that_was_not(
    uninterrupted: Path, tmp_path: Path
) -> None:
    words = [
        *QUICK,
        "training.steps=12",
        "training.save_every=4",
        "training.workers=1",
        "training.resume=true",
    ]
    process = start(*words, folder=tmp_path)
    wait_for(tmp_path / "checkpoint.safetensors", process)
    painters = children(process)
    process.kill()
    process.communicate()
    assert read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["step"] < 12
    for _ in range(100):
        if not any(map(is_alive, painters)):
            break
        time.sleep(0.1)
    assert not any(map(is_alive, painters)), "those who paint frames leave with the training"
    again = start(*words, folder=tmp_path)
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert "going on after step" in said
    assert_same_weights(uninterrupted, tmp_path)


@pytest.mark.slow
def test_ctrl_c_saves_and_stops_in_one_sentence(tmp_path: Path) -> None:
    words = ("training.steps=5000", "training.save_every=5000", "training.save_seconds=0.2")
    process = start(*QUICK, *words, folder=tmp_path)
    wait_for(tmp_path / "checkpoint.safetensors", process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT, said
    assert "saved; training.resume=true continues" in said.splitlines()[-1]
    answer = "interrupted: the training finishes its step, saves and ends; a second time ends at once"
    assert answer in said.splitlines()
    assert "Traceback" not in said
    assert read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["step"] > 0


def test_the_last_training_goes_on_with_its_own_settings(
    type_command: Command, uninterrupted: Path, tmp_path: Path
) -> None:
    last = tmp_path / "outputs" / "training" / "2026-01-02" / "03-04-05"
    shutil.copytree(uninterrupted, last)
    words = ("training.resume=true", "device.threads=1")
    done = type_command("-m", "vae_experiments.training", *words, where=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"going on after step 12 of 12, in {last}" in done.stdout
    assert list((tmp_path / "outputs" / "training").glob("*/*")) == [last]


def test_a_setting_that_was_typed_must_be_the_one_that_the_training_began_with(uninterrupted: Path) -> None:
    register(option_groups=CONFIG_GROUPS)

    def asked(*typed: str) -> Training:
        overrides = list(typed)
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("train", ["training.resume=true", *overrides])
        return training_from(config, uninterrupted, ["training.resume=true", *overrides])[0]

    assert (asked().steps, asked("training.save_every=9").save_every, asked("training.steps=12").steps) == (
        12,
        9,
        12,
    )
    with pytest.raises(
        SettingError, match="training.learning_rate=0.5: the resumed training began with 0.001"
    ):
        asked("training.learning_rate=0.5")
    with pytest.raises(SettingError, match="training=vae: the resumed training began with autoencoder"):
        asked("training=vae")
    with pytest.raises(SettingError, match="training.seed=1: the resumed training began with 0"):
        asked("seed=1")


@pytest.mark.slow
def test_two_processes_learn_what_one_does_from_twice_the_batches(tmp_path: Path) -> None:
    words = [*QUICK, "training.steps=3", "training.precision=float32", "device=cpu"]
    together = start(
        *words,
        folder=tmp_path / "two",
        command="torch.distributed.run --nproc-per-node 2 --master-port 29517 -m vae_experiments.training",
    )
    alone = start(*words, "training.gradient_accumulation=2", folder=tmp_path / "one")
    for process in (together, alone):
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert said.count("the trained autoencoder is ready") == 1
    for name, weight in weights(tmp_path / "one")["trainee"].items():
        torch.testing.assert_close(weight, weights(tmp_path / "two")["trainee"][name], atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (
            "training.learning_rate=-1",
            "training.learning_rate=-1.0: must be more than 0; the default is 0.001",
        ),
        ("+training.stesp=3", "training.stesp=3: training has no such setting; did you mean steps?"),
        ("training=autoencodr", "training=autoencodr: no such choice; did you mean autoencoder?"),
        ("data=folder", "data.path=: has no value; give one: data.path=..."),
        ("device.exact=true", "device.exact=True: a training is exact as it is; leave it out"),
    ],
)
def test_a_mistake_is_one_line(type_command: Command, tmp_path: Path, typed: str, sentence: str) -> None:
    done = type_command("-m", "vae_experiments.training", typed, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {sentence}"), done.stderr
    assert len(done.stderr.splitlines()) == 1
