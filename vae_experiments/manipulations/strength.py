"""A fraction of a chain's strength: every step's strength times one factor, constant or scheduled."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from vae_experiments.schedules import WAVE_DEFAULTS, WAYS, read_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vae_experiments.manipulations.manipulation import ChainStep

DIGITS = 6
"""Of a strength: short enough to be typed again."""


def weakened(links: Sequence[ChainStep], share: float) -> list[ChainStep]:
    """Return a chain whose strengths are a fraction, from 0 to 1, of what they were; the steps stay as they are.

    Each step must have a ``strength``, as all but those of a plugin are sure to.
    """
    return [_weakened(link, share) for link in links]


def _weakened(link: ChainStep, share: float) -> ChainStep:
    strength: float | str = getattr(link, "strength")  # noqa: B009  a Link need not have one
    if share == 1:
        return link
    twin = copy.copy(link)
    times = schedule_times(strength, share) if isinstance(strength, str) else _times(strength, share)
    setattr(twin, "strength", times)  # noqa: B010
    return twin


def schedule_times(text: str, factor: float) -> str:
    """Write a schedule whose values, and not its times, are multiplied: ``ramp(0, 0.5)`` for ``ramp(0, 1)``."""
    if "(" not in text:
        marks = (word.rpartition(":") for word in text.split())
        return " ".join(f"{time}{colon}{_times(value, factor):g}" for time, colon, value in marks)
    name, plain, named = read_call(text)
    if name in WAYS:
        values = [f"{_times(value, factor):g}" for value in plain[:2]]
        return f"{name}({', '.join([*values, *plain[2:]])})"
    words = dict(zip(("period", "low", "high", "phase"), plain, strict=False)) | named
    usual = dict(WAVE_DEFAULTS)
    words |= {key: f"{_times(words.get(key, usual[key]), factor):g}" for key in ("low", "high")}
    return f"{name}({', '.join(f'{key}={value}' for key, value in words.items())})"


def _times(value: float | str, factor: float) -> float:
    return float(f"{float(value) * factor:.{DIGITS}g}")
