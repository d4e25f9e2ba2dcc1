"""Excerpts: a stretch out of the middle of a clip, without decoding all that comes before it.

Training draws short stretches from anywhere in long videos. Decoding begins at the nearest keyframe
before the stretch; the pixels are those that a reading from the first frame on would give.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import dropwhile, islice
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.errors import SourceError, system_reason
from vae_experiments.sources.frame_rate import Stretch
from vae_experiments.sources.image_files import Animation, ImageFolder
from vae_experiments.sources.paths import locate, refuse, sniff, stamp
from vae_experiments.sources.video_file.clock import Clock
from vae_experiments.sources.video_file.decoding import RAW_FORMATS, Damage, Decoding, decoded_from
from vae_experiments.sources.video_file.reader import VideoFile, upright_pixels
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vae_experiments.tensors import Pixels

REACH = 1000
"""How many frames after the last place to begin at can still be read: seconds of decoding at most."""

_MOST_PIXELS = 4096 * 4096
_AGAIN = "copy it again, or convert it to mp4"


class Keyframe(NamedTuple):
    """A frame at which decoding can begin: its number, and its time in the stream's ticks."""

    number: int
    tick: int


_FIRST = Keyframe(0, 0)
# How many frames tell what a video is like, and codecs whose packets may say "nothing new".
_GLANCE = 8
_UNEVEN = {"mpeg4", "theora"}


@dataclass(frozen=True)
class ClipReader:
    """A video, an animated picture or a folder of them of which any stretch can be read; small, and picklable."""

    reader: SeekingVideo | Animation | ImageFolder
    size: Size
    frames: int
    """How many can be read; of a video without an index that is not more than ``REACH``."""
    starts: tuple[Keyframe, ...]
    """Where decoding can begin, in order; the first is frame 0."""
    remarks: tuple[str, ...]
    state: object
    """What told the file from others when it was looked over."""

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.reader.path

    @property
    def is_still(self) -> bool:
        """Whether it is a picture that nobody animated."""
        return isinstance(self.reader, Animation) and self.frames == 1

    def start(self, number: int) -> Keyframe:
        """Return the last place to begin at before a frame, or at it."""
        return self.starts[bisect_right(self.starts, number, key=lambda start: start.number) - 1]

    def read(self, first: int, count: int, cut: Callable[[Pixels], Pixels]) -> list[Pixels]:
        """Read ``count`` frames from ``first`` on, upright, uint8 ``H W 3``.

        ``cut`` is done to each one at once, so that a stretch of large frames is never held whole.

        Raises:
            SourceError: it is damaged there, or no longer the file that was looked over.
        """
        from av import FFmpegError

        if stamp(self.path) != self.state:
            raise refuse(self.path, "changed since it was looked over", "start again")
        start = self.start(first)
        stretch = slice(first - start.number, first - start.number + count)
        # In an open group of pictures the keyframe makes the decoder forget what it never saw: when
        # that fails, it is given the group before, too.
        for key in dict.fromkeys([start, self.start(max(start.number - 1, 0))]):
            try:
                with closing(self._pictures(key, start)) as pictures:
                    found = [cut(render()) for render in islice(pictures, stretch.start, stretch.stop)]
            except (Damage, FFmpegError):
                continue
            except OSError as error:
                raise refuse(self.path, system_reason(error), "check the disk") from error
            if len(found) == count:
                return found
        raise refuse(self.path, "damaged further in", _AGAIN)

    def _pictures(self, key: Keyframe, start: Keyframe) -> Generator[Callable[[], Pixels], None, None]:
        if isinstance(self.reader, SeekingVideo):
            yield from self.reader.pictures(key, start, self.size)
            return
        with closing(self.reader.read()) as pictures:
            yield from islice(pictures, start.number, None)


class SeekingVideo(VideoFile):
    """A video that is read from the middle."""

    def starts(self) -> tuple[int, tuple[Keyframe, ...]]:
        """Count the frames, and list where decoding can begin."""
        with self._opened() as (container, stream, _):
            packets = self._walk(container, stream)
            is_raw = container.format.name in RAW_FORMATS
        ticks = packets.ticks if self._has_a_frame_a_packet() else self._decoded_ticks()
        # Without a time of its own for every frame, no frame can be found again.
        is_timed = not is_raw and len(set(packets.ticks)) == packets.shown
        places = set(ticks) if is_timed else set()
        found = [Keyframe(bisect_left(ticks, tick), tick) for tick in packets.keys if tick in places]
        count = len(ticks) if is_timed else packets.shown
        return count, (_FIRST, *(start for start in found if start.number))

    def _has_a_frame_a_packet(self) -> bool:
        """Whether packets can stand for frames, by the kind of video and its first frames."""
        with self._opened() as (container, stream, _):
            decoding = Decoding(container, stream)
            frames = list(islice(decoding, _GLANCE))
            is_uneven = stream.codec_context.name in _UNEVEN or frames[0].interlaced_frame
            return not (is_uneven or decoding.early)

    def _decoded_ticks(self) -> list[int]:
        with self._opened() as (container, stream, _):
            clock = Clock(stream, container.format.name)
            decoding = Decoding(container, stream)
            for frame in decoding:
                clock.add(frame, decoding.is_in_step)
            return clock.ticks

    def pictures(
        self, key: Keyframe, start: Keyframe, size: Size
    ) -> Generator[Callable[[], Pixels], None, None]:
        """Yield every frame from ``start`` on as a way to its pixels; decoding begins at ``key``.

        Raises:
            Damage: a packet is bad, or ``start`` is not found.
        """
        with self._opened() as (container, stream, _):
            for number, frame in enumerate(_frames(container, stream, key, start)):
                if start.number and not number and frame.pts != start.tick:
                    raise Damage
                turn = self._turn(frame)
                if turn.size(Size(frame.width, frame.height)) != size:
                    raise self.refusal("its frame size changes", "convert the clip to one size first")
                yield partial(upright_pixels, frame, turn)


def _frames(
    container: InputContainer, stream: VideoStream, key: Keyframe, start: Keyframe
) -> Iterator[VideoFrame]:
    if key.number:
        return decoded_from(container, stream, key.tick, start.tick)
    frames = iter(Decoding(container, stream))
    if start == _FIRST:
        return frames
    return dropwhile(lambda frame: frame.pts is None or frame.pts < start.tick, frames)


def look_over(path: Path) -> ClipReader:
    """Look at a file, or a folder of pictures, without decoding more than a few frames of it.

    Raises:
        SourceError: it is not a video or picture that can be read, or is damaged or cut short.
    """
    path = locate(str(path))
    state = stamp(path)
    if path.is_dir():
        folder = ImageFolder(path, rotate=True, allow_partial=False, max_pixels=_MOST_PIXELS)
        media_info = folder.look_over()
        count = len(media_info.begins)
        starts = tuple(Keyframe(number, number) for number in range(count))
        return _reachable(ClipReader(folder, media_info.size, count, starts, media_info.remarks, state))
    if sniff(path).is_picture:
        still = Animation(path, rotate=True, allow_partial=False, max_pixels=_MOST_PIXELS)
        media_info = still.look_over()
        return _reachable(
            ClipReader(still, media_info.size, len(media_info.begins), (_FIRST,), media_info.remarks, state)
        )
    glance = Stretch(frames=_GLANCE)
    video = SeekingVideo(path, rotate=True, allow_partial=False, max_pixels=_MOST_PIXELS, stretch=glance)
    media_info = video.look_over()
    count, starts = video.starts()
    return _reachable(ClipReader(video, media_info.size, count, starts, media_info.remarks, state))


def _reachable(clip: ClipReader) -> ClipReader:
    """Leave out the places that are not found in the file after all, and the frames too far from any."""
    # The one in the middle is tried as well: the last one alone may be damaged.
    tried = {clip.starts[len(clip.starts) // 2], clip.starts[-1]} - {_FIRST}
    starts = clip.starts if any(_is_found(clip, start) for start in tried) else (_FIRST,)
    frames = min(clip.frames, starts[-1].number + REACH)
    remarks = clip.remarks
    if frames < clip.frames:
        remarks += (
            f"only the first {frames} of its {clip.frames} frames can be reached, for want of an index",
        )
    return replace(clip, starts=starts, frames=frames, remarks=remarks)


def _is_found(clip: ClipReader, start: Keyframe) -> bool:
    try:
        return bool(clip.read(start.number, 1, lambda pixels: pixels))
    except SourceError:
        return False
