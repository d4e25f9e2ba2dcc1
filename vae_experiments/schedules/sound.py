"""Loudness of a band over time, and its hits."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from vae_experiments.schedules.waveform import Band, UnheardError, Waveform

if TYPE_CHECKING:
    import numpy as np

SHORTEST_SECONDS = 0.05
"""Of a window, below which low notes cannot be told apart."""
QUIET, LOUD = 5, 99
"""The percentiles over the clip that are 0 and 1."""
LEAST_RANGE = 0.01
"""What lies nearer together is as good as even, and what is rarer than the percentiles see is not robust but all there is."""
HOP_SECONDS, WINDOW_SECONDS = 0.005, 0.023
LEAST_FLUX, ABOVE_MEAN = 0.08, 1.5
"""A hit adds so much of the loudest spectrum there is, and so many times what is usual around it."""
AROUND_SECONDS, APART_SECONDS = 0.4, 0.03
RISEN = 0.2
"""The fraction of a hit's peak at which it begins."""
AT_ONCE = 1024


def levels(sound: Waveform, band: Band, moments: list[float]) -> list[float]:
    """Return, for each stretch between two moments, how loud a band is, from 0 to 1 over the clip.

    The root mean square in the band, under a Hann window over the stretch, or over 50 ms around its middle
    where it is shorter.

    Raises:
        UnheardError: the band lies above half the rate.
    """
    import numpy as np

    _check(sound, band)
    found = []
    for start, end in pairwise(moments):
        middle, half = (start + end) / 2, max(end - start, SHORTEST_SECONDS) / 2
        found.append(_loudness(sound.between(middle - half, middle + half), sound.rate, band))
    return normalised(np.array(found))


def _loudness(piece: np.ndarray, rate: int, band: Band) -> float:
    import numpy as np

    window = np.hanning(len(piece) + 2)[1:-1]
    spectrum = np.abs(np.fft.rfft((piece - piece.mean()) * window)) ** 2
    hertz = np.fft.rfftfreq(len(piece), 1 / rate)
    inside = spectrum[(hertz >= band.low_hz) & (hertz < band.high_hz)].sum()
    return float(np.sqrt(2 * inside / (len(piece) * (window**2).sum())))


def normalised(values: np.ndarray) -> list[float]:
    """Bring values to 0 to 1 by two percentiles; what stays the same all the time is 1, or 0 where it is nothing."""
    import numpy as np

    least, most = float(values.min()), float(values.max())
    if most - least <= LEAST_RANGE * abs(most):
        return [float(most > 1e-6)] * len(values)
    low, high = np.percentile(values, [QUIET, LOUD])
    if high - low < LEAST_RANGE * (most - least):
        low, high = least, most
    return [float(value) for value in np.clip((values - low) / (high - low), 0, 1)]


def hits(sound: Waveform, band: Band) -> list[float]:
    """Return when something in a band begins, in seconds: the peaks of its spectral flux.

    Raises:
        UnheardError: the band lies above half the rate.
    """
    import numpy as np

    _check(sound, band)
    flux = _flux(sound, band)
    if not len(flux):
        return []
    around, apart = round(AROUND_SECONDS / HOP_SECONDS), round(APART_SECONDS / HOP_SECONDS)
    sums = np.concatenate([[0.0], np.cumsum(flux)])
    places = np.arange(len(flux))
    first, last = np.maximum(places - around, 0), np.minimum(places + around + 1, len(flux))
    usual = (sums[last] - sums[first]) / (2 * around + 1)
    padded = np.pad(flux, apart)
    highest = np.max([padded[shift : shift + len(flux)] for shift in range(2 * apart + 1)], axis=0)
    is_hit = (flux == highest) & (flux > LEAST_FLUX + ABOVE_MEAN * usual)
    found: list[float] = []
    for place in places[is_hit]:
        begins = _beginning(sound, band, sound.begins + place * HOP_SECONDS)
        if not found or begins > found[-1] + APART_SECONDS:
            found.append(begins)
    return found


def _flux(sound: Waveform, band: Band) -> np.ndarray:
    """Return, each hop, by how much the spectrum has risen, as a fraction of the loudest there is.

    In thirds of an octave, so that a low drum counts as much as a hiss of many lines.
    """
    import numpy as np

    length = max(8, round(WINDOW_SECONDS * sound.rate))
    window = np.hanning(length)
    hertz = np.fft.rfftfreq(length, 1 / sound.rate)
    inside = (hertz >= band.low_hz) & (hertz < band.high_hz)
    inside[np.abs(hertz - band.low_hz).argmin()] = True  # a narrow band has one line at least
    thirds = np.floor(3 * np.log2(np.maximum(hertz[inside], 1)))
    of_third = (thirds[:, None] == np.unique(thirds)[None]).astype(float)
    # Each window ends where its hop does, after silence.
    padded = np.concatenate([np.zeros(length, np.float32), sound.samples])
    count = int(len(sound.samples) / sound.rate / HOP_SECONDS)
    ends = np.round((np.arange(count) + 1) * HOP_SECONDS * sound.rate).astype(int) + length
    before, most, rises = np.zeros(of_third.shape[1]), 0.0, []
    for first in range(0, count, AT_ONCE):
        pieces = np.stack([padded[end - length : end] for end in ends[first : first + AT_ONCE]])
        sizes = (np.abs(np.fft.rfft(pieces * window)[:, inside]) ** 2 @ of_third) ** 0.25
        rises.append(np.maximum(np.diff(sizes, axis=0, prepend=before[None]), 0).sum(1))
        before, most = sizes[-1], max(most, float(sizes.sum(1).max()))
    return np.concatenate(rises) / most if most > 1e-6 else np.zeros(0)


def _beginning(sound: Waveform, band: Band, seconds: float) -> float:
    """Return when a hit whose flux peaks in a hop begins, to a sample where the band is wide.

    Through a filter that answers to nothing before it comes: of minimum phase, by its cepstrum.
    """
    import numpy as np

    start = seconds - 2 * APART_SECONDS
    piece = sound.between(start, seconds + APART_SECONDS)
    count = 1 << (2 * len(piece) - 1).bit_length()
    hertz = np.fft.rfftfreq(count, 1 / sound.rate)
    steep = 4.0  # in octaves beyond an edge: 24 dB each
    low = np.log2(np.maximum(band.low_hz, 1) / np.maximum(hertz, 1))
    high = np.log2(np.maximum(hertz, 1)) - math.log2(band.high_hz)
    octaves = np.clip(np.maximum(low, high), 0, 3)
    cepstrum = np.fft.irfft(-steep * np.log(2) * octaves, count)
    cepstrum[1 : count // 2] *= 2
    cepstrum[count // 2 + 1 :] = 0
    heard = np.fft.irfft(np.fft.rfft(piece, count) * np.exp(np.fft.rfft(cepstrum)), count)[: len(piece)]
    loud = np.abs(heard)
    quiet = loud[: round(APART_SECONDS * sound.rate)].max()
    if loud.max() < 1.5 * quiet:  # something louder sounds all the while: the spectrum alone tells
        return seconds
    level = quiet + RISEN * (loud.max() - quiet)
    first = np.ceil((start - sound.begins) * sound.rate - 1e-6)
    return float(sound.begins + (first + int(np.argmax(loud >= level))) / sound.rate)


def _check(sound: Waveform, band: Band) -> None:
    if band.low_hz >= sound.rate / 2:
        problem = f"the band begins at {band.low_hz:g} Hz, and sound at {sound.rate} Hz ends at {sound.rate / 2:g} Hz"
        raise UnheardError(problem, "listen to a lower band")
