"""The sound track of a source, carried into the videos that are made of it."""

from __future__ import annotations

import contextlib
import io
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.tracks import playable_track
from vae_experiments.writers.clock import LARGEST
from vae_experiments.writers.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COPIED = {"aac", "mp3", "opus", "ac3", "eac3", "alac", "flac"}
AAC_RATES = {48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000}
UNORDERED = {"avi"}
"""Containers that say when pictures are decoded, and not when they are shown."""
TRIED = 4
"""Packets that are written for a trial, to see whether mp4 takes them as they are."""


class Soundtrack:
    """Brings a file's first sound track that can be read into another container, in step with its pictures.

    A track that mp4 takes is copied bit for bit; another one (PCM, Vorbis) is encoded as AAC, in mono
    or stereo. Times are counted from the first picture, as the written pictures are. Whatever is wrong
    with the sound is said, and the pictures are written without it.
    """

    def __init__(self, target: Any, source: Any, first: _First, say: Callable[[str], None]) -> None:
        self._target, self._from = target, source.streams[first.track]
        self._first_picture, self._say = first.picture, say
        self._rate = self._from.codec_context.sample_rate
        if first.is_copied:
            self._to = target.add_stream_from_template(self._from)
        else:
            self._rate = self._rate if self._rate in AAC_RATES else 48000
            mono = self._from.codec_context.layout.nb_channels == 1
            self._to = target.add_stream("aac", rate=self._rate, layout="mono" if mono else "stereo")
        self._packets = self._copied(source) if first.is_copied else self._encoded(source)
        self._next: Any = self._pull()

    @classmethod
    @contextlib.contextmanager
    def beside(cls, target: Any, path: Path, say: Callable[[str], None]) -> Iterator[Soundtrack | None]:
        """Open the file whose sound is carried, for as long as the video is written; None if it has none."""
        with _opened(path) as source:
            first = _looked_over(source)
        if first is None:
            say("sound: left out, nothing here decodes it")
            yield None
            return
        with _opened(path) as source:
            yield cls(target, source, first, say)

    def copy_until(self, seconds: Fraction | None) -> None:
        """Write the sound up to that time, or all that is left."""
        import av

        while self._next is not None:
            packet = self._next
            if seconds is not None and packet.pts * packet.time_base > seconds:
                return
            try:
                self._target.mux(packet)
            except av.FFmpegError as error:
                if isinstance(error, OSError):
                    raise
                self._say(f"sound: mp4 does not take a part of it, which is left out ({error.strerror})")
            self._next = self._pull()

    def _pull(self) -> Any:
        """Give the next packet; damaged sound ends the track and not the run."""
        import av

        try:
            return next(self._packets, None)
        except (av.FFmpegError, ValueError) as error:
            self._say(f"sound: damaged, the rest of it is left out ({_reason(error)})")
            return None

    def _copied(self, source: Any) -> Iterator[Any]:
        run_up, last = None, 0
        for packet in source.demux(self._from):
            time = packet.dts if packet.pts is None else packet.pts
            if time is None:
                continue
            late = round(self._first_picture / packet.time_base)
            packet.pts, packet.dts = time - late, (time if packet.dts is None else packet.dts) - late
            packet.stream = self._to
            if packet.pts < 0:
                # The last one before the first picture reaches over it, or is the run-up that decoders need.
                run_up = packet
                continue
            if (packet.pts - last) * packet.time_base * self._rate > LARGEST:
                raise ValueError("a hole is too long for mp4")
            last = packet.pts
            if run_up:
                yield run_up
                run_up = None
            yield packet

    def _encoded(self, source: Any) -> Iterator[Any]:
        samples = Samples(self._rate, self._to.codec_context.layout.name, self._first_picture)
        for frame in self._decoded(source):
            for piece in samples.lay(frame):
                yield from self._to.encode(piece)
        for piece in samples.end():
            yield from self._to.encode(piece)
        yield from self._to.encode(None)

    def _decoded(self, source: Any) -> Iterator[Any]:
        """Decode all of the track, and leave out what is damaged: the times that follow tell how much."""
        import av

        for packet in source.demux(self._from):
            try:
                yield from packet.decode()
            except av.FFmpegError as error:
                self._say(f"sound: damaged, silent where it is ({_reason(error)})")


class _First(NamedTuple):
    """What the beginning of a file tells."""

    picture: Fraction
    """When the first picture is shown in the file's own clock, which need not begin at 0."""
    track: int
    """Which stream is carried."""
    is_copied: bool
    """Whether mp4 takes the sound as it is."""


def _looked_over(source: Any) -> _First | None:
    """Read as far as the first picture and the first packets of the sound; None without sound to carry."""
    import av
    from av.stream import Disposition

    track = playable_track(source)
    if track is None:
        return None
    films = [film for film in source.streams.video if not film.disposition & Disposition.attached_pic]
    start = (
        Fraction(films[0].start_time * films[0].time_base) if films and films[0].start_time else Fraction(0)
    )
    picture = None if films and source.format.name not in UNORDERED else start
    is_known = track.codec_context.codec.canonical_name in COPIED
    heard: list[Any] = []
    with contextlib.suppress(av.FFmpegError):
        for packet in source.demux(track, *films[:1]):
            if packet.stream is track:
                heard += [packet] if packet.size and len(heard) < TRIED else []
            elif picture is None:
                picture = _shown(packet)
            if picture is not None and (len(heard) == TRIED or not is_known):
                break
    return _First(start if picture is None else picture, track.index, is_known and _mp4_takes(track, heard))


def _shown(packet: Any) -> Fraction | None:
    """Say when the picture of a packet is shown; a file cut in the middle of a group begins with some that are not."""
    import av

    with contextlib.suppress(av.FFmpegError):
        for frame in packet.decode():
            if frame.pts is not None:
                return Fraction(frame.pts * frame.time_base)
    return None


def _mp4_takes(track: Any, packets: list[Any]) -> bool:
    import av

    try:
        with av.open(io.BytesIO(), "w", format="mp4") as trial:
            stream = trial.add_stream_from_template(track)
            for packet in packets:
                packet.stream = stream
                trial.mux(packet)
    except (av.FFmpegError, ValueError):
        return False
    return bool(packets)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import av

    with path.open("rb") as file, av.open(file, metadata_errors="replace") as source:
        yield source


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
