"""The heart: frames --encode--> latents --change--> latents --decode--> frames, a chunk at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from vae_experiments.cache.latent_files import CHANGED, ENCODED
from vae_experiments.manipulations import chain, lengths_differ, outcome
from vae_experiments.runtime.streams import prefetch, tee
from vae_experiments.tensors import Joined, check_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vae_experiments.cache import RunCache
    from vae_experiments.manipulations import ChainStep, Clip
    from vae_experiments.models import Autoencoder
    from vae_experiments.runtime.stopwatch import Stopwatch
    from vae_experiments.sources import Source
    from vae_experiments.tensors import Frames, Latents


@dataclass(frozen=True)
class Step:
    """One chunk of every stage: as the model was given it, decoded untouched, and decoded changed.

    Where a manipulation changes the length, the longer video continues when the others are over.
    """

    original: Frames | None
    reconstructed: Frames | None = None
    changed: Frames | None = None

    @property
    def frames(self) -> int:
        """How many frames of the original it holds, or where there is none of the untouched video."""
        first = self.reconstructed if self.original is None else self.original
        return 0 if first is None else len(first)


def stream(
    source: Source,
    autoencoder: Autoencoder,
    links: Sequence[ChainStep],
    clip: Clip,
    batch_size: int,
    watch: Stopwatch,
    see: Callable[[str, Latents], None],
    run_cache: RunCache,
) -> Iterator[Step]:
    """Take a source through an autoencoder and give back every chunk, untouched and changed.

    Only a few chunks are in memory at a time; the latents are decoded both ways in one pass. ``see`` is
    shown the encoded and the changed latents as they go by, each under its name. What the cache has is neither
    encoded nor decoded again; a source of latents is all there, and is never asked for frames.
    """
    size, stride = source.info.size, autoencoder.time_stride
    at_once = max(1, batch_size // stride)
    # One pass over the source serves both as long as they stay in step. A manipulation that holds the clip
    # lets encoding run far ahead, and then a second pass is cheaper than the frames in between.
    apart = run_cache.latents.found or any(link.holds(clip) for link in links)
    ahead = prefetch(source.chunks(batch_size))
    frames, originals = (ahead, prefetch(source.chunks(batch_size))) if apart else tee(ahead)

    def encoded(frames: Iterator[Frames]) -> Iterator[Latents]:
        return regrouped(run_cache.latents.through(autoencoder.encode(frames)), at_once)

    def together(untouched: Iterator[Frames], *changed: Iterator[Frames]) -> Iterator[Step]:
        if source.has_frames:
            return in_step(stride, originals, untouched, *changed)
        return without_original(in_step(stride, first_of(untouched, source.info.frames), *changed))

    latents = seen(watch.timed("encode", encoded(frames)), partial(see, ENCODED))
    if not links:
        decoded = watch.timed("decode", autoencoder.decode(latents, size))
        return together(decoded)
    if run_cache.frames.found:
        # Begun only if what is kept turns out to be damaged.
        given, kept = latents, encoded(prefetch(source.chunks(batch_size)))
    else:
        given, kept = tee(latents)
    altered = regrouped(watch.timed("change", chain(links, given, clip)), at_once)
    changed = seen(finite(altered), partial(see, CHANGED))
    untouched = watch.timed("decode", run_cache.frames.through(autoencoder.decode(kept, size)))
    manipulated = watch.timed("decode changed", with_bent_decoder(autoencoder, links).decode(changed, size))
    if lengths_differ(links):
        return out_of_step(together(untouched), manipulated, batch_size, outcome(links, clip).frames)
    return together(untouched, manipulated)


def with_bent_decoder(autoencoder: Autoencoder, links: Sequence[ChainStep]) -> Autoencoder:
    """Return the autoencoder, or a twin of it where a step of the chain changes the decoder's weights."""
    for link in links:
        autoencoder = autoencoder.with_bent_decoder(link.bend) if link.bends_decoder else autoencoder
    return autoencoder


def in_step(stride: int, originals: Iterable[Frames], *decoded: Iterable[Frames]) -> Iterator[Step]:
    """Put each chunk of the original beside as many frames of every decoded stream.

    At the end a temporal model has a few frames more than the original, less than its time stride:
    they decode what filled its last group, and are dropped. Any other number is a fault.
    """
    streams = [Joined(chunks) for chunks in decoded]
    for original in originals:
        taken = [frames for stream in streams if (frames := stream.take(len(original))) is not None]
        lengths = [len(frames) for frames in taken]
        assert lengths == [len(original)] * len(streams), f"{len(original)} frames in, {lengths} out"
        yield Step(original, *taken)
    surplus = [stream.take(stride) for stream in streams]
    assert all(frames is None or len(frames) < stride for frames in surplus), f"{stride} frames too many"


def without_original(steps: Iterable[Step]) -> Iterator[Step]:
    """Give the first stream of each step the place of the untouched video: there is no original."""
    return (Step(None, step.original, step.reconstructed) for step in steps)


def out_of_step(
    steps: Iterable[Step], changed: Iterable[Frames], count: int, frames: int | None = None
) -> Iterator[Step]:
    """Put a video of another length beside the others as far as both go, and then the rest of it.

    What comes after ``frames`` fills the last group of a temporal model, and is dropped.
    """
    stream = Joined(first_of(changed, frames))
    for step in steps:
        yield replace(step, changed=stream.take(step.frames))
    while (rest := stream.take(count)) is not None:
        yield Step(None, None, rest)


def first_of(chunks: Iterable[Frames], count: int | None) -> Iterator[Frames]:
    """Pass on the first so many frames, or all, and read the rest to its end."""
    left = count
    for frames in chunks:
        if left is None or left > 0:
            yield frames[:left]
        left = None if left is None else max(0, left - len(frames))


def regrouped(chunks: Iterable[Latents], count: int) -> Iterator[Latents]:
    """Cut chunks of any length into chunks of ``count``: a manipulation need not keep their borders."""
    stream = Joined(chunks)
    while (latents := stream.take(count)) is not None:
        yield latents


def seen(chunks: Iterable[Latents], see: Callable[[Latents], None]) -> Iterator[Latents]:
    """Show each chunk to an observer on its way."""
    for latents in chunks:
        see(latents)
        yield latents


def finite(chunks: Iterable[Latents]) -> Iterator[Latents]:
    """Stop at changed latents that the decoder would turn into black frames."""
    first = 0
    for latents in chunks:
        check_finite(latents, "changed latents", first, each="latent")
        yield latents
        first += len(latents)
