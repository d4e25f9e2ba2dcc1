"""Gathering: which files below a folder are videos, and which of them are held out."""

from __future__ import annotations

import hashlib
import math
import os
from typing import TYPE_CHECKING

from vae_experiments.errors import SourceError, system_reason
from vae_experiments.files import digest_of
from vae_experiments.sources.paths import files_below, locate, refuse, say_name
from vae_experiments.sources.video_file.clip_reader import ClipReader, look_over
from vae_experiments.training.data.video_dataset import ClipSpan, Footage, folder_error, reason

if TYPE_CHECKING:
    from pathlib import Path

_SMALLEST = 16  # pixels: the side of a frame that there is something to learn from
_MOST_REMARKS = 100
_READ = 1 << 16  # bytes at each end by which copies are known


def gather(path: str, size: int, validation_fraction: float, frames: int) -> Footage:
    """Look over all files below a folder, and hold some out.

    Raises:
        TrainingError: there is no such folder, or no file in it can be used.
    """
    folder = _folder(path)
    usable: list[ClipReader] = []
    skipped: list[str] = []
    notes: list[str] = []
    seen: dict[str, Path] = {}
    for file in files_below(folder, lambda error: skipped.append(_skipped(error))):
        try:
            _refuse_copy(file, seen)
            clip = look_over(file)
            _refuse_useless(clip, frames)
        except SourceError as error:
            skipped.append(f"skipped {say_name(file)}: {reason(error)}")
            continue
        usable.append(clip)
        notes += [f"{say_name(file)}: {remark}" for remark in clip.remarks]
    if not usable:
        problem = f"none of its files can be used ({skipped[0]})" if skipped else "there are no files in it"
        raise folder_error(folder, problem, "give a folder of videos")
    training, held_out = _divide(folder, usable, validation_fraction, frames)
    remarks = (*_first(skipped, "files were skipped"), *_first(notes, "remarks about files were made"))
    return Footage(folder, size, frames, training, held_out, len(skipped), remarks)


def _folder(path: str) -> Path:
    try:
        folder = locate(path)
    except SourceError as error:
        why = reason(error)
        problem = "no such folder" if why.startswith("no such file") else why
        raise folder_error(path, problem, error.hint) from None
    if not folder.is_dir():
        raise folder_error(path, "not a folder", "give the folder that the videos are in")
    return folder


def _skipped(error: OSError) -> str:
    return f"skipped {say_name(error.filename)}: {system_reason(error)}"


def _refuse_copy(file: Path, seen: dict[str, Path]) -> None:
    """Refuse a file that is there already: one copy could be trained on and the other held out.

    Raises:
        SourceError: names the other one.
    """
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
    """Refuse what can be read, but not learned from.

    Raises:
        SourceError: says why.
    """
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

    Raises:
        TrainingError: there is a single file, too short to divide.
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
        raise folder_error(folder, problem, "add another video")
    return (ClipSpan(file, 0, file.frames - end),), (ClipSpan(file, file.frames - end, end),)


def _digest(name: Path) -> bytes:
    return hashlib.sha256(os.fsencode(name.as_posix())).digest()


def _first(remarks: list[str], what: str) -> list[str]:
    """Keep a list readable."""
    more = len(remarks) - _MOST_REMARKS
    return [*remarks[:_MOST_REMARKS], f"{more} more {what}"] if more > 0 else remarks
