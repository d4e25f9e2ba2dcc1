"""The formats that a video can have beside its mp4: other video files, animations, and a folder of PNGs."""

from __future__ import annotations

import contextlib
import io
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from vae_experiments.files import atomic_write, whole_folder, write_error
from vae_experiments.runtime.progress import waiting
from vae_experiments.writers.pictures.png import as_png
from vae_experiments.writers.video.encodings import FFV1_MKV, PRORES_MOV, VP9_WEBM
from vae_experiments.writers.video.video_file import open_video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from vae_experiments.tensors import Pixels, Size
    from vae_experiments.writers.video.clock import OutputClock
    from vae_experiments.writers.video.encodings import Encoding

MOST_FRAMES = 600
MOST_BYTES = 2**30
"""Of all frames that wait to be written; encoding them takes at most about twice as much again."""
FOREVER = 0


@dataclass
class Copy:
    """A video in one more format, while it is written."""

    path: Path
    """Where the file or the folder appears."""
    write: Callable[[Pixels], None]
    """Appends frames, uint8 ``T H W 3``, which nobody may change afterwards."""
    files: list[str]
    """What it consists of, as named from the folder that it is in."""


class Format(ABC):
    """How a video is written in one format."""

    suffix: str
    """What its file or folder is called after the video's name."""
    takes_comparison: ClassVar[bool] = True
    """Whether the videos side by side are written in it as well."""

    @abstractmethod
    def obstacle(self, size: Size, clock: OutputClock, frames: int, held_bytes: int) -> str:
        """Return in words what stands in the way of a video; nothing where it can be written.

        Args:
            size: of its frames.
            clock: when each begins.
            frames: how many there are.
            held_bytes: what the frames of all videos of the run take in memory.
        """

    @abstractmethod
    def open(
        self,
        path: Path,
        size: Size,
        clock: OutputClock,
        say: Callable[[str], None],
        sound: Path | None = None,
    ) -> AbstractContextManager[Copy]:
        """Lend what takes the frames; all is there under its name when the block ends without an error.

        Args:
            path: where it appears.
            size: of every frame.
            clock: when each begins.
            say: told in a sentence what is not as in the video.
            sound: a file whose sound track is carried by what can hold one.

        Raises:
            WriteError: the disk is full or broken.
        """


@dataclass(frozen=True)
class OtherVideo(Format):
    """A video file of another kind than the mp4, with the same times and the same sound."""

    suffix: str
    encoding: Encoding

    @override
    def obstacle(self, size: Size, clock: OutputClock, frames: int, held_bytes: int) -> str:
        """See the base class; frames are written as they come."""
        tick = self.encoding.tick
        if tick and clock.fps * tick > 1:
            name = self.suffix.removeprefix(".")
            return (
                f"{name} takes at most {float(1 / tick):g} frames a second, and here are {float(clock.fps):g}"
            )
        return ""

    @override
    @contextlib.contextmanager
    def open(
        self,
        path: Path,
        size: Size,
        clock: OutputClock,
        say: Callable[[str], None],
        sound: Path | None = None,
    ) -> Iterator[Copy]:
        """See the base class."""
        with open_video(path, self.encoding, size, clock, sound, say) as video:
            yield Copy(path, video.write, [path.name])


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
    def _name(self) -> str:
        return self.suffix.removeprefix(".")

    @override
    def obstacle(self, size: Size, clock: OutputClock, frames: int, held_bytes: int) -> str:
        """See the base class."""
        name = self._name
        if frames > MOST_FRAMES:
            return f"{name} takes at most {MOST_FRAMES} frames, and here are {frames}"
        if held_bytes > MOST_BYTES:
            held, most = held_bytes / 2**30, MOST_BYTES / 2**30
            return f"{name} holds all frames in memory, {held:.1f} GiB here and at most {most:g} GiB"
        if max(size) > self.longest_side:
            return f"{name} takes at most {self.longest_side} pixels a side, and a frame here is {size}"
        durations = self.durations(clock, frames)
        if (sum if self.joins_equal_frames else max)(durations) > self.longest_ms:
            what = "all frames together last" if self.joins_equal_frames else "a frame lasts"
            return f"in {name}, {what} at most {self.longest_ms / 1000:g} s"
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
        self,
        path: Path,
        size: Size,
        clock: OutputClock,
        say: Callable[[str], None],
        sound: Path | None = None,
    ) -> Iterator[Copy]:
        """See the base class."""
        chunks: list[Pixels] = []
        yield Copy(path, chunks.append, [path.name])
        frames = sum(map(len, chunks))
        if not frames:  # the mp4 beside it is the one that says so
            return
        durations = self.durations(clock, frames)
        late_ms = sum(durations) - float(clock.begins(frames) * 1000)
        if late_ms > self.tick_ms:
            slower = late_ms / (sum(durations) - late_ms)
            rule = f"a frame of it lasts {self.shortest_ms} ms at least"
            say(f"{self._name}: plays {slower:.0%} longer than the video: {rule}")
        with waiting(f"writing {path.name}"), atomic_write(path) as hidden:
            hidden.write_bytes(self._encoded(chunks, durations))

    def _encoded(self, chunks: list[Pixels], durations: list[int]) -> bytes:
        import imageio.v3 as iio

        # Not into the file by itself: Pillow's own errors do not say which error of the system they were.
        file = io.BytesIO()
        animation: Any = iio.imopen(file, "w", plugin="pillow", extension=self.suffix)
        try:
            lasting = durations if len(durations) > 1 else durations[0]  # a still takes no list
            for chunk in chunks:
                # The choice takes a quarter of the time where neighbouring levels are one.
                chunk = (chunk & 254) | (chunk >> 7) if self.has_palette else chunk
                animation.write(chunk, is_batch=True, loop=FOREVER, duration=lasting, **self.settings)
            animation.close()
        finally:
            # Else what an interruption ended would be begun anew when the object goes.
            animation.images_to_write.clear()
        return file.getvalue()


class NumberedPngs(Format):
    """A folder beside the video with a PNG of every frame: 00000.png and so on; it holds no times."""

    suffix = "_png"
    takes_comparison = False

    @override
    def obstacle(self, size: Size, clock: OutputClock, frames: int, held_bytes: int) -> str:
        """Return nothing: frames are written as they come."""
        return ""

    @override
    @contextlib.contextmanager
    def open(
        self,
        path: Path,
        size: Size,
        clock: OutputClock,
        say: Callable[[str], None],
        sound: Path | None = None,
    ) -> Iterator[Copy]:
        """See the base class."""
        files: list[str] = []
        with whole_folder(path) as hidden:

            def write(pixels: Pixels) -> None:
                for picture in pixels:
                    name = f"{len(files):05d}.png"
                    try:
                        (hidden / name).write_bytes(as_png(picture))
                    except OSError as error:
                        raise write_error(path, error) from error
                    files.append(f"{path.name}/{name}")

            yield Copy(path, write, files)


# Pillow joins equal frames of an APNG where both are blended in one way. Nothing is transparent here, and
# so both ways show the same.
_EVERY_FRAME = {"blend": [0, 1] * (MOST_FRAMES // 2)}
_WEBP = {"quality": 90, "method": 4}
FORMATS: dict[str, Format] = {
    "ffv1": OtherVideo(".mkv", FFV1_MKV),
    "prores": OtherVideo(".mov", PRORES_MOV),
    "webm": OtherVideo(".webm", VP9_WEBM),
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
        ".webp", tick_ms=1, shortest_ms=11, longest_ms=2**24 - 1, longest_side=16_383, settings=_WEBP
    ),
    "apng": Animation(
        ".apng", tick_ms=1, shortest_ms=11, longest_ms=65_535, longest_side=2**31 - 1, settings=_EVERY_FRAME
    ),
    "png": NumberedPngs(),
}
