"""The formats that a video can have beside its mp4: one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.writers.pictures.animations import MOST_FRAMES, Animation
from vae_experiments.writers.pictures.png import NumberedPngs

if TYPE_CHECKING:
    from vae_experiments.writers.pictures.format import Format

# Pillow joins equal frames of an APNG where both are blended in one way. Nothing is transparent here, and
# so both ways show the same.
_EVERY_FRAME = {"blend": [0, 1] * (MOST_FRAMES // 2)}
FORMATS: dict[str, Format] = {
    "gif": Animation(
        ".gif",
        tick_ms=10,
        shortest_ms=20,
        longest_ms=655_350,
        longest_side=65_535,
        joins_equal_frames=True,
        has_palette=True,
    ),
    "webp": Animation(
        ".webp",
        tick_ms=1,
        shortest_ms=11,
        longest_ms=2**24 - 1,
        longest_side=16_383,
        settings={"quality": 90, "method": 4},
    ),
    "apng": Animation(
        ".apng",
        tick_ms=1,
        shortest_ms=11,
        longest_ms=65_535,
        longest_side=2**31 - 1,
        settings=_EVERY_FRAME,
    ),
    "png": NumberedPngs(),
}
