"""The few frames on which a strength is tried; the latents of the whole clip are held for them."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from vae_experiments import manipulations
from vae_experiments.manipulations import chain
from vae_experiments.models.framewise import Framewise
from vae_experiments.pipeline.runner import finite, regrouped, with_bent_decoder
from vae_experiments.runtime.progress import Progress
from vae_experiments.runtime.streams import prefetch
from vae_experiments.tensors import Joined, to_pixels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from vae_experiments.cache import CachedStream
    from vae_experiments.manipulations import ChainStep, Clip
    from vae_experiments.models import Autoencoder
    from vae_experiments.sources import Source
    from vae_experiments.tensors import Pixels

Item = TypeVar("Item")


class Sample:
    """A few frames that stand for a clip, decoded of what a chain makes of all its latents.

    Frames that are spread over the clip, where the model sees each by itself; else the clip's first
    ones, since what a temporal model decodes depends on all that came before. (The one model whose
    decoder draws noise by the frame's number draws other noise here.) Holds the latents of the clip,
    what manipulations asked of other videos' latents, and of frames only those few.
    """

    def __init__(
        self,
        source: Source,
        autoencoder: Autoencoder,
        clip: Clip,
        batch_size: int,
        cached: CachedStream,
        frames: int,
    ) -> None:
        self.autoencoder, self.size, self.clip = autoencoder, source.info.size, _remembering(clip)
        self.at_once = max(1, batch_size // autoencoder.time_stride)
        self.spread = isinstance(autoencoder, Framewise)
        with Progress(source.info.frames) as progress:
            encoded = cached.through(autoencoder.encode(prefetch(source.chunks(batch_size))))
            self.chunks = []
            for latents in regrouped(encoded, self.at_once):
                self.chunks.append(latents)
                progress.add(len(latents) * autoencoder.time_stride)
        count = sum(map(len, self.chunks))
        few = min(frames, count) if self.spread else frames
        self.numbers = [(2 * place + 1) * count // (2 * few) for place in range(few)]
        if not self.spread:
            self.numbers = list(range(few))
        self.original = _pixels(picked(source.chunks(batch_size), self.numbers))

    @property
    def frames(self) -> int:
        """How many frames are compared."""
        return len(self.original)

    def __str__(self) -> str:
        """Return which they are."""
        return f"{'' if self.spread else 'the first '}{self.frames} frame{'s' if self.frames != 1 else ''}"

    def mse(self, links: Sequence[ChainStep]) -> float:
        """Decode them through a chain and give the mean squared error, in 8-bit levels as in ``metrics``."""
        with _hushed():
            return self._mse(links)

    def _mse(self, links: Sequence[ChainStep]) -> float:
        changed = finite(chain(links, iter(self.chunks), self.clip))
        latents = regrouped(picked(changed, self.numbers) if self.spread else changed, self.at_once)
        network = with_bent_decoder(self.autoencoder, links)
        frames = Joined(network.decode(latents, self.size)).take(self.frames)
        assert frames is not None, "nothing was decoded"
        error = to_pixels(frames).astype("int32") - self.original
        return float((error**2).mean())


def picked(chunks: Iterable[Tensor], numbers: Sequence[int]) -> Iterator[Tensor]:
    """Take those of a stream whose numbers, which rise, are named, and read no further."""
    at = 0
    for chunk in chunks:
        inside = [number - at for number in numbers if at <= number < at + len(chunk)]
        if inside:
            yield chunk[inside]
        at += len(chunk)
        if at > numbers[-1]:
            return


def _pixels(chunks: Iterable[Tensor]) -> Pixels:
    import torch

    return to_pixels(torch.cat(list(chunks)))


class _Remembered(Generic[Item]):
    """Reads a stream, which may have no end, once, however often it is asked for."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items, self._known = items, list[Item]()

    def __iter__(self) -> Iterator[Item]:
        for place in itertools.count():
            if place == len(self._known):
                try:
                    self._known.append(next(self._items))
                except StopIteration:
                    return
            yield self._known[place]


def _remembering(clip: Clip) -> Clip:
    """Encode for all trials once what a manipulation asks of another video or of the posterior."""
    latents_of, posterior_std = clip.latents_of, clip.posterior_std
    if latents_of is None or posterior_std is None:
        return clip
    others = functools.cache(lambda path: _Remembered(latents_of(path)))
    own = functools.cache(lambda: _Remembered(posterior_std()))
    return replace(clip, latents_of=lambda path: iter(others(path)), posterior_std=lambda: iter(own()))


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Leave it to the run itself to log what manipulations remark: a trial would repeat it."""
    logger = logging.getLogger(manipulations.__name__)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
