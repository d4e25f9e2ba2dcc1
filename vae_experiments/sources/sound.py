"""The sound of a file as one piece of samples, each at its own time beside the pictures."""

from __future__ import annotations

import contextlib
import logging
import math
from typing import TYPE_CHECKING, Any

from vae_experiments.schedules import Waveform
from vae_experiments.sources.paths import locate, refuse
from vae_experiments.sources.video_file.decoding import FORMATS
from vae_experiments.tracks import first_picture_seconds, playable_track

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path

    import numpy as np

log = logging.getLogger(__name__)
SOUND_FORMATS = "wav,w64,mp3,flac,aac,aiff,ac3,eac3,amr,au,caf,wv,ape,tta,mpc8,mpc"
JITTER_SECONDS = 0.02
"""How far times may be from the count of samples before they are believed: containers round them."""
MARGIN_SECONDS = 1
"""Of sound before and after a clip that is read with it, for windows that reach over its ends."""


def read_sound(name: str, start: Fraction, seconds: Fraction) -> Waveform:
    """Return the sound of a file, all channels averaged.

    It is held in memory, 12 MB for a minute at 48 kHz. Where its times leave a hole there is silence.

    Args:
        name: the file.
        start: where the clip begins, in seconds from the file's first picture.
        seconds: how long the clip is.

    Raises:
        SourceError: there is no such file, or no sound in it that can be read.
    """
    import av
    import numpy as np

    path = locate(name)
    try:
        rate, pieces = _pieces(path, float(start), float(seconds))
    except av.FFmpegError as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise refuse(path, f"cannot be read ({reason})", "give a file with sound") from None
    first = min((at for at, _ in pieces), default=0)
    samples = np.zeros(max((at + len(piece) for at, piece in pieces), default=0) - first, np.float32)
    for at, piece in pieces:
        samples[at - first : at - first + len(piece)] = piece
    return Waveform(samples, rate, first / rate)


def _pieces(path: Path, start: float, seconds: float) -> tuple[int, list[tuple[int, np.ndarray]]]:
    """Decode what is heard around a clip: the rate, and pieces with the number of the first sample of each."""
    with _opened(path) as container:
        late = first_picture_seconds(container) + start
    with _opened(path) as container:
        track = playable_track(container)
        if track is None:
            raise refuse(path, "has no sound that can be read", "give a file with sound")
        rate, pieces = int(track.codec_context.sample_rate), []
        first, last = -MARGIN_SECONDS * rate, math.ceil((seconds + MARGIN_SECONDS) * rate)
        for at, piece in _placed(_decoded(container, track, path), rate, late):
            inside = piece[max(0, first - at) : max(0, last - at)]
            if len(inside):
                pieces.append((max(at, first), inside))
            if at > last:
                break
    return rate, pieces


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file of a kind that names no other files."""
    import av

    options = {"format_whitelist": f"{FORMATS},{SOUND_FORMATS}"}
    with (
        path.open("rb") as file,
        av.open(file, metadata_errors="replace", container_options=options) as container,
    ):
        yield container


def _decoded(container: Any, track: Any, path: Path) -> Iterator[Any]:
    """Decode a track; what is damaged is left out, as the times of what follows tell."""
    import av

    is_damaged = False
    for packet in container.demux(track):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            is_damaged = True
    if is_damaged:
        log.warning("%s: its sound is damaged, and taken for silence where it is", path.name)


def _placed(frames: Iterator[Any], rate: int, late: float) -> Iterator[tuple[int, np.ndarray]]:
    """Yield samples with the number of the first, counted from the clip's first frame."""
    import av

    resampler, form, at = None, None, 0
    for frame in frames:
        begins = None if frame.pts is None else round((float(frame.pts * frame.time_base) - late) * rate)
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        strays = begins is not None and abs(begins - at) > JITTER_SECONDS * rate
        if resampler is None or form != now or strays:
            at = at if begins is None else begins
            form, resampler = now, av.AudioResampler("fltp", frame.layout, rate)
        frame.pts = None
        for piece in resampler.resample(frame):
            samples = piece.to_ndarray().mean(0)
            yield at, samples
            at += len(samples)
