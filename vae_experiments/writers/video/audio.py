"""The sound track of a source, carried into the videos that are made of it."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.tracks import UNORDERED, playable_track, shown_at
from vae_experiments.writers.video.audio_samples import Samples
from vae_experiments.writers.video.clock import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TRIED = 4
"""Packets that are written for a trial, to see whether a container takes them as they are."""


class SoundKinds(NamedTuple):
    """What sound a container holds."""

    container: str
    """As FFmpeg calls it."""
    copied: frozenset[str]
    """The codecs that players expect in it: such a track is carried as it is."""
    encoder: str = "aac"
    """Of every other track."""
    rates: frozenset[int] = frozenset({48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000})
    """That the encoder keeps; others become 48 kHz."""
    encoder_frame: int = 1024
    """Samples that the encoder takes at once."""


MP4_SOUND = SoundKinds("mp4", frozenset({"aac", "mp3", "opus", "ac3", "eac3", "alac", "flac"}))


class Beginning(NamedTuple):
    """What the beginning of a file tells."""

    picture: Fraction
    """When the first picture is shown in the file's own clock, which need not begin at 0."""
    track: int
    """Which stream is carried."""
    is_copied: bool
    """Whether the container takes the sound as it is."""


class Soundtrack:
    """Brings a file's first sound track that can be read into another container, in step with its pictures.

    A track that the container takes is copied bit for bit; another one is encoded, in mono or stereo: as
    AAC, in webm as Opus. Times are counted from the first picture, as the written pictures are. Whatever is wrong
    with the sound is said, and the pictures are written without it.
    """

    def __init__(
        self, target: Any, kinds: SoundKinds, source: Any, first: Beginning, say: Callable[[str], None]
    ) -> None:
        self._kinds = kinds
        self._target, self._from = target, source.streams[first.track]
        self._first_picture, self._say = first.picture, say
        context = self._from.codec_context
        self._rate = context.sample_rate
        if first.is_copied:
            self._to = target.add_stream_from_template(self._from)
            self._packets = self._taken(self._copied(source))
        else:
            self._rate = self._rate if self._rate in kinds.rates else 48000
            layout = "mono" if context.layout.nb_channels == 1 else "stereo"
            self._to = target.add_stream(kinds.encoder, rate=self._rate, layout=layout)
            self._packets = self._encoded(source)
        self._next: Any = self._pull()

    @classmethod
    @contextlib.contextmanager
    def beside(
        cls, target: Any, kinds: SoundKinds, path: Path, say: Callable[[str], None]
    ) -> Iterator[Soundtrack | None]:
        """Open the file whose sound is carried, for as long as the video is written; None if it has none."""
        first = looked_over(path, say, kinds)
        if first is None:
            yield None
            return
        with opened(path) as source:
            yield cls(target, kinds, source, first, say)

    def copy_until(self, seconds: Fraction | None) -> None:
        """Write the sound up to that time, or all that is left."""
        while self._next is not None:
            packet = self._next
            if seconds is not None and packet.pts * packet.time_base > seconds:
                return
            self._target.mux(packet)
            self._next = self._pull()

    def _pull(self) -> Any:
        """Return the next packet; damaged sound ends the track and not the run."""
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
            if packet.pts < 0:
                # The last one before the first picture reaches over it, or is the run-up that decoders need.
                run_up = packet
                continue
            if (packet.pts - last) * packet.time_base * self._rate > LARGEST:
                raise ValueError("a hole is too long")
            last = packet.pts
            if run_up:
                yield run_up
                run_up = None
            yield packet

    def _taken(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Leave out packets that the container does not take."""
        with _trial(self._from, self._kinds) as takes:
            for packet in packets:
                if takes(packet):
                    packet.stream = self._to
                    yield packet
                else:
                    self._say("sound: damaged, a part of it is left out")

    def _encoded(self, source: Any) -> Iterator[Any]:
        samples = Samples(
            self._rate, self._to.codec_context.layout.name, self._first_picture, self._kinds.encoder_frame
        )
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


def looked_over(path: Path, say: Callable[[str], None], kinds: SoundKinds = MP4_SOUND) -> Beginning | None:
    """Read a file as far as its first picture and the first packets of its sound; None without sound to carry."""
    import av

    try:
        with opened(path) as source:
            first = _beginning(source, kinds)
    except av.FFmpegError as error:
        say(f"sound: left out, its file cannot be read ({_reason(error)})")
        return None
    if first is None:
        say("sound: left out, nothing here decodes it")
    return first


def _beginning(source: Any, kinds: SoundKinds) -> Beginning | None:
    import av
    from av.stream import Disposition

    track = playable_track(source)
    if track is None:
        return None
    pictures = (one for one in source.streams.video if not one.disposition & Disposition.attached_pic)
    stream, start = next(pictures, None), Fraction(0)
    if stream and stream.start_time:
        start = Fraction(stream.start_time * stream.time_base)
    shown = start if stream is None or source.format.name in UNORDERED else None
    is_known, heard = track.codec_context.codec.canonical_name in kinds.copied, list[Any]()
    with contextlib.suppress(av.FFmpegError):
        for packet in source.demux(*filter(None, (track, stream))):
            if packet.stream is track:
                heard += [packet] if packet.size and len(heard) < TRIED else []
            elif shown is None:
                shown = shown_at(packet)
            if shown is not None and (len(heard) == TRIED or not is_known):
                break
    is_copied = is_known and _is_taken(track, heard, kinds)
    return Beginning(start if shown is None else shown, track.index, is_copied)


def _is_taken(track: Any, packets: list[Any], kinds: SoundKinds) -> bool:
    import av

    try:
        with _trial(track, kinds) as takes:
            return bool(packets) and all(takes(packet) for packet in packets)
    except (av.FFmpegError, ValueError):
        return False


@contextlib.contextmanager
def _trial(track: Any, kinds: SoundKinds) -> Iterator[Callable[[Any], bool]]:
    """Return what tells of each packet in turn whether it can be written after those that could.

    Beside pictures a packet is written a few calls after it was given: a damaged one would be an error of
    some picture.

    Raises:
        av.FFmpegError: the container holds no such track at all.
        ValueError: the same.
    """
    import av

    container = av.open(os.devnull, "w", format=kinds.container)
    stream = container.add_stream_from_template(track)

    def takes(packet: Any) -> bool:
        twin = av.Packet(bytes(packet))
        twin.pts, twin.dts, twin.duration = packet.pts, packet.dts, packet.duration
        twin.time_base, twin.stream, twin.is_keyframe = packet.time_base, stream, packet.is_keyframe
        try:
            container.mux(twin)
        except av.FFmpegError:
            return False
        return True

    try:
        yield takes
    finally:
        with contextlib.suppress(av.FFmpegError):
            container.close()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file for PyAV, which would take some names for addresses."""
    import av

    with path.open("rb") as file, av.open(file, metadata_errors="replace") as source:
        yield source


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
