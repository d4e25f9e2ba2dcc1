"""Which of a file's sound tracks can be carried; whoever reads a file and whoever writes ask the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer


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


def _is_known(track: Any) -> bool:
    # FFmpeg lists a track whose codec it cannot decode, and has no context for it; one without
    # channels or a rate was announced and never heard.
    context = track.codec_context
    return context is not None and context.sample_rate > 0 and context.layout.nb_channels > 0
