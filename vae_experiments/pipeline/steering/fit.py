"""Fitting a steering: least squares on painted frames that a model encoded before and after transforms.

Each picture is encoded in all eight poses as it is, and in all eight after a transform of its own: every one
of the first with every one of the second is an example of what becomes of latents, so that few passes
through the network teach much.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from math import exp
from typing import TYPE_CHECKING

from vae_experiments.manipulations.lookup import places
from vae_experiments.manipulations.steering import (
    FINE,
    POSES,
    Local,
    Steering,
    around_each,
    cells_around,
    drawn,
    features,
    matrix,
    pieces,
    turned,
    weight,
    with_one,
)
from vae_experiments.pipeline.steering.equivariance import Transform, decoded, gained
from vae_experiments.runtime.seeding import place_seed
from vae_experiments.tensors import to_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from vae_experiments.models import Autoencoder
    from vae_experiments.tensors import Frames, Latents

log = logging.getLogger(__name__)
SEED = 1717
PICTURES = 24
HELD_OUT = (1000, 1001, 1002)
"""Numbers of pictures that are not fitted on."""
CELLS = 96
"""Of each frame and transform, drawn at random: neighbours tell much the same."""
RIDGE = 1e-4
LEAST_GAIN_DB = 1.0
MOST_PIXELS = 192
"""Of the side of a picture."""
PROBES = (
    Transform.of("turn by 20 degrees", 20),
    Transform.of("zoom 1.4", zoom=1.4),
    Transform.of("shift by half a cell", shift=(0.5, 0)),
)


def fitted(autoencoder: Autoencoder, pictures: int | None = None) -> Steering:
    """Fit the steering of a model, the same one each time."""
    import torch

    clips = [_clip(autoencoder, number) for number in range(pictures or PICTURES)]
    posed = [Transform.of("", pose=pose) for pose in POSES]
    before = [
        _encoded_each(autoencoder, [pose.of_frames(clip, autoencoder.stride) for pose in posed])
        for clip in clips
    ]
    drawing = _drawing(autoencoder, clips, before)
    sums = [Sums() for _ in POSES]
    for number, clip in enumerate(clips):
        _learn(autoencoder, sums, drawing, clip, before[number], number)
    maps = torch.stack([each.solution() for each in sums])
    return _judged(autoencoder, Steering(drawing, maps, (True,) * len(POSES)))


def example(number: int) -> Transform:
    """Draw a transform: none, but for the poses, or a shift by less than a cell, or any."""
    import torch

    generator = torch.Generator().manual_seed(place_seed(SEED, "steering", number))
    turn, zoom, right, down, which = (torch.rand(5, generator=generator) * 2 - 1).tolist()
    kind = number % 6
    if kind == 0:
        return Transform.of("none")
    if kind in (1, 2):
        return Transform.of("shift", shift=(right, down if which > 0 else 0))
    return Transform.of("any", turn * 50 * (kind > 3), exp(zoom * 0.6), shift=(right, down))


@dataclass
class Sums:
    """The normal equations of least squares, gathered a few rows at a time."""

    squares: Tensor | float = 0.0
    products: Tensor | float = 0.0

    def add(self, given: Tensor, wanted: Tensor) -> None:
        """Take rows in."""
        self.squares = self.squares + (given.T @ given).double()
        self.products = self.products + (given.T @ wanted).double()

    def solution(self) -> Tensor:
        """Return the map from what was given to what was wanted."""
        import torch

        assert not isinstance(self.squares, float), "no rows"
        ridge = RIDGE * self.squares.diagonal().mean() * torch.eye(len(self.squares), dtype=torch.float64)
        solution: Tensor = torch.linalg.solve(self.squares + ridge, self.products)
        return solution.float()


def between(first: tuple[int, bool], change: Transform, second: tuple[int, bool]) -> Transform:
    """Return what leads from a picture in one pose to its transform in another."""
    import torch

    into, out_of = torch.tensor(matrix(first)).double().T, torch.tensor(matrix(second)).double()
    steps = into @ torch.tensor([change.across, change.down]).double() @ out_of
    (a, b), (c, d) = steps.tolist()
    right, down = (into @ torch.tensor(change.shift).double()).tolist()
    return replace(change, across=(a, b), down=(c, d), shift=(right, down))


def _clip(autoencoder: Autoencoder, number: int, plain: float = 0.1) -> Frames:
    """Paint what two latents stand for, or one of a model that takes frames by themselves, and decode it once."""
    import numpy as np

    from vae_experiments.sources.procedural.clips import clip
    from vae_experiments.sources.procedural.frames import frame

    if autoencoder.time_stride == 1:
        pixels = np.stack([frame(SEED, number, plain)])
    else:
        count = autoencoder.first_frames + autoencoder.time_stride
        pixels = clip(SEED, number, count, plain)
    frames = to_frames(pixels)[..., :MOST_PIXELS, :MOST_PIXELS]
    return decoded(autoencoder, _encoded(autoencoder, frames))[: len(frames)]


def _encoded(autoencoder: Autoencoder, frames: Frames) -> Latents:
    import torch

    return torch.cat(list(autoencoder.encode([frames]))).contiguous()


def _encoded_each(autoencoder: Autoencoder, clips: Sequence[Frames]) -> list[Latents]:
    """Encode clips of one length; frames that a model takes by themselves go through together."""
    import torch

    if autoencoder.time_stride == 1:
        return list(torch.split(_encoded(autoencoder, torch.cat(list(clips))), len(clips[0])))
    return [_encoded(autoencoder, each) for each in clips]


def _drawing(autoencoder: Autoencoder, clips: Sequence[Frames], latents: Sequence[list[Latents]]) -> Tensor:
    """Fit the small picture: the mean of the frames that a latent stands for, reduced."""
    from torch.nn.functional import interpolate, pixel_unshuffle

    sums = Sums()
    for clip, posed in zip(clips, latents, strict=True):
        small = interpolate(clip, scale_factor=FINE / autoencoder.stride, mode="area")
        for pose, those in zip(POSES, posed, strict=True):
            turned_by = Transform.of("", pose=pose).of_frames(small, FINE)
            for number, latent in enumerate(those):
                first = autoencoder.first_frames + (number - 1) * autoencoder.time_stride if number else 0
                last = autoencoder.first_frames + number * autoencoder.time_stride
                dots = pixel_unshuffle(turned_by[first:last].mean(0), FINE)
                sums.add(with_one(cells_around(latent)), dots.flatten(1).T)
    return sums.solution()


def _learn(
    autoencoder: Autoencoder,
    sums: Sequence[Sums],
    drawing: Tensor,
    clip: Frames,
    before: Sequence[Latents],
    number: int,
) -> None:
    """Take in what becomes of a picture, from each of its poses to each of its transforms."""
    import torch

    generator = torch.Generator().manual_seed(place_seed(SEED, "steering cells", number))
    changes = [example(number * len(POSES) + index) for index in range(len(POSES))]
    moved = [between(POSES[0], change, pose) for change, pose in zip(changes, POSES, strict=True)]
    after = _encoded_each(autoencoder, [each.of_frames(clip, autoencoder.stride) for each in moved])
    rows: list[list[tuple[Tensor, Tensor]]] = [[] for _ in POSES]
    for first, latents in zip(POSES, before, strict=True):
        pictures = [drawn(latent, drawing) for latent in latents]
        height, width = latents.shape[-2:]
        for second, change, wanted in zip(POSES, changes, after, strict=True):
            source = between(first, change, second).source(width, height)
            local = Local.of(source, *places(latents[0]))
            for index, pose in enumerate(POSES):
                share, off = weight(local, pose)
                if not (share > 0).all():
                    continue
                for latent, picture, target in zip(latents, pictures, wanted, strict=True):
                    some = torch.randperm(height * width, generator=generator)[:CELLS]
                    cells, terms = around_each(latent, local, pose, off, None)
                    given = features(pieces(turned(picture, source))[some], cells[some], terms[some])
                    rows[index].append((given, target.flatten(1).T[some]))
    for each, pairs in zip(sums, rows, strict=True):
        if pairs:
            each.add(*map(torch.cat, zip(*pairs, strict=True)))


def _judged(autoencoder: Autoencoder, steering: Steering) -> Steering:
    """Measure on pictures that were not fitted on, and turn off what does not help there."""
    import torch

    latents = [_encoded(autoencoder, _clip(autoencoder, number, plain=0)) for number in HELD_OUT]

    def gain(transform: Transform) -> float:
        scores = torch.tensor([gained(autoencoder, each, transform, steering) for each in latents]).mean(0)
        plain, steered = scores.tolist()
        name = transform.name or "pose"
        log.info("steering fitted: %s %.1f -> %.1f dB on held-out frames", name, plain, steered)
        return float(steered - plain)

    gains = [sum(map(gain, PROBES)) / len(PROBES)]
    gains += [gain(Transform.of(name_of(pose), pose=pose)) for pose in POSES[1:]]
    helps = tuple(each >= LEAST_GAIN_DB for each in gains)
    if not all(helps):
        off = [name_of(pose) for pose, help in zip(POSES, helps, strict=True) if not help]
        log.info("steering: off for %s, where it gains less than %g dB", ", ".join(off), LEAST_GAIN_DB)
    return replace(steering, helps=helps)


def name_of(pose: tuple[int, bool]) -> str:
    """Say what a pose is, in words."""
    quarters, mirrored = pose
    turn = f"turn by {90 * quarters} degrees" if quarters else ""
    return " and ".join(filter(None, ("flip" if mirrored else "", turn))) or "upright"
