"""The sound track of a source, carried into the videos that are made of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path

COPIED = {"aac", "mp3", "opus", "ac3", "eac3", "alac", "flac"}


class Soundtrack:
    """Brings the packets of a file's first sound track into another container, in step with its pictures.

    A track that mp4 players know is copied bit for bit; another one (PCM, Vorbis) is encoded as AAC, in mono or stereo.
    """

    def __init__(self, target: Any, source: Any) -> None:
        self._target, self._from = target, source.streams.audio[0]
        self._copies = self._from.codec_context.name in COPIED
        if self._copies:
            self._to = target.add_stream_from_template(self._from)
        else:
            context = self._from.codec_context
            layout = "mono" if context.layout.nb_channels == 1 else "stereo"
            self._to = target.add_stream("aac", rate=context.sample_rate, layout=layout)
        self._packets = self._ready(source)
        self._next: Any = next(self._packets, None)

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
            if seconds is not None and packet.pts is not None and packet.pts * packet.time_base > seconds:
                return
            self._target.mux(packet)
            self._next = next(self._packets, None)

    def _ready(self, source: Any) -> Iterator[Any]:
        if self._copies:
            for packet in source.demux(self._from):
                if packet.dts is not None:
                    packet.stream = self._to
                    yield packet
            return
        for frame in source.decode(self._from):
            yield from self._to.encode(frame)
        yield from self._to.encode(None)
