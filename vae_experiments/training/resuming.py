"""Resuming: which training is resumed, and with which settings."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from vae_experiments.cli.renamed import under_new_names
from vae_experiments.errors import SettingError, TrainingError
from vae_experiments.files import SUMS, read_json
from vae_experiments.options import Choice, dotted
from vae_experiments.pipeline.folder_lock import Reservation, take
from vae_experiments.training.settings import FREE, Training

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vae_experiments.training.data.options import Data

SETTINGS = "training.json"
CHECKPOINT = "checkpoint.safetensors"
MODEL, RECIPE = "model", "recipe.json"
TABLE, CURVES, SAMPLES = "metrics.csv", "training.png", "samples.png"
WRITTEN = (SETTINGS, CHECKPOINT, MODEL, TABLE, CURVES, SAMPLES, SUMS)
"""What a training writes into its folder, and what says that a run has finished there."""


def last_training(parent: Path) -> Path | None:
    """Find the training to go on with, of all ``<date>/<time>/`` that began: the youngest that is not finished.

    If all are finished the youngest one; going on with it does nothing.
    """
    begun = sorted(parent.glob(f"*/*/{SETTINGS}"), key=lambda file: file.stat().st_mtime, reverse=True)
    folders = [file.parent for file in begun]
    # The recipe of a model is written after everything else.
    unfinished = (folder for folder in folders if not exported(folder)[1])
    return next(unfinished, folders[0] if folders else None)


def exported(folder: Path) -> tuple[int, bool]:
    """Return after which step the model of a training was exported, and whether that was the last; 0 if none was."""
    try:
        recipe = read_json(folder / MODEL / RECIPE)
        return int(recipe["step"]), recipe["step"] >= recipe["settings"]["training"]["steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0, False


def reserve_training_folder(folder: Path) -> Reservation | None:
    """Claim a training's folder before its first file: of processes that train together the first one does.

    What a training that was killed left hidden there goes.

    Raises:
        RefusedError: another training is at work there, or files of a person or a run would be written over.
    """
    if os.environ.get("RANK", "0") != "0":
        return None
    saved = SETTINGS if (folder / SETTINGS).exists() else None
    return take(folder, SETTINGS, WRITTEN, "hydra.run.dir", lambda: saved)


def described(training: Training, data: Data) -> dict[str, Any]:
    """Write down what a training is, so that it can go on: plain values, as a config has them."""
    return {
        option.group: {
            name: str(value) if isinstance(value, Choice) else value
            for name, value in dataclasses.asdict(option).items()
        }
        for option in (training, data)
    }


def saved_settings(folder: Path) -> dict[str, Any] | None:
    """Read what a training was begun with; None where none began.

    Raises:
        TrainingError: it cannot be read.
    """
    file = folder / SETTINGS
    if not file.exists():
        return None
    try:
        settings = read_json(file)
        return {name: under_new_names(name, dict(settings[name])) for name in ("training", "data")}
    except (ValueError, KeyError, TypeError) as error:
        hint = "put a copy of it in its place, or begin anew in another folder"
        raise TrainingError(f"{file} is damaged", hint) from error


def merged(saved: dict[str, Any], asked: dict[str, Any], typed: Sequence[str]) -> dict[str, Any]:
    """Go on with the saved settings, and those typed ones that may change.

    Args:
        saved: blocks of settings, ``training`` and ``data``, as the training began with them.
        asked: the same blocks as this command line composes them.
        typed: the overrides of this command line, such as ``training.steps=100``.

    Raises:
        SettingError: a setting was typed that is another one than the training began with.
    """
    blocks = {name: dict(block) for name, block in saved.items()}
    for key in (override.split("=")[0].lstrip("+~") for override in typed):
        block, _, name = ("training.seed" if key == "seed" else key).partition(".")
        if block in blocks and name in FREE:
            blocks[block][name] = asked[block][name]
        elif block in blocks:
            _refuse_other(block, name or "kind", blocks[block], asked[block])
    return blocks


def check_resumed(saved: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse to go on with settings that would make another training of it.

    Raises:
        SettingError: names the first one.
    """
    for block, settings in saved.items():
        for name in settings:
            if name not in FREE:
                _refuse_other(block, name, settings, asked[block])


def _refuse_other(block: str, name: str, saved: dict[str, Any], asked: dict[str, Any]) -> None:
    before, now = str(saved.get(name)), str(asked.get(name))
    if before != now:
        setting, rule = (
            block if name == "kind" else dotted(block, name),
            f"the resumed training began with {before}",
        )
        hint = "leave it out, or begin another training without training.resume"
        raise SettingError(setting, now, rule, hint)
