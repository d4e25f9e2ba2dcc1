"""A training loses a minute at most, whatever ends it, and continues from nothing that is not what was saved."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.training.test_trainer import assert_same, saved, settings, table, trainer
from vae_experiments.errors import StoppedError, TrainingError
from vae_experiments.files import SUMS, hidden_beside
from vae_experiments.pipeline.folder_lock import RESERVATION, RefusedError
from vae_experiments.runtime.device import Device
from vae_experiments.training import train
from vae_experiments.training import trainer as trainer_module
from vae_experiments.training.checkpoints import LARGEST_SHARE, Pace, read_checkpoint
from vae_experiments.training.data.options import Procedural
from vae_experiments.training.recipes import Autoencoder
from vae_experiments.training.resuming import CHECKPOINT, SETTINGS, saved_settings
from vae_experiments.training.trainer import MODEL, Trainer

SECONDS_A_STEP = 4.0


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Killed(BaseException):
    """Ends a training as ``kill -9`` does: nobody saves."""


def slow_trainer(folder: Path, killed_in: int | None = None, **changes: Any) -> Trainer:
    """Make a trainer whose steps take four seconds each on its own clock, and which may be killed in one."""
    made = trainer(folder, steps=8, save_every=100, log_every=1, **changes)
    clock = Clock()
    made.pace = Pace(10, clock)
    learn = made.learner.learn

    def learn_slowly(step: int, batches: Any) -> dict[str, float]:
        clock.now += SECONDS_A_STEP
        if step == killed_in:
            raise Killed
        return learn(step, batches)

    made.learner.learn = learn_slowly  # type: ignore[method-assign]
    return made


@pytest.mark.slow
def test_a_training_saves_by_the_clock_and_goes_on_from_there_bit_for_bit(tmp_path: Path) -> None:
    slow_trainer(tmp_path / "whole").train()
    with pytest.raises(Killed):
        slow_trainer(tmp_path / "parted", killed_in=5).train()
    assert read_checkpoint(tmp_path / "parted" / CHECKPOINT)[1]["step"] == 3, "twelve seconds are over ten"
    slow_trainer(tmp_path / "parted", resume=True).train()
    assert_same(saved(tmp_path / "whole"), saved(tmp_path / "parted"))
    rows = [[(row["step"], row["loss"]) for row in table(tmp_path / name)] for name in ("whole", "parted")]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 8


@pytest.mark.slow
def test_the_seconds_of_a_training_are_those_of_all_its_parts(tmp_path: Path) -> None:
    first = trainer(tmp_path, steps=4, save_every=2, log_every=1, validation=1)
    first.started_seconds -= 1000.0
    first.train()
    standing = read_checkpoint(tmp_path / CHECKPOINT)[1]
    assert standing["seconds"] >= 1000
    again = trainer(tmp_path, steps=4, save_every=2, log_every=1, validation=1, resume=True)
    assert again._standing()["seconds"] >= standing["seconds"]


def test_a_training_as_it_comes_saves_once_a_minute(tmp_path: Path) -> None:
    assert trainer(tmp_path).pace.seconds <= 60


def test_saving_takes_a_twentieth_of_the_time_at_most() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    assert not pace.is_due()
    clock.now += 1
    assert pace.is_due()
    with pace.saving():
        clock.now += 3
    clock.now += 3 / LARGEST_SHARE - 1
    assert not pace.is_due()
    clock.now += 1
    assert pace.is_due()


def interrupted(made: Trainer, after: int) -> Trainer:
    """Interrupt a training while the batches of a step are prepared."""
    steps = made.batches.steps

    def some_steps(first: int, parts: range) -> Iterator[Any]:
        for number, batches in enumerate(steps(first, parts)):
            if number == after:
                raise KeyboardInterrupt
            yield batches

    made.batches.steps = some_steps  # type: ignore[assignment, method-assign]
    return made


def test_ctrl_c_between_two_steps_saves_at_once_and_measures_one_piece_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []
    reconstruct = trainer_module.reconstruct

    def counted(network: Any, clip: Any) -> Any:
        measured.append(clip)
        return reconstruct(network, clip)

    monkeypatch.setattr(trainer_module, "reconstruct", counted)
    with pytest.raises(StoppedError, match="stopped after step 2, saved; training.resume=true") as stopped:
        interrupted(trainer(tmp_path, steps=6, save_every=6, log_every=1), after=2).train()
    assert stopped.value.signal == signal.SIGINT
    assert read_checkpoint(tmp_path / CHECKPOINT)[1]["step"] == 2
    assert len(measured) == 1
    assert not (tmp_path / MODEL).exists()
    assert [row["step"] for row in table(tmp_path)] == ["1", "2"]


def test_ctrl_c_before_the_first_step_says_that_there_is_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match="stopped after step 0, nothing to save yet"):
        interrupted(trainer(tmp_path), after=0).train()
    assert not (tmp_path / CHECKPOINT).exists()


def test_what_is_prepared_before_the_first_step_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(StoppedError):
        interrupted(trainer(tmp_path), after=0).train()
    assert "preparing 3 pieces to measure with, and 8 to learn from ..." in caplog.messages


def run(folder: Path, **changes: Any) -> Path:
    return train(
        settings(Autoencoder, steps=2, log_every=1, **changes), folder, Procedural(), Device(threads=1)
    )


@pytest.mark.parametrize("name", ["metrics.csv", "samples.png", CHECKPOINT, MODEL, SUMS])
def test_a_training_never_writes_over_what_is_not_its_own(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("a person's, or a run's")
    with pytest.raises(RefusedError, match="hydra.run.dir=.*: holds .*; choose another folder, or delete it"):
        run(tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [
        (name, "a person's, or a run's")
    ]


def test_two_trainings_never_share_a_folder(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / RESERVATION).open("w") as of_another:
        fcntl.flock(of_another, fcntl.LOCK_EX)
        with pytest.raises(RefusedError, match="is being written by another process; choose another folder"):
            run(tmp_path, resume=True)


def test_a_training_that_goes_on_clears_what_the_killed_one_left_hidden_and_nothing_else(
    tmp_path: Path,
) -> None:
    run(tmp_path)
    # As after kill -9 between the two renames of the model.
    (tmp_path / RESERVATION).write_text(f'{{"settings": "{SETTINGS}"}}')
    hidden_beside(tmp_path / CHECKPOINT).write_text("half")
    (tmp_path / MODEL).rename(hidden_beside(tmp_path / MODEL))
    hidden_beside(tmp_path / MODEL).mkdir()
    (tmp_path / ".mine").write_text("a person's")
    assert {path.name for path in run(tmp_path, resume=True).iterdir()} >= {"config.json", "recipe.json"}
    assert [path.name for path in tmp_path.glob(".*")] == [".mine"]


def test_a_model_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda file: waited.add(os.fstat(file).st_ino))
    model = run(tmp_path)
    assert {path.stat().st_ino for path in (model, *model.iterdir())} <= waited


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    trainer(folder, steps=2, log_every=1).train()
    return folder


def test_of_a_hundred_flipped_bits_of_a_checkpoint_none_is_read_in_silence(
    finished: Path, tmp_path: Path
) -> None:
    whole = (finished / CHECKPOINT).read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    draw = random.Random(0)
    places = [draw.randrange(8 * header) for _ in range(50)]
    places += [draw.randrange(8 * len(whole)) for _ in range(50)]
    damaged = tmp_path / CHECKPOINT
    for place in places:
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        damaged.write_bytes(content)
        with pytest.raises(TrainingError, match=r"is damaged|is no checkpoint"):
            read_checkpoint(damaged)
    damaged.write_bytes(whole)
    assert read_checkpoint(damaged)[1]["step"] == 2


def test_a_training_does_not_go_on_from_a_checkpoint_with_one_flipped_bit(
    finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "damaged")
    checkpoint = tmp_path / "damaged" / CHECKPOINT
    content = bytearray(checkpoint.read_bytes())
    content[-1000] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(TrainingError, match=f"{checkpoint} is damaged, its SHA-256 is another") as refused:
        trainer(tmp_path / "damaged", steps=2, log_every=1, resume=True)
    assert "\n" not in str(refused.value)


def test_what_was_measured_before_comes_from_the_checkpoint_and_not_from_a_table_that_may_be_damaged(
    finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "again")
    (tmp_path / "again" / "metrics.csv").write_text("step,loss\n1,wrong\n")
    trainer(tmp_path / "again", steps=2, log_every=1, resume=True).history.write_table()
    assert (tmp_path / "again" / "metrics.csv").read_text() == (finished / "metrics.csv").read_text()


@pytest.mark.parametrize("content", ["{", "[]", '{"training": 1}'])
def test_settings_that_cannot_be_read_are_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / SETTINGS).write_text(content)
    with pytest.raises(TrainingError, match="training.json is damaged; put a copy of it in its place"):
        saved_settings(tmp_path)
