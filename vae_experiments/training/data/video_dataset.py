"""Footage: which files below a folder are videos, which of them are held out, and pieces cut from them."""

from __future__ import annotations

import hashlib
import math
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vae_experiments.errors import SourceError, TrainingError, system_reason
from vae_experiments.files import digest_of
from vae_experiments.sources.paths import refuse, say_name
from vae_experiments.sources.video_file.clip_reader import REACH, ClipReader, look_over
from vae_experiments.sources.video_set import passed_over_at, root_of, videos_at
from vae_experiments.training.data.dataset import Dataset, TrainingSample

if TYPE_CHECKING:
    from pathlib import Path

    from vae_experiments.sources.procedural.textures import Array, Random

_STREAM = 4  # keeps the choice of a piece apart from other draws
_NEAR = 32  # frames after a keyframe: three of four pieces are taken from there, because decoding costs
_TRIES, _MOST_LAST_TRIES = 8, 100
_SMALLEST = 16  # pixels: the side of a frame that there is something to learn from
_MOST_REMARKS = 100
_READ = 1 << 16  # bytes at each end by which copies are known


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
    passed_over: int
    """Files of the folder that are no videos by their names."""
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
        others = f", {self.passed_over} other file{'s' * (self.passed_over > 1)} passed over"
        return (
            f"{len(files)} {noun}{'s' * (len(files) > 1)} below {say_name(self.folder)}, "
            f"{held} for validation{skipped}{others if self.passed_over else ''}"
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
                remarks[f"skipped parts of {say_name(stretch.file.path)}: {_reason(error)}"] = None
        problem = f"none of its videos can be read any more ({next(iter(remarks))})"
        raise _folder_error(self.folder, problem, "check the files")

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


def _reason(error: SourceError) -> str:
    """Return the problem without the name of a setting that this command does not have."""
    problem = re.sub(r"^source\.path=.*?: ", "", " ".join(error.problem.split()))
    return re.sub(r"source\.max_pixels=(\d+)", r"the limit of \1 pixels", problem)


def _folder_error(folder: Path | str, problem: str, hint: str) -> TrainingError:
    return TrainingError(f"data.path={say_name(folder)}: {problem}", hint)


def gather(
    path: str, size: int, validation_fraction: float, frames: int, limit: int | None = None
) -> Footage:
    """Look over all videos below a folder, or that a pattern matches, and hold some out.

    Raises:
        TrainingError: there is no such folder, or nothing in it can be used.
    """
    usable: list[ClipReader] = []
    skipped: list[str] = []
    notes: list[str] = []

    def skip(error: OSError) -> None:
        skipped.append(f"skipped {say_name(error.filename)}: {system_reason(error)}")

    try:
        folder = root_of(path)
        files = videos_at(path, limit, stills=frames == 1, on_error=skip)
        others = passed_over_at(path, stills=frames == 1)
    except SourceError as error:
        raise _folder_error(path, _reason(error), error.hint) from None
    seen: dict[str, Path] = {}
    for file in files:
        try:
            _refuse_copy(file, seen)
            clip = look_over(file)
            _refuse_useless(clip, frames)
        except SourceError as error:
            skipped.append(f"skipped {say_name(file)}: {_reason(error)}")
            continue
        usable.append(clip)
        notes += [f"{say_name(file)}: {remark}" for remark in clip.remarks]
    if not usable:
        raise _folder_error(path, f"none of its videos can be used ({skipped[0]})", "give a folder of others")
    training, held_out = _divide(folder, usable, validation_fraction, frames)
    remarks = (*_first(skipped, "files were skipped"), *_first(notes, "remarks about files were made"))
    return Footage(folder, size, frames, training, held_out, len(skipped), others, remarks)


def _refuse_copy(file: Path, seen: dict[str, Path]) -> None:
    """Refuse a file that is there already: one copy could be trained on and the other held out."""
    if not file.is_file():
        return  # a pipe would wait for somebody to write
    try:
        with file.open("rb") as opened:
            begin = opened.read(_READ)
            length = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, length - _READ))
            identity = digest_of(length, begin.hex(), opened.read(_READ).hex())
    except OSError:
        return  # what cannot be opened is named when it is looked over
    if length and identity in seen:
        raise refuse(file, f"the same as {say_name(seen[identity])}", "leave it out")
    seen[identity] = file


def _refuse_useless(clip: ClipReader, frames: int) -> None:
    """Refuse what can be read, but not learned from."""
    hint = "leave it out"
    if clip.is_still and frames > 1:
        raise refuse(clip.path, f"a still picture, and the training takes {frames} frames at a time", hint)
    if clip.frames < _fewest(frames):
        problem = f"too short: it has {clip.frames} of the {frames} frames that the training takes at a time"
        raise refuse(clip.path, problem, hint)
    if min(clip.size) < _SMALLEST:
        raise refuse(clip.path, f"its frames are {clip.size}, too small to learn from", hint)


def _fewest(frames: int) -> int:
    """Return how many frames are enough for a piece: those of a clip may be played forth and back once."""
    return (frames + 1) // 2


def _divide(
    folder: Path, usable: list[ClipReader], share: float, frames: int
) -> tuple[tuple[ClipSpan, ...], tuple[ClipSpan, ...]]:
    """Divide what there is into a part to train on and a part to measure with.

    A file's name below the folder decides, by a digest: neither the order of a listing nor the seed
    of a training moves a file from one part to the other, and few files move when some are added.
    """
    if len(usable) > 1:
        ranked = sorted(usable, key=lambda file: _digest(file.path.relative_to(folder)))
        count = max(1, round(share * len(usable)))
        held_out = {file.path for file in ranked[:count]}
        whole = [ClipSpan(file, 0, file.frames) for file in usable]
        return (
            tuple(stretch for stretch in whole if stretch.file.path not in held_out),
            tuple(stretch for stretch in whole if stretch.file.path in held_out),
        )
    file = usable[0]
    end = max(math.ceil(file.frames / 10), _fewest(frames))
    if file.frames - end < _fewest(frames):
        problem = f"its one usable file has {file.frames} frames, too few to train on and to measure with"
        raise _folder_error(folder, problem, "add another video")
    return (ClipSpan(file, 0, file.frames - end),), (ClipSpan(file, file.frames - end, end),)


def _digest(name: Path) -> bytes:
    return hashlib.sha256(os.fsencode(name.as_posix())).digest()


def _first(remarks: list[str], what: str) -> list[str]:
    """Keep a list readable."""
    more = len(remarks) - _MOST_REMARKS
    return [*remarks[:_MOST_REMARKS], f"{more} more {what}"] if more > 0 else remarks
