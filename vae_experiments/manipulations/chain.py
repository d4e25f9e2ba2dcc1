"""Chains: manipulations one after the other, and what a clip is like afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.manipulations.clip import Clip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vae_experiments.manipulations.manipulation import ChainStep
    from vae_experiments.tensors import Latents


def lengths_differ(links: Sequence[ChainStep]) -> bool:
    """Whether a chain may give another number of latents than it is given."""
    return any(link.changes_length for link in links)


def playing_speed(links: Sequence[ChainStep]) -> float | None:
    """Return how many times as fast a clip plays after a chain; None where that is not one number."""
    speed: float | None = 1.0
    for link in links:
        own = link.playing_speed
        speed = None if speed is None or own is None else speed * own
    return speed


def outcome(links: Sequence[ChainStep], clip: Clip) -> Clip:
    """Return what a clip is like after a chain."""
    for link in links:
        clip = link.after(clip)
    return clip


def chain(
    links: Sequence[ChainStep], chunks: Iterable[Latents], clip: Clip | None = None
) -> Iterator[Latents]:
    """Send latents through manipulations in the order given."""
    clip = clip or Clip()
    for link in links:
        chunks = link.apply(chunks, clip)
        clip = link.after(clip)
    return iter(chunks)
