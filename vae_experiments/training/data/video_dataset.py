"""Footage: pieces of the videos below a folder, to train on and to measure with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vae_experiments.errors import SourceError, TrainingError
from vae_experiments.files import digest_of
from vae_experiments.sources.paths import say_name
from vae_experiments.sources.video_file.clip_reader import REACH
from vae_experiments.training.data.dataset import Dataset, TrainingSample

if TYPE_CHECKING:
    from pathlib import Path

    from vae_experiments.sources.video_file.clip_reader import ClipReader
    from vae_experiments.training.procedural.textures import Array, Random

_STREAM = 4  # keeps the choice of a piece apart from other draws
_NEAR = 32  # frames after a keyframe: three of four pieces are taken from there, because decoding costs
_TRIES, _MOST_LAST_TRIES = 8, 100


@dataclass(frozen=True)
class ClipSpan:
    """The part of a file that may be used for one purpose."""

    file: ClipReader
    first: int
    count: int


@dataclass(frozen=True)
class Footage(Dataset):
    """Videos below a folder, looked over and divided."""

    folder: Path
    size: int
    frames: int
    training: tuple[ClipSpan, ...]
    held_out: tuple[ClipSpan, ...]
    skipped: int
    remarks: tuple[str, ...]

    def piece(self, seed: int, number: int) -> TrainingSample:
        """Cut a piece out of a random place of a random file."""
        return self._draw(self.training, [seed, _STREAM, number])

    def validation(self, seed: int, number: int) -> TrainingSample:
        """Cut a piece out of what is held out."""
        return self._draw(self.held_out, [seed, _STREAM, number])

    @property
    def fingerprint(self) -> str:
        """Digest the names of the files, and the part of each that is for training and for measuring."""
        return digest_of(
            [
                [(str(part.file.path.relative_to(self.folder)), part.first, part.count) for part in purpose]
                for purpose in (self.training, self.held_out)
            ]
        )

    def __str__(self) -> str:
        files = {stretch.file.path: stretch.file for stretch in (*self.training, *self.held_out)}
        noun = "picture" if all(file.is_still for file in files.values()) else "video"
        held = f"{len(self.held_out)} held out" if len(files) > 1 else "its end held out"
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return (
            f"{len(files)} {noun}{'s' * (len(files) > 1)} below {say_name(self.folder)}, "
            f"{held} for validation{skipped}"
        )

    def _draw(self, stretches: tuple[ClipSpan, ...], key: list[int]) -> TrainingSample:
        """Try places until one can be read; the tries depend on the key alone."""
        # A long video has more to show than a short one, but not in proportion to its length.
        weights = np.sqrt([stretch.count for stretch in stretches])
        remarks: dict[str, None] = {}
        for attempt in range(_TRIES + min(len(stretches), _MOST_LAST_TRIES)):
            random = np.random.default_rng([*key, attempt])
            # At last, every file in turn from its first frame: damage is mostly further in.
            is_last = attempt >= _TRIES
            chosen = attempt - _TRIES if is_last else random.choice(len(stretches), p=weights / weights.sum())
            stretch = stretches[chosen]
            first = stretch.first if is_last else _place(random, stretch, self.frames)
            try:
                return TrainingSample(self._cut(random, stretch, first), tuple(remarks))
            except SourceError as error:
                remarks[f"skipped parts of {say_name(stretch.file.path)}: {reason(error)}"] = None
        problem = f"none of its videos can be read any more ({next(iter(remarks))})"
        raise folder_error(self.folder, problem, "check the files")

    def _cut(self, random: Random, stretch: ClipSpan, first: int) -> Array:
        """Read a stretch, and cut one square out of all its frames."""
        width, height = stretch.file.size
        short = min(width, height)
        # Where a frame is larger than needed, anything between all of it and its own pixels.
        side = short if short <= self.size else round(short * (self.size / short) ** random.random())
        left, top = (int(random.integers(0, room - side + 1)) for room in (width, height))
        square = (self.size, self.size)

        def cut(pixels: Array) -> Array:
            part = Image.fromarray(np.ascontiguousarray(pixels[top : top + side, left : left + side]))
            return np.asarray(part.resize(square, Image.Resampling.BICUBIC))

        count = min(self.frames, stretch.count)
        return forth_and_back(np.stack(stretch.file.read(first, count, cut)), self.frames)


def forth_and_back(pixels: Array, frames: int) -> Array:
    """Play a clip that is too short to its end and then backwards, as often as it takes."""
    count = len(pixels)
    if count == frames:
        return pixels
    return pixels[[count - 1 - abs(count - 1 - number % max(2 * count - 2, 1)) for number in range(frames)]]


def _place(random: Random, stretch: ClipSpan, frames: int) -> int:
    """Choose the first frame of a piece, mostly one that is not far from a place to begin at."""
    first = stretch.first + int(random.integers(max(stretch.count - frames, 0) + 1))
    start = max(stretch.file.start(first).number, stretch.first)
    return start + (first - start) % (_NEAR if random.random() < 0.75 else REACH)


def reason(error: SourceError) -> str:
    """Return the problem without the name of a setting that this command does not have."""
    problem = re.sub(r"^source\.path=.*?: ", "", " ".join(error.problem.split()))
    return re.sub(r"source\.max_pixels=(\d+)", r"the limit of \1 pixels", problem)


def folder_error(folder: Path | str, problem: str, hint: str) -> TrainingError:
    """Make the error for a folder of videos."""
    return TrainingError(f"data.path={say_name(folder)}: {problem}", hint)
