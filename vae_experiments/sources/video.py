"""A person's own video, animated picture or folder of pictures as a source."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from fractions import Fraction
from typing import TYPE_CHECKING

from vae_experiments.errors import SourceError
from vae_experiments.files import digest, digest_of
from vae_experiments.options import setting
from vae_experiments.sources.frame_rate import (
    FPS_HELP,
    FPS_RULE,
    MAX_FPS,
    Stretch,
    parse_fps,
    say_fps,
    say_uneven,
)
from vae_experiments.sources.image_files import Animation, ImageFolder
from vae_experiments.sources.paths import locate, refuse, sniff, stamp
from vae_experiments.sources.resize import Fit, fit
from vae_experiments.sources.source import SIZE_RULE, Sound, Source, SourceInfo
from vae_experiments.sources.video_file.reader import VideoFile
from vae_experiments.tensors import parse_size, to_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vae_experiments.sources.frame_rate import FrameSelection
    from vae_experiments.sources.media_reader import MediaInfo, MediaReader
    from vae_experiments.tensors import Frames, Pixels, Size

# Part of every digest: raised when the same file and settings come to give other pixels.
_READER = 2
_FPS_WITHOUT_TIMING = Fraction(25)


class Video(Source):
    """Reads a video file, a gif, webp or apng, or a folder of numbered pictures."""

    path: str = setting("the file, or the folder of numbered pictures", default=dataclasses.MISSING)
    size: str | None = setting(
        "width and height, as 256 or 480x272; the file's own if left out", default=None, unit="pixels"
    )
    fit: Fit = setting("how a frame of another shape meets that size", default=Fit.crop)
    start: float = setting("where to begin", default=0.0, unit="seconds", minimum=0)
    frames: int | None = setting("how many frames at most; all if left out", default=None, minimum=1)
    fps: str | None = setting(
        f"{FPS_HELP}; frames repeat or are left out; the file's own if left out", default=None
    )
    rotate: bool = setting("hold the picture as the camera was held", default=True)
    allow_partial: bool = setting("take a cut or damaged file as far as it goes", default=False)
    max_pixels: int = setting("the largest frame that is read", default=4096 * 4096, unit="pixels", minimum=1)

    def __post_init__(self) -> None:
        """Check every value; the file itself is looked at later.

        Raises:
            SettingError: a value breaks its rule.
        """
        super().__post_init__()
        size = self._size()
        if size and size.width * size.height > self.max_pixels:
            raise self.error_for("size", f"more pixels than source.max_pixels={self.max_pixels}")
        self._fps()

    @property
    def info(self) -> SourceInfo:
        """What will come.

        Raises:
            SourceError: the file cannot be read, or nothing of it is left after ``start``.
        """
        reader = self._medium()
        media_info = reader.media_info()
        choice = self._choice(reader, media_info)
        sound = self._sound(reader, media_info, choice) if media_info.has_sound else None
        remarks = (*media_info.remarks, *self._remarks(media_info, choice))
        if media_info.has_sound and not sound:
            remarks += ("the sound is left out: the file's own clock does not tell when these frames begin",)
        return SourceInfo(self._size() or media_info.size, choice.times, choice.end, sound, remarks)

    def chunks(self, count: int) -> Iterator[Frames]:
        """Yield the frames in order, ``count`` at a time, shape ``T 3 H W``.

        Raises:
            SourceError: the file is damaged, cut short or changes while it is read.
        """
        import numpy as np

        chunk: list[Pixels] = []
        for pixels in self._unchanged():
            if len(chunk) == count:
                yield to_frames(np.stack(chunk))
                chunk = []
            chunk.append(pixels)
        yield to_frames(np.stack(chunk))

    def title(self) -> str:
        """Name the file, without the way to it."""
        return locate(str(self.path)).name

    def digest(self) -> str:
        """Identify the frames by the bytes of the file, or of all pictures, and by the settings."""
        reader, size = self._medium(), self._size()
        how = self.fit.name if size else None
        times = [str(reader.stretch.start), str(reader.stretch.fps)]
        # A folder of one animated picture is a still, and the picture itself a clip.
        content = [type(reader).__name__, *map(digest, reader.files())]
        return digest_of(_READER, size, how, times, self.frames, self.rotate, self.allow_partial, content)

    def state(self) -> object:
        """Whether any file was changed, by the names, sizes and times of all."""
        return stamp(locate(str(self.path)))

    def _size(self) -> Size | None:
        return None if self.size is None else self.parsed("size", parse_size, SIZE_RULE)

    def _fps(self) -> Fraction | None:
        return None if self.fps is None else self.parsed("fps", parse_fps, FPS_RULE)

    def _medium(self) -> MediaReader:
        path = locate(str(self.path))
        kind = ImageFolder if path.is_dir() else Animation if sniff(path).is_picture else VideoFile
        stretch = Stretch(Fraction(str(self.start)), self.frames, self._fps())
        return kind(path, self.rotate, self.allow_partial, self.max_pixels, stretch)

    def _unchanged(self) -> Iterator[Pixels]:
        """Read to the end, and vouch that the file stayed the same meanwhile."""
        reader = self._medium()
        before = stamp(reader.path)
        error = None
        try:
            yield from self._fitted(reader)
        except SourceError as damage:
            error = damage
        # A file that is being written looks damaged, too; this is the better explanation.
        if stamp(reader.path) != before:
            raise reader.refusal("changed while it was read", "wait until it is written, then start again")
        if error:
            raise error

    def _fitted(self, reader: MediaReader) -> Iterator[Pixels]:
        media_info = reader.media_info()
        numbers = iter(self._choice(reader, media_info).numbers)
        size = self._size() or media_info.size
        wanted = next(numbers, None)
        with closing(reader.read()) as pictures:
            for number, render in enumerate(pictures):
                if number == wanted:
                    pixels = fit(render(), size, self.fit)
                while number == wanted:
                    yield pixels
                    wanted = next(numbers, None)
                if wanted is None:
                    return

    def _choice(self, reader: MediaReader, media_info: MediaInfo) -> FrameSelection:
        """Choose the pictures that the settings for time ask for."""
        begins, end, stretch = media_info.begins, media_info.end, reader.stretch
        if not _is_timed(media_info):
            if media_info.fps is not None and stretch.fps is None:
                problem = f"its frame rate {say_fps(media_info.fps)} is outside (0, {MAX_FPS}]"
                raise reader.refusal(problem, "set source.fps to the rate that it should have")
            fps = stretch.fps or _FPS_WITHOUT_TIMING
            begins, end = tuple(number / fps for number in range(len(begins))), len(begins) / fps
            stretch = stretch._replace(fps=None)
        assert end is not None
        try:
            choice = stretch.choose(begins, end)
        except ValueError as error:
            problem = f"source.fps={self.fps} makes {error}"
            raise reader.refusal(problem, "set source.frames as well") from None
        if not choice.times:
            problem = f"no frame begins at or after source.start={self.start:g} s"
            raise refuse(str(self.path), problem, "begin earlier")
        return choice

    def _sound(self, reader: MediaReader, media_info: MediaInfo, choice: FrameSelection) -> Sound | None:
        """Return what is heard while the chosen frames are shown; None where the file does not tell when that is."""
        if media_info.end is None or not _is_timed(media_info):
            return None
        is_to_the_end = abs(choice.end - media_info.end) < 1 / (self._fps() or MAX_FPS)
        if media_info.is_complete and not choice.start and is_to_the_end:
            return Sound(reader.path)
        return Sound(reader.path, choice.start, choice.end) if media_info.is_in_step else None

    def _remarks(self, media_info: MediaInfo, choice: FrameSelection) -> Iterator[str]:
        if media_info.end is not None and (uneven := say_uneven(media_info.begins, media_info.end)):
            yield f"{uneven}, {'each one keeps its time' if self.fps is None else 'resampled by time'}"
        if media_info.end is None and self.fps is None and len(media_info.begins) > 1:
            yield f"no timing in the file, using {_FPS_WITHOUT_TIMING} fps; source.fps=RATE sets it"
        if self.frames and len(choice.times) < self.frames:
            yield f"source.frames={self.frames} asks for more than there are: {len(choice.times)}"
        if self.allow_partial:
            yield "source.allow_partial=true: what is cut or damaged is left out at the end"


def _is_timed(media_info: MediaInfo) -> bool:
    """Whether a file says when its pictures are shown, and says it credibly."""
    return media_info.fps is not None and 0 < media_info.fps <= MAX_FPS
