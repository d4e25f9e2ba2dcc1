"""Videos whose sound clicks at known moments, and where the clicks of a video are."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CLICK = 0.004
QUIET, LOUD = 0.05, 0.2


def click_samples(seconds: float, clicks: Sequence[float], rate: int, channels: int = 1) -> np.ndarray:
    """Silence with bursts of 1 kHz, ``channels`` rows."""
    moments = np.arange(round(seconds * rate)) / rate
    inside = sum(((moments >= click) & (moments < click + CLICK)) for click in clicks)
    wave = np.where(inside, np.sin(2 * np.pi * 1000 * moments + np.pi / 3), 0) * 0.9
    return np.repeat(wave[None], channels, axis=0).astype(np.float32)


def write_film(
    path: Path,
    clicks: Sequence[float],
    *,
    codec: str = "pcm_s16le",
    rate: int = 48000,
    layout: str = "mono",
    seconds: float = 3.0,
    times: Sequence[Fraction] | None = None,
    pieces: Sequence[tuple[float, float]] | None = None,
    picture_begins: Fraction = Fraction(0),
    sound_begins: float = 0.0,
    film_codec: str = "mpeg4",
) -> None:
    """Write a video whose sound clicks; of the sound only ``pieces``, from a moment to a moment, are in the file."""
    times = [Fraction(number, 10) for number in range(round(seconds * 10))] if times is None else times
    with av.open(str(path), "w") as container:
        pictures = container.add_stream(film_codec, rate=30)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        pictures.codec_context.time_base = Fraction(1, 3000)
        sound = container.add_stream(codec, rate=rate, layout=layout)
        ready = []
        for number, time in enumerate(times):
            pixels = np.full((48, 64, 3), 20 + 7 * number % 200, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round((time + picture_begins) * 3000), Fraction(1, 3000)
            ready += [(float(time + picture_begins), packet) for packet in pictures.encode(frame)]
        ready += [(1e9, packet) for packet in pictures.encode(None)]
        wave = click_samples(seconds, clicks, rate, sound.codec_context.layout.nb_channels)
        for begin, end in pieces or [(0.0, seconds)]:
            for start in range(round(begin * rate), round(end * rate), rate // 50):
                part = np.ascontiguousarray(wave[:, start : min(start + rate // 50, round(end * rate))])
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = start + round(sound_begins * rate)
                ready += [(start / rate + sound_begins, packet) for packet in sound.encode(frame)]
        ready += [(1e9, packet) for packet in sound.encode(None)]
        for _, packet in sorted(ready, key=lambda pair: pair[0]):
            container.mux(packet)


def heard(path: Path, track: int = 0) -> list[float]:
    """Say when the clicks of a video's sound begin, in seconds from the first picture, by the file's own times."""
    with av.open(str(path)) as container:
        zero = next(container.decode(video=0)).time or 0.0
    moments, levels, ends = [], [], 0.0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=track):
            wave = np.abs(frame.to_ndarray().astype(np.float64)).reshape(-1, frame.samples)
            if frame.format.name.startswith("s16"):
                wave /= 32768
            begins = ends if frame.time is None else frame.time - zero
            moments.append(begins + np.arange(frame.samples) / frame.sample_rate)
            ends = begins + frame.samples / frame.sample_rate
            levels.append(wave.max(0))
    if not levels:
        return []
    loud = np.concatenate(moments)[np.concatenate(levels) > LOUD]
    begins = [late for early, late in pairwise([-1.0, *loud]) if late - early > QUIET]
    return [float(moment) for moment in begins]


def shown(path: Path) -> list[float]:
    """Say when the frames of a video begin, and when the last one ends, in seconds from the first."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        base = frames[0].time_base
    ends = (frames[-1].pts + frames[-1].duration - frames[0].pts) * base
    return [float((frame.pts - frames[0].pts) * base) for frame in frames] + [float(ends)]
