"""Batches of crops: what the network sees in each step, whatever else the machine does.

Frame ``n`` depends on the seed and ``n`` alone, and the batch of a step on the seed, the step and
the frames that are then in the window; so neither timing nor the number of workers changes it.
"""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
import torch

from vae_experiments.tensors import to_frames
from vae_experiments.training.frames import SIDE, frame

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from concurrent.futures import Future

    from vae_experiments.tensors import Frames
    from vae_experiments.training.settings import Autoencoder
    from vae_experiments.training.textures import Array, Random

_STREAM = 2  # keeps the choices of a batch apart from those of frames and textures
_VALIDATION = 1_000_000_000  # the number of the first frame that training never reaches
_AHEAD = 64  # frames that workers may be ahead of the network


def batches(settings: Autoencoder) -> Iterator[Frames]:
    """Yield the batch of each step, ``batch 3 crop crop``, in [-1, 1].

    Crops are cut out of a window of frames; after each step one more comes in and the oldest goes.
    """
    painted = _painted_frames(settings.seed, settings.workers, settings.plain)
    try:
        window = deque((next(painted) for _ in range(settings.window)), maxlen=settings.window)
        for step, (batch, crop) in enumerate(settings.sizes()):
            yield crops(np.random.default_rng([settings.seed, _STREAM, step]), window, batch, crop)
            window.append(next(painted))
    finally:
        painted.close()


def validation_frames(seed: int, frames: int) -> Frames:
    """Give frames that no training with this seed has seen, ``frames 3 SIDE SIDE``."""
    return to_frames(np.stack([frame(seed, _VALIDATION + number) for number in range(frames)]))


def crops(random: Random, window: deque[Array], batch: int, crop: int) -> Frames:
    """Cut crops out of frames in the window, turn them, and change their colours."""
    chosen = random.choice(len(window), batch, replace=batch > len(window))
    pixels = np.stack([_cut(random, window[index], crop) for index in chosen])
    matrices = torch.from_numpy(np.stack([colour_matrix(random) for _ in range(batch)]))
    frames = torch.einsum("bij,bjhw->bihw", matrices, to_frames(pixels)).clamp_(-1, 1)
    return frames.contiguous(memory_format=torch.channels_last)


def _cut(random: Random, pixels: Array, crop: int) -> Array:
    y, x = random.integers(0, SIDE - crop + 1, 2)
    part = pixels[y : y + crop, x : x + crop]
    if random.random() < 0.5:
        part = part.transpose(1, 0, 2)
    return part[:: random.choice([-1, 1]), :: random.choice([-1, 1])]


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


def _painted_frames(seed: int, workers: int, plain: float) -> Generator[Array]:
    """Yield frames 0, 1, 2... without end, painted here or by worker processes."""
    if workers == 0:
        yield from (frame(seed, number, plain) for number in count())
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        coming: deque[Future[Array]] = deque()
        try:
            for number in count():
                coming.append(pool.submit(frame, seed, number, plain))
                if len(coming) > _AHEAD:
                    yield coming.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
