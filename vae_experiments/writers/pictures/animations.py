"""Animated pictures: GIF, WebP and APNG, their frames timed as those of the video."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from vae_experiments.files import atomic_write
from vae_experiments.runtime.progress import waiting
from vae_experiments.writers.pictures.format import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from vae_experiments.tensors import Pixels, Size
    from vae_experiments.writers.video.clock import OutputClock

MOST_FRAMES = 600
MOST_BYTES = 2**30
"""Of all frames that wait to be written; encoding them takes at most about twice as much again."""
FOREVER = 0


@dataclass(frozen=True)
class Animation(Format):
    """A file that browsers, chats and slides play by themselves, over and over.

    Pillow takes all frames of one at once, so they wait in memory until the last one has come.
    """

    suffix: str
    tick_ms: int
    """What the format counts time in."""
    shortest_ms: int
    """The least that a frame may last: browsers show one of 10 ms or less for 100 ms."""
    longest_ms: int
    longest_side: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What Pillow's writer is given beside the times."""
    joins_equal_frames: bool = False
    """Whether frames that look the same become one, which must not last too long."""
    has_palette: bool = False
    """Whether Pillow has to choose 256 colours for each frame."""

    @property
    def name(self) -> str:
        """What a person types for it."""
        return self.suffix.removeprefix(".")

    @override
    def obstacle(self, size: Size, clock: OutputClock, frames: int, held_bytes: int) -> str:
        """Return in words what stands in the way of a video; nothing where it can be written."""
        if frames > MOST_FRAMES:
            return f"{self.name} takes at most {MOST_FRAMES} frames, and here are {frames}"
        if held_bytes > MOST_BYTES:
            held, most = held_bytes / 2**30, MOST_BYTES / 2**30
            return f"{self.name} holds all frames in memory, {held:.1f} GiB here and at most {most:g} GiB"
        if max(size) > self.longest_side:
            return f"{self.name} takes at most {self.longest_side} pixels a side, and a frame here is {size}"
        durations = self.durations(clock, frames)
        if (sum if self.joins_equal_frames else max)(durations) > self.longest_ms:
            what = "all frames together last" if self.joins_equal_frames else "a frame lasts"
            return f"in {self.name}, {what} at most {self.longest_ms / 1000:g} s"
        return ""

    def durations(self, clock: OutputClock, frames: int) -> list[int]:
        """Return how long each frame is shown, in ms.

        Each ends at the tick nearest to its end in the video, so that nothing adds up; after frames
        that had to last longer, the next ones catch up as far as they can.
        """
        ends = [0]
        for number in range(1, frames + 1):
            due = round(clock.begins(number) * 1000 / self.tick_ms) * self.tick_ms
            ends.append(max(due, ends[-1] + self.shortest_ms))
        return [end - begin for begin, end in pairwise(ends)]

    @override
    @contextlib.contextmanager
    def open(
        self, path: Path, size: Size, clock: OutputClock, say: Callable[[str], None]
    ) -> Iterator[WaitingFrames]:
        """Lend what collects the frames; the file appears when the block ends without an error; see the base class."""
        frames = WaitingFrames(path)
        yield frames
        if frames.count:  # without any, the mp4 beside it is the one that says so
            durations = self.durations(clock, frames.count)
            late_ms = sum(durations) - float(clock.begins(frames.count) * 1000)
            if late_ms > self.tick_ms:
                slower = late_ms / (sum(durations) - late_ms)
                say(
                    f"{self.name}: plays {slower:.0%} longer than the video: "
                    f"a frame of it lasts {self.shortest_ms} ms at least"
                )
            with waiting(f"writing {path.name}"), atomic_write(path) as hidden:
                hidden.write_bytes(self._encoded(frames, durations))

    def _encoded(self, frames: WaitingFrames, durations: list[int]) -> bytes:
        import imageio.v3 as iio

        # Not into the file by itself: Pillow's own errors do not say which error of the system they were.
        file = io.BytesIO()
        animation: Any = iio.imopen(file, "w", plugin="pillow", extension=self.suffix)
        try:
            lasting = durations if len(durations) > 1 else durations[0]  # a still takes no list
            for chunk in frames.chunks:
                # The choice takes a quarter of the time where neighbouring levels are one.
                chunk = (chunk & 254) | (chunk >> 7) if self.has_palette else chunk
                animation.write(chunk, is_batch=True, loop=FOREVER, duration=lasting, **self.settings)
            animation.close()
        finally:
            # Else what an interruption ended would be begun anew when the object goes.
            animation.images_to_write.clear()
        return file.getvalue()


@dataclass
class WaitingFrames:
    """Takes frames for an animation and keeps them until it is written."""

    path: Path
    chunks: list[Pixels] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many frames have come."""
        return sum(map(len, self.chunks))

    @property
    def files(self) -> list[str]:
        """What it consists of, as named from the folder that it is in."""
        return [self.path.name]

    def write(self, pixels: Pixels) -> None:
        """Append frames, uint8 ``T H W 3``, which nobody may change afterwards."""
        self.chunks.append(pixels)
