"""What a training writes down for people: metrics.csv, training.png, samples.png, and what trackers show."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import TYPE_CHECKING, Any

from vae_experiments.files import write_csv
from vae_experiments.tensors import to_pixels
from vae_experiments.training.resuming import CURVES, SAMPLES, TABLE
from vae_experiments.writers import plot_training, write_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vae_experiments.tensors import Frames
    from vae_experiments.training.settings import Training

MOST_SAMPLES = 8


class History:
    """Keeps a row of numbers for steps now and then, on disk as a table and as curves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, float]] = []

    def add(self, step: int, numbers: dict[str, float]) -> None:
        """Note numbers of a step, beside what is noted of it already."""
        if not self.rows or self.rows[-1]["step"] != step:
            self.rows.append({"step": step})
        self.rows[-1] |= numbers

    def write(self) -> None:
        """Write the table and draw the curves."""
        self.write_table()
        plot_training(self.folder / CURVES, self.rows)

    def write_table(self) -> None:
        """Write the table alone."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        rows = [[f"{row[name]:.6g}" if name in row else None for name in names] for row in self.rows]
        write_csv(self.folder / TABLE, names, rows)

    def write_samples(self, pairs: Sequence[tuple[Frames, Frames]]) -> Frames:
        """Lay originals out above their reconstructions, and give the sheet, ``1 3 H W``."""
        sheet = sample_sheet(pairs)
        write_png(self.folder / SAMPLES, to_pixels(sheet)[0])
        return sheet


def sample_sheet(pairs: Sequence[tuple[Frames, Frames]]) -> Frames:
    """Lay pairs of clips ``T 3 H W`` out: the original above, the reconstruction below, clips beside each other.

    Of a clip the first, the middle and the last frame are shown.
    """
    import torch

    columns = []
    for original, reconstructed in pairs[:MOST_SAMPLES]:
        shown = sorted({0, len(original) // 2, len(original) - 1})
        columns += [torch.cat([original[at], reconstructed[at]], dim=1) for at in shown]
    height, width = (min(column.shape[axis] for column in columns) for axis in (1, 2))
    cut = [column[:, :height, :width] for column in columns[: 2 * MOST_SAMPLES]]
    return torch.cat(cut, dim=2)[None]


class Trackers:
    """Sends numbers and pictures of a training to TensorBoard and Weights & Biases, through accelerate's doors."""

    def __init__(self, settings: Training, folder: Path, first_step: int, speaks: bool = True) -> None:
        wanted = [name for name in ("tensorboard", "wandb") if speaks and _is_wanted(settings, name)]
        self._trackers = [_tracker(name, settings, folder, first_step) for name in wanted]
        for tracker in self._trackers:
            tracker.start()

    def numbers(self, step: int, numbers: dict[str, float]) -> None:
        """Send the numbers of a step."""
        for tracker in self._trackers:
            tracker.log(numbers, step=step)

    def picture(self, step: int, name: str, frame: Frames) -> None:
        """Send one picture ``1 3 H W``."""
        for tracker in self._trackers:
            layout = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
            tracker.log_images({name: to_pixels(frame)}, step=step, **layout)

    def finish(self) -> None:
        """Send what is waiting, and close."""
        for tracker in self._trackers:
            tracker.finish()


def _is_wanted(settings: Training, package: str) -> bool:
    wanted, is_there = getattr(settings, package), importlib.util.find_spec(package) is not None
    if wanted and not is_there:
        hint = f"pip install 'vae_experiments[{package}]'"
        raise settings.error_for(package, f"needs the package {package}", hint)
    return is_there if wanted is None else wanted


def _tracker(name: str, settings: Training, folder: Path, first_step: int) -> Any:
    from accelerate.tracking import TensorBoardTracker, WandBTracker

    if name == "wandb":
        return WandBTracker("vae_experiments", dir=str(folder), config=dataclasses.asdict(settings))
    # What a resumed training does again replaces what is there.
    return TensorBoardTracker(name, folder, purge_step=first_step + 1)
