"""Chains: manipulations one after the other, what a clip is like afterwards, and a fraction of their strength."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from vae_experiments.manipulations.clip import Clip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vae_experiments.manipulations.manipulation import ChainStep
    from vae_experiments.tensors import Latents

LONGEST_NAME = 160


def chain(
    links: Sequence[ChainStep], chunks: Iterable[Latents], clip: Clip | None = None
) -> Iterator[Latents]:
    """Send latents through manipulations in the order given."""
    clip = clip or Clip()
    for link in links:
        chunks = link.apply(chunks, clip)
        clip = link.after(clip)
    return iter(chunks)


def checked(links: Sequence[ChainStep], clip: Clip) -> Clip:
    """Tell every step of the clip, before anything is written, and return what it is like after all of them.

    Raises:
        VaeExperimentsError: a step does not suit it, or a value of a setting that moves breaks its rule.
    """
    for link in links:
        link.check_files(clip)
        if clip.latents is not None:
            link.curves(clip)
        link.check(clip)
        clip = link.after(clip)
    return clip


def outcome(links: Sequence[ChainStep], clip: Clip) -> Clip:
    """Return what a clip is like after a chain."""
    for link in links:
        clip = link.after(clip)
    return clip


def lengths_differ(links: Sequence[ChainStep]) -> bool:
    """Whether a chain may give another number of latents than it is given."""
    return any(link.changes_length for link in links)


def playing_speed(links: Sequence[ChainStep]) -> float | None:
    """Return how many times as fast a clip plays after a chain; None where that is not one number."""
    speed = 1.0
    for link in links:
        if link.playing_speed is None:
            return None
        speed *= link.playing_speed
    return speed


def weakened(links: Sequence[ChainStep], share: float) -> list[ChainStep]:
    """Return a chain whose strengths are a fraction, from 0 to 1, of what they were; the steps stay as they are.

    Each step must have a ``strength``, as all but those of a plugin are sure to.
    """
    return list(links) if share == 1 else [_weakened(link, share) for link in links]


def _weakened(link: ChainStep, share: float) -> Any:
    twin: Any = copy.copy(link)
    is_text = isinstance(twin.strength, str)
    twin.strength = schedule_times(twin.strength, share) if is_text else float(_times(twin.strength, share))
    return twin


def schedule_times(text: str, factor: float) -> str:
    """Write a schedule whose values, and not its times, are multiplied."""
    return f"{factor:g}*({text})"


def _times(value: float | str, factor: float) -> str:
    """Multiply to six digits, short enough to be typed again."""
    return f"{float(value) * factor:g}"


def joined_names(names: Sequence[str]) -> str:
    """Join the names of a chain for a file's name; of a very long one the first, since such a name has its limit."""
    shown = list(names)
    while len("_".join(shown)) > LONGEST_NAME:
        shown.pop()
    left = len(names) - len(shown)
    return "_".join([*shown, f"and_{left}_more"] if left else shown)
