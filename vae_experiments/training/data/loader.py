"""Batches of crops: what the network sees in each step, whatever else the machine does.

A piece of data depends on the seed and its number alone, and a batch on the seed, its step, its
part and the pieces that are then in the buffer; so neither timing, nor the number of workers, nor
a training that stopped and went on changes it.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange

from vae_experiments.errors import TrainingError
from vae_experiments.tensors import to_frames

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from vae_experiments.sources.procedural.textures import Array, Random
    from vae_experiments.tensors import Frames
    from vae_experiments.training.data.dataset import Dataset, TrainingSample
    from vae_experiments.training.settings import Training

_STREAM = 2  # keeps the choices of a batch apart from those of frames and textures
_AHEAD = 64  # pieces that workers may be ahead of the network


class Batches:
    """Gives the batches of each step, from any step on.

    Crops are cut out of a buffer of pieces; after each step some come in and the oldest go.
    """

    def __init__(self, settings: Training, prepared: Dataset) -> None:
        self.settings, self.prepared = settings, prepared
        self._told = set(prepared.remarks)
        self._untold: list[str] = []

    def steps(self, first: int, parts: range) -> Generator[list[Frames]]:
        """Yield the batches of step ``first`` and of all after it, one for each part.

        Each is ``batch 3 crop crop``, or ``batch 3 T crop crop``, in [-1, 1]. A step has a part for
        each process and each accumulated batch.
        """
        settings = self.settings
        pieces = self._pieces(first * settings.refresh)
        try:
            buffer = deque((next(pieces) for _ in range(settings.buffer_size)), maxlen=settings.buffer_size)
            for step in range(first, settings.steps):
                yield [self._crops(step, part, buffer) for part in parts]
                buffer.extend(next(pieces) for _ in range(settings.refresh))
        finally:
            pieces.close()

    def held_out(self) -> list[Frames]:
        """Return the pieces that training never sees, each ``T 3 H W``, cut to what the network takes.

        Raises:
            SettingError: crops are larger than pieces are.
        """
        stride = self.settings.stride
        frames = []
        for number in range(self.settings.validation):
            pixels = self._heard(self.prepared.validation(self.settings.seed, number))
            self._check_crops(min(pixels.shape[1:3]))
            height, width = (side // stride * stride for side in pixels.shape[1:3])
            frames.append(to_frames(pixels[:, :height, :width]))
        return frames

    def new_remarks(self) -> list[str]:
        """Return what was found in the data since the last call, each thing once."""
        remarks, self._untold = self._untold, []
        return remarks

    def _check_crops(self, side: int) -> None:
        for name in ("crop", "large_crop"):
            if getattr(self.settings, name) > side:
                rule = f"must be at most {side} pixels, the side of the data"
                raise self.settings.error_for(
                    name, rule, "make it smaller, or data.size of data=folder larger"
                )

    def _crops(self, step: int, part: int, buffer: deque[Array]) -> Frames:
        batch, crop = self.settings.sizes(step)
        random = np.random.default_rng([self.settings.seed, _STREAM, step, part])
        clips = crops(random, buffer, batch, crop)
        if self.settings.frames == 1:
            return clips[:, :, 0].contiguous(memory_format=torch.channels_last)
        return clips

    def _pieces(self, first: int) -> Generator[Array]:
        """Yield the pieces from ``first`` on, without end, prepared here or by worker processes."""
        seed, workers = self.settings.seed, self.settings.workers
        if workers == 0:
            for number in count(first):
                yield self._heard(self.prepared.piece(seed, number))
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker, (self.prepared,))
        coming: deque[Future[TrainingSample]] = deque()
        try:
            for number in count(first):
                coming.append(pool.submit(_piece, seed, number))
                if len(coming) > _AHEAD:
                    yield self._heard(coming.popleft().result())
        except BrokenProcessPool as error:
            raise TrainingError(
                "a process that prepares data ended unasked",
                "free some memory; a script of your own has to start the training under "
                "if __name__ == '__main__', or with workers=0",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _heard(self, piece: TrainingSample) -> Array:
        for remark in piece.remarks:
            if remark not in self._told:
                self._told.add(remark)
                self._untold.append(remark)
        return piece.pixels


def crops(random: Random, buffer: deque[Array], batch: int, crop: int) -> Frames:
    """Cut crops ``batch 3 T crop crop`` out of pieces in the buffer, turn them, and change their colours."""
    chosen = random.choice(len(buffer), batch, replace=batch > len(buffer))
    pixels = np.stack([_cut(random, buffer[index], crop) for index in chosen])
    matrices = torch.from_numpy(np.stack([colour_matrix(random) for _ in range(batch)]))
    frames = rearrange(
        to_frames(rearrange(pixels, "b t h w c -> (b t) h w c")), "(b t) c h w -> b t c h w", b=batch
    )
    return torch.einsum("bij,btjhw->bithw", matrices, frames).clamp_(-1, 1).contiguous()


def _cut(random: Random, pixels: Array, crop: int) -> Array:
    """Cut the same square out of all frames of a piece ``T H W 3``, and turn it."""
    y, x = (int(random.integers(0, side - crop + 1)) for side in pixels.shape[1:3])
    part = pixels[:, y : y + crop, x : x + crop]
    if random.random() < 0.5:
        part = rearrange(part, "t h w c -> t w h c")
    return part[:, :: random.choice([-1, 1]), :: random.choice([-1, 1])]


def colour_matrix(random: Random) -> Array:
    """Draw a change of colour, 3 x 3, that leaves greys grey.

    Swapped channels, more or less saturation and a turned hue: from the first step on, because an
    axis of colour that is not encoded in the first few hundred steps never is.
    """
    matrix = np.eye(3)
    if random.random() < 0.5:
        saturation, turn = random.uniform(0, 2), random.normal(0, 0.5)
        matrix = saturation * _turn_hue(turn) + (1 - saturation) / 3
    if random.random() < 0.6:
        matrix = matrix[random.permutation(3)]
    return matrix.astype(np.float32)


def _turn_hue(angle: float) -> Array:
    """Rotate colours about the grey axis (Rodrigues' formula)."""
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)


_prepared: Dataset
"""In a worker process: the data, sent once and not with each piece."""


def _begin_worker(prepared: Dataset) -> None:
    global _prepared
    _prepared = prepared
    # Ctrl-C reaches every process of the terminal; the training itself decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave when the training is gone, even if it was killed and could not say so."""
    parent = parent_process()
    assert parent is not None, "a worker has a parent"
    wait([parent.sentinel])
    os._exit(1)


def _piece(seed: int, number: int) -> TrainingSample:
    return _prepared.piece(seed, number)
