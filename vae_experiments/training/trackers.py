"""Trackers: TensorBoard and Weights & Biases, through accelerate's doors to them."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import SettingError
from vae_experiments.tensors import to_pixels

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from vae_experiments.tensors import Frames
    from vae_experiments.training.settings import Training


class Trackers:
    """Sends numbers and pictures of a training to whoever was asked for."""

    def __init__(self, settings: Training, folder: Path, first_step: int, speaks: bool = True) -> None:
        wanted = (_tensorboard(settings, folder, first_step), _wandb(settings, folder)) if speaks else ()
        self._trackers = [tracker for tracker in wanted if tracker is not None]

    def __enter__(self) -> Trackers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self._trackers:
            tracker.finish()

    def numbers(self, step: int, numbers: dict[str, float]) -> None:
        """Send the numbers of a step."""
        for tracker in self._trackers:
            tracker.log(numbers, step=step)

    def picture(self, step: int, name: str, frame: Frames) -> None:
        """Send one picture ``1 3 H W``."""
        for tracker in self._trackers:
            tracker.log_images({name: to_pixels(frame)}, step=step, **_layout(tracker))


def _tensorboard(settings: Training, folder: Path, first_step: int) -> Any:
    there = importlib.util.find_spec("tensorboard") is not None
    if settings.tensorboard is False or (settings.tensorboard is None and not there):
        return None
    if not there:
        raise SettingError(
            "training.tensorboard",
            True,
            "needs the package tensorboard",
            "pip install 'vae_experiments[tensorboard]'",
        )
    from accelerate.tracking import TensorBoardTracker

    # What a resumed training does again replaces what is there.
    tracker = TensorBoardTracker("tensorboard", folder, purge_step=first_step + 1)
    tracker.start()
    return tracker


def _wandb(settings: Training, folder: Path) -> Any:
    if not settings.wandb:
        return None
    if importlib.util.find_spec("wandb") is None:
        raise SettingError(
            "training.wandb", True, "needs the package wandb", "pip install 'vae_experiments[wandb]'"
        )
    from accelerate.tracking import WandBTracker

    tracker = WandBTracker("vae_experiments", dir=str(folder), config=dataclasses.asdict(settings))
    tracker.start()
    return tracker


def _layout(tracker: Any) -> dict[str, str]:
    return {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
