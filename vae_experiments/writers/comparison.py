"""Videos side by side, each under its label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vae_experiments.tensors import Pixels

GAP = 4
PAPER, INK = 18, 235


class Comparison:
    """Lays out frames of several videos in a row; the sheet's size is even, as yuv420p wants it."""

    def __init__(self, size: Size, labels: Sequence[str]) -> None:
        import numpy as np

        self.frame = size
        self.header = max(18, size.height // 14)
        width = size.width * len(labels) + GAP * (len(labels) - 1)
        self.size = Size(width + width % 2, size.height + self.header + (size.height + self.header) % 2)
        self._paper = np.full((self.size.height, self.size.width, 3), PAPER, np.uint8)
        for column, label in enumerate(labels):
            left = self._left(column)
            self._paper[: self.header, left : left + size.width] = self._label(label)

    def lay_out(self, columns: Sequence[Pixels]) -> Pixels:
        """Put chunks of equal length, uint8 ``T H W 3``, beside each other."""
        import numpy as np

        sheet = np.repeat(self._paper[None], len(columns[0]), axis=0)
        for column, pixels in enumerate(columns):
            left = self._left(column)
            sheet[:, self.header : self.header + self.frame.height, left : left + self.frame.width] = pixels
        return sheet

    def _left(self, column: int) -> int:
        return column * (self.frame.width + GAP)

    def _label(self, text: str) -> Pixels:
        import numpy as np
        from PIL import Image, ImageDraw, ImageFont

        picture = Image.new("RGB", (self.frame.width, self.header), (PAPER,) * 3)
        draw = ImageDraw.Draw(picture)
        height = self.header * 0.62
        width = draw.textlength(text, font=ImageFont.load_default(height))
        if width > self.frame.width - 8:
            height *= (self.frame.width - 8) / width
        if height >= 5:
            middle = (self.frame.width / 2, self.header / 2)
            draw.text(middle, text, fill=(INK,) * 3, font=ImageFont.load_default(height), anchor="mm")
        return np.asarray(picture)
