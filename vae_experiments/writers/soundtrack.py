"""The sound track of a source, carried into the videos that are made of it."""

from __future__ import annotations

import contextlib
import functools
import logging
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)
COPIED = {"aac", "mp3", "opus", "ac3", "eac3", "alac", "flac"}
AAC_RATES = {48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000}


class Soundtrack:
    """Brings the packets of a file's first sound track into another container, in step with its pictures.

    A track that mp4 players know is copied bit for bit; another one (PCM, Vorbis) is encoded as
    AAC, in mono or stereo. Times are counted from the first picture, as the written pictures are.
    """

    def __init__(self, target: Any, source: Any) -> None:
        self._target, self._from = target, source.streams.audio[0]
        self._copies = self._from.codec_context.codec.canonical_name in COPIED
        if self._copies:
            self._to = target.add_stream_from_template(self._from)
        else:
            context = self._from.codec_context
            rate = context.sample_rate if context.sample_rate in AAC_RATES else 48000
            self._to = target.add_stream(
                "aac", rate=rate, layout="mono" if context.layout.nb_channels == 1 else "stereo"
            )
        self._begins = _first_picture_seconds(source)
        self._packets = self._copied(source) if self._copies else self._encoded(source)
        self._next: Any = self._pull()

    @classmethod
    @contextlib.contextmanager
    def beside(cls, target: Any, path: Path) -> Iterator[Soundtrack]:
        """Open the file whose sound is carried, for as long as the video is written."""
        import av

        with path.open("rb") as file, av.open(file, metadata_errors="replace") as source:
            yield cls(target, source)

    def copy_until(self, seconds: Fraction | None) -> None:
        """Write the sound up to that time, or all that is left."""
        while self._next is not None:
            packet = self._next
            if seconds is not None and packet.pts * packet.time_base > seconds:
                return
            self._target.mux(packet)
            self._next = self._pull()

    def _pull(self) -> Any:
        """Give the next packet; damaged sound ends the track and not the run."""
        import av

        try:
            return next(self._packets, None)
        except av.FFmpegError as error:
            say_once(f"sound: damaged, the rest of it is left out ({error.strerror})")
            return None

    def _copied(self, source: Any) -> Iterator[Any]:
        for packet in source.demux(self._from):
            late = round(self._begins / packet.time_base)
            time = packet.dts if packet.pts is None else packet.pts
            # What ends at the first picture is the encoder's run-up, which the track needs.
            if time is None or time + (packet.duration or 0) < late:
                continue
            packet.pts, packet.dts = time - late, (time if packet.dts is None else packet.dts) - late
            packet.stream = self._to
            yield packet

    def _encoded(self, source: Any) -> Iterator[Any]:
        # Counted in samples from the first one on: the times of some containers are too coarse for that.
        samples: int | None = None
        for frame in source.decode(self._from):
            seconds = (frame.time or 0.0) - float(self._begins)
            if samples is None and seconds < 0:
                continue
            samples = round(seconds * frame.sample_rate) if samples is None else samples
            frame.pts, frame.time_base = samples, Fraction(1, frame.sample_rate)
            samples += frame.samples
            yield from self._to.encode(frame)
        yield from self._to.encode(None)


@functools.cache
def say_once(sentence: str) -> None:
    """Warn, though three videos carry the same sound, one time."""
    log.warning(sentence)


def _first_picture_seconds(source: Any) -> Fraction:
    """Say when the pictures begin in the file's own clock, which need not begin at 0."""
    for stream in source.streams.video:
        if (
            stream.start_time is not None
            and not stream.disposition & stream.disposition.__class__.attached_pic
        ):
            return Fraction(stream.start_time * stream.time_base)
    return Fraction(0)
