"""Which of a file's sound tracks can be carried, and when its pictures begin; who reads and who writes ask the same."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

UNORDERED = {"avi"}
"""Containers that say when pictures are decoded, and not when they are shown."""


def playable_track(container: InputContainer) -> AudioStream | None:
    """Return the first sound track whose codec is known here, if there is one."""
    return next((track for track in container.streams.audio if _is_known(track)), None)


def unplayable_remark(container: InputContainer) -> str | None:
    """Return what is left of the sound where the first track cannot be read; nothing where it can."""
    tracks = container.streams.audio
    if not tracks or _is_known(tracks[0]):
        return None
    found = playable_track(container)
    if found is None:
        return "the sound is left out: nothing here decodes its kind"
    return f"nothing here decodes the first sound track; track {tracks.index(found) + 1} is carried"


def first_picture_seconds(container: InputContainer) -> float:
    """Return when the first picture of a file is shown, in its own clock; where there is none, 0.

    The file is read as far as that.
    """
    from av.stream import Disposition

    pictures = (one for one in container.streams.video if not one.disposition & Disposition.attached_pic)
    stream = next(pictures, None)
    if stream is None:
        return 0.0
    start = float(stream.start_time * stream.time_base) if stream.start_time and stream.time_base else 0.0
    if container.format.name in UNORDERED:
        return start
    times = (time for packet in container.demux(stream) if (time := shown_at(packet)) is not None)
    return float(next(times, start))


def shown_at(packet: Any) -> Fraction | None:
    """Return when the picture of a packet is shown; a file cut in the middle of a group begins with some that are not."""
    import av

    with contextlib.suppress(av.FFmpegError):
        for frame in packet.decode():
            if frame.pts is not None:
                return Fraction(frame.pts * frame.time_base)
    return None


def _is_known(track: Any) -> bool:
    # FFmpeg lists a track whose codec it cannot decode, and has no context for it; one without
    # channels or a rate was announced and never heard.
    context = track.codec_context
    return context is not None and context.sample_rate > 0 and context.layout.nb_channels > 0
