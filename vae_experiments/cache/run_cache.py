"""The cached streams of one run: each stream that others may want again, taken from the cache or kept for them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vae_experiments.cache.kept_files import KeptFiles
from vae_experiments.files import digest_of
from vae_experiments.tensors import to_frames, to_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from torch import Tensor

    from vae_experiments.cache.latent_files import LatentFolder
    from vae_experiments.cache.store import Store
    from vae_experiments.tensors import Frames

log = logging.getLogger(__name__)
FORMAT = 2
"""Counted up when a change of this program changes latents, or how they are kept: what older versions kept is
then left alone."""
VIDEOS_FORMAT = 1
"""Counted up when a change of this program writes the same frames into other files, or measures them otherwise."""
UNPACKED_AT_ONCE = 8
"""Frames. As long as one of them is in use, so is the memory of all that were unpacked with it."""


def _as_it_is(chunk: Tensor) -> Tensor:
    return chunk


@dataclass
class CachedStream:
    """One stream of chunks on its way by: read where it was kept before, else kept."""

    store: Store | None = None
    name: str = ""
    still_true: Callable[[], bool] = lambda: True
    """Asked before publishing: what the key stands for must not have changed meanwhile."""
    pack: Callable[[Tensor], Tensor] = _as_it_is
    unpack: Callable[[Tensor], Tensor] = _as_it_is
    found: bool = field(init=False)
    """Whether the cache has the stream; False again when what it has turned out to be damaged."""

    def __post_init__(self) -> None:
        self.found = self.store is not None and self.store.has(self.name)

    def through(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the stream: from the cache, where ``chunks`` are not even begun, or from them.

        A damaged entry is thrown away with one warning, and ``chunks`` go on where it broke off.
        """
        import torch

        given = 0
        if self.store is not None and self.found:
            try:
                for chunk in self.store.read(self.name):
                    for part in torch.split(chunk, UNPACKED_AT_ONCE):
                        yield self.unpack(part)
                        given += len(part)
                return
            except ValueError as error:
                log.warning("cache: an entry is damaged (%s); it is computed again", error)
                self.store.discard(self.name)
                self.found = False
        for chunk in self._kept(chunks):
            if given < len(chunk):
                # A network leaves its channels last in memory, and sums in that order differ in their last
                # bits from those over what was read from a file.
                yield chunk[given:].contiguous()
            given = max(0, given - len(chunk))

    def _kept(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Write chunks down on their way by, for as long as the cache can be written to."""
        store, writing = self.store, None
        if store is not None:
            writing = store.unless_impossible(lambda: store.write(self.name))
        try:
            for chunk in chunks:
                if store is not None and writing is not None:
                    writing = self._written(store, writing, chunk)
                yield chunk
            if store is not None and writing is not None and self.still_true():
                finished = writing
                store.unless_impossible(lambda: store.publish(self.name, finished))
        finally:
            if writing is not None:
                writing.abandon()

    def _written(self, store: Store, writing: LatentFolder, chunk: Tensor) -> LatentFolder | None:
        """Write a chunk down; None, and nothing is left, where that cannot be done."""

        def write() -> LatentFolder:
            writing.write(self.name, self.pack(chunk))
            return writing

        written = store.unless_impossible(write)
        if written is None:
            writing.abandon()
        return written


@dataclass
class RunCache:
    """What one run may find in the cache: its latents, its frames decoded untouched, and the files of these."""

    latents: CachedStream = field(default_factory=CachedStream)
    frames: CachedStream = field(default_factory=CachedStream)
    videos: KeptFiles = field(default_factory=KeptFiles)

    @classmethod
    def of(
        cls,
        store: Store | None,
        what_decides: tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]],
        still_true: Callable[[], bool],
    ) -> RunCache:
        """Open the cache of everything that decides the latents, what they are decoded to, and which files that becomes; and of nothing else."""
        if store is None:
            return cls()
        latents, frames, videos = (
            digest_of(FORMAT, *map(dict, what_decides[:stages]))[:40] for stages in (1, 2, 3)
        )
        return cls(
            CachedStream(store, f"{latents}-latents", still_true),
            CachedStream(store, f"{frames}-frames", still_true, _as_pixels, _from_pixels),
            KeptFiles(store, f"{videos}-videos", still_true),
        )


def _as_pixels(frames: Frames) -> Tensor:
    """Turn frames into the 8-bit levels that videos and metrics are made of: nothing is lost to them."""
    import torch

    return torch.from_numpy(to_pixels(frames))


def _from_pixels(pixels: Tensor) -> Frames:
    return to_frames(pixels.numpy())
