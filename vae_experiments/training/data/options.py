"""Data: where the frames come from that an autoencoder learns from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from vae_experiments.options import Option, setting
from vae_experiments.training.data.dataset import Dataset, TrainingSample

_VALIDATION = 1_000_000_000  # the number of the first frame that training never reaches


class Data(Option, ABC, group="data"):
    """Where training frames come from."""

    @abstractmethod
    def prepare(self, frames: int) -> Dataset:
        """Look over what is there, once, for a training on clips of so many frames.

        Raises:
            TrainingError: there is nothing to train on.
        """


class Procedural(Data):
    """Frames and clips that this package paints itself: nothing to download, and no end of them."""

    plain: float = setting(
        "fraction of frames of one colour or one gradient", default=0.1, minimum=0, maximum=1
    )

    def prepare(self, frames: int) -> Dataset:
        """Look nothing over: what is painted is always there."""
        return _Painted(frames, self.plain)


class Folder(Data):
    """All videos below a folder, or that a pattern matches, with some of them held out to measure with.

    A folder of pictures is a video; where single frames are trained on, each picture is one. Damaged ones and
    such as are cut short are left out and named. A clip that has fewer frames than the
    training takes at a time, but at least half of them, is played forth and back.
    """

    path: str = setting(
        "the folder, with all folders in it; a pattern such as 'clips/**/*.mp4'; or one video", default="???"
    )
    limit: int | None = setting(
        "how many of them at most, the first by name; all if left out", default=None, minimum=1
    )
    size: int = setting(
        "side of the pieces that training cuts its crops from; larger frames are reduced, by a different "
        "factor each time, and smaller ones enlarged",
        default=192,
        unit="pixels",
        minimum=32,
    )
    validation_fraction: float = setting(
        "fraction of the files that are held out to measure with, at least one; of a single file, its end",
        default=0.1,
        minimum=0,
        maximum=0.5,
    )

    def prepare(self, frames: int) -> Dataset:
        """Look at every file, and hold some out.

        Raises:
            TrainingError: there is no such folder, or nothing in it can be used.
        """
        from vae_experiments.training.data.video_dataset import gather

        return gather(self.path, self.size, self.validation_fraction, frames, self.limit)


@dataclass(frozen=True)
class _Painted(Dataset):
    """Procedural frames, or clips of them."""

    frames: int
    plain: float
    remarks: tuple[str, ...] = ()

    fingerprint: str = ""

    def piece(self, seed: int, number: int) -> TrainingSample:
        return self._paint(seed, number, self.plain)

    def validation(self, seed: int, number: int) -> TrainingSample:
        # The same ones for every fraction of plain frames.
        return self._paint(seed, _VALIDATION + number, 0.1)

    def __str__(self) -> str:
        return "procedural frames" if self.frames == 1 else "procedural clips"

    def _paint(self, seed: int, number: int, plain: float) -> TrainingSample:
        import numpy as np

        from vae_experiments.sources.procedural.clips import clip
        from vae_experiments.sources.procedural.frames import frame

        if self.frames == 1:
            return TrainingSample(np.stack([frame(seed, number, plain)]))
        return TrainingSample(clip(seed, number, self.frames, plain))
