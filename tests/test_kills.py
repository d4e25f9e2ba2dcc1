"""``kill -9`` at any instant leaves nothing wrong under a final name, and the same command completes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest

from tests.training.test_command import QUICK
from vae_experiments.files import SUMS, is_complete
from vae_experiments.pipeline.run_folder import FINISHED
from vae_experiments.training.checkpoints import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 is Unix's")
SMALL = ("source.size=32", "source.frames=4")
TRAINING = ("-m", "vae_experiments.training", *QUICK, "training.steps=6", "training.save_every=2")
INSTANTS = 6
KILLED = -9


def dying(type_command: Command, folder: Path, last: int, *words: str) -> tuple[int, list[str]]:
    """Run a command below a folder until its last step on the disk; give its status and its steps."""
    steps = folder / "steps"
    folder.mkdir(exist_ok=True)
    done = type_command("-m", "tests.dying", str(steps), str(last), *words)
    assert done.returncode in (0, KILLED), done.stderr
    return done.returncode, steps.read_text().splitlines()


def instants(steps: int) -> list[int]:
    """Draw steps to die at, one from each sixth of all."""
    dice = random.Random(steps)
    return [round((part + dice.random()) / INSTANTS * (steps - 1)) + 1 for part in range(INSTANTS)]


def hidden(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob(".*") if path.name != ".hydra"]


def numbers(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / FINISHED).read_text())
    return {name: value for name, value in metrics.items() if name not in ("timing", "peak_memory_bytes")}


def final(folder: Path) -> dict[str, bytes]:
    """Give what stands in a folder under final names, but for logs, which grow."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".log")
    named = {path.relative_to(folder): path for path in files}
    seen = {
        name: path
        for name, path in named.items()
        if not any(part.startswith(".") and part != ".hydra" for part in name.parts)
    }
    return {str(name): hashlib.sha256(path.read_bytes()).digest() for name, path in seen.items()}


def frames_of(video: Path) -> int:
    with av.open(str(video)) as opened:
        return sum(1 for _ in opened.decode(video=0))


def test_every_file_of_a_run_gets_its_name_when_it_is_whole(type_command: Command, tmp_path: Path) -> None:
    place = tmp_path / "of" / "run"
    status, steps = dying(
        type_command, tmp_path / "of", 0, "run.py", *SMALL, "output=full", f"hydra.run.dir={place}"
    )
    assert status == 0
    named = {step.partition(" ")[2] for step in steps if step.startswith("os.rename ")}
    written = {str(path) for path in place.rglob("*") if path.is_file() and path.suffix != ".log"}
    assert written == {path for path in written if {path, str(Path(path).parent)} & named}


@pytest.mark.slow
def test_a_run_that_is_killed_is_completed_by_the_same_command(type_command: Command, tmp_path: Path) -> None:
    def words(folder: Path) -> tuple[str, ...]:
        return (
            "run.py",
            *SMALL,
            "output=full",
            f"hydra.run.dir={folder / 'run'}",
            f"cache.dir={folder / 'cache'}",
        )

    whole = tmp_path / "whole"
    _, steps = dying(type_command, whole, 0, *words(whole))
    for instant in instants(len(steps)):
        folder = tmp_path / str(instant)
        assert dying(type_command, folder, instant, *words(folder))[0] == KILLED
        before = final(folder / "run")
        for name in before:
            assert not name.endswith(".mp4") or frames_of(folder / "run" / name) == 4, (instant, name)
        again = type_command(*words(folder))
        if SUMS in before:
            assert "holds a finished run already" in again.stderr
        else:
            assert again.returncode == 0, (instant, again.stderr)
        assert is_complete(folder / "run", FINISHED)
        assert hidden(folder / "run") == []
        assert numbers(folder / "run") == numbers(whole / "run")


@pytest.mark.slow
def test_a_sweep_that_is_killed_is_completed_by_the_same_command(
    type_command: Command, tmp_path: Path
) -> None:
    def words(folder: Path) -> tuple[str, ...]:
        swept = ("-m", "noise.scale=1,2", *SMALL, "output=minimal")
        return ("run.py", *swept, f"hydra.sweep.dir={folder / 'sweep'}", f"cache.dir={folder / 'cache'}")

    whole = tmp_path / "whole"
    _, steps = dying(type_command, whole, 0, *words(whole))
    for instant in instants(len(steps))[1::2]:
        folder = tmp_path / str(instant)
        assert dying(type_command, folder, instant, *words(folder))[0] == KILLED
        done = [job for job in (folder / "sweep").glob("[01]") if (job / SUMS).exists()]
        before = [final(job) for job in done]
        again = type_command(*words(folder))
        assert again.returncode == 0, (instant, again.stderr)
        assert [final(job) for job in done] == before
        assert again.stdout.count("is finished already") == len(done)
        assert hidden(folder / "sweep") == []
        for number in "01":
            assert is_complete(folder / "sweep" / number, FINISHED)
            assert numbers(folder / "sweep" / number) == numbers(whole / "sweep" / number)


@pytest.mark.slow
def test_a_training_that_is_killed_goes_on_to_the_same_weights_and_leaves_nothing_hidden(
    type_command: Command, tmp_path: Path
) -> None:
    def words(folder: Path) -> tuple[str, ...]:
        return (*TRAINING, f"hydra.run.dir={folder / 'training'}")

    def weights(folder: Path) -> dict[str, list[Any]]:
        parts, _ = read_checkpoint(folder / "training" / "checkpoint.safetensors")
        return {f"{part}/{name}": tensor.tolist() for part in parts for name, tensor in parts[part].items()}

    whole = tmp_path / "whole"
    _, steps = dying(type_command, whole, 0, *words(whole))
    for instant in instants(len(steps)):
        folder = tmp_path / str(instant)
        assert dying(type_command, folder, instant, *words(folder))[0] == KILLED
        again = type_command(*words(folder), "training.resume=true")
        assert again.returncode == 0, (instant, again.stderr)
        assert weights(folder) == weights(whole)
        assert hidden(folder / "training") == []
        assert {path.name for path in (folder / "training" / "model").iterdir()} == {
            path.name for path in (whole / "training" / "model").iterdir()
        }
