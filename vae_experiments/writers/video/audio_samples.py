"""Decoded sound in one piece: at one rate, each sample at its own time, silence where nothing is."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from vae_experiments.writers.video.clock import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

JITTER = Fraction(1, 50)
"""How far, in seconds, times may be from the count of samples before they are believed.

Far more than the clocks of containers round (a millisecond), and less than half of the 45 ms from
which people notice that sound leads (ITU-R BT.1359): within it samples follow each other untouched.
"""

FILLED = 60
"""Seconds of silence that are encoded at most; of a longer hole only the edges are, the rest is in the times."""


class Samples:
    """Puts decoded frames of any rate and layout where their times say, counted from the first picture.

    What lies before the first picture is cut, a hole becomes silence, and what comes twice is taken
    once. Where the first sound is late, the first frame is.

    Raises:
        ValueError: a hole lasts longer than a container can say.
    """

    def __init__(self, rate: int, layout: str, first_picture: Fraction, encoder_frame: int = 1024) -> None:
        self.rate, self.layout, self.encoder_frame = rate, layout, encoder_frame
        self._first_picture = first_picture
        self._resampler: Any = None
        self._form: tuple[str, str, int] | None = None
        self._expected = Fraction(0)
        self._at = 0
        self._begins = self._written = -1

    def lay(self, frame: Any) -> Iterator[Any]:
        """Yield what can be encoded once this frame is known."""
        import av

        begins = None if frame.pts is None else frame.pts * frame.time_base - self._first_picture
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        strays = begins is not None and abs(begins - self._expected) > JITTER
        if self._resampler is None or form != self._form or strays:
            yield from self.end()
            self._expected = self._expected if begins is None else begins
            self._at, self._form = round(self._expected * self.rate), form
            self._resampler = av.AudioResampler("fltp", self.layout, self.rate)
        self._expected += Fraction(frame.samples, frame.sample_rate)
        frame.pts = None
        for piece in self._resampler.resample(frame):
            yield from self._placed(piece.to_ndarray())

    def end(self) -> Iterator[Any]:
        """Yield what the resampler still holds."""
        if self._resampler is not None and not self._resampler.is_passthrough:
            for piece in self._resampler.resample(None):
                yield from self._placed(piece.to_ndarray())
        self._resampler = None

    def _placed(self, block: np.ndarray) -> Iterator[Any]:
        begins = self._at
        self._at += block.shape[1]
        if self._begins < 0:
            self._begins = self._written = max(begins, 0)
        yield from self._hole(begins - self._written, len(block))
        block = block[:, max(0, self._written - begins) :]
        if block.shape[1]:
            yield self._frame(block)

    def _hole(self, count: int, channels: int) -> Iterator[Any]:
        if count > LARGEST:
            raise ValueError("a hole is too long")
        if count > FILLED * self.rate:
            # Whole frames of the encoder, since only those have times of their own.
            before = (self._begins - self._written) % self.encoder_frame + 2 * self.encoder_frame
            yield from self._silence(before, channels)
            count -= before
            self._written += count - 2 * self.encoder_frame
            count = 2 * self.encoder_frame
        yield from self._silence(count, channels)

    def _silence(self, count: int, channels: int) -> Iterator[Any]:
        import numpy as np

        for done in range(0, count, self.rate):
            yield self._frame(np.zeros((channels, min(self.rate, count - done)), np.float32))

    def _frame(self, block: np.ndarray) -> Any:
        import av
        import numpy as np

        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self.layout)
        frame.sample_rate, frame.time_base = self.rate, Fraction(1, self.rate)
        frame.pts = self._written
        self._written += block.shape[1]
        return frame
