"""Videos side by side, each under its label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vae_experiments.tensors import Pixels

GAP = 4
WIDEST = 8192
PAPER, INK = 18, 235


class Comparison:
    """Lays out frames of several videos in a row, very wide ones in a column.

    The sheet's size is even, as yuv420p wants it.
    """

    def __init__(self, size: Size, labels: Sequence[str]) -> None:
        import numpy as np

        self.frame = size
        self.header = max(18, size.height // 14)
        self.header += (size.height + self.header) % 2  # a label may be a row higher, a blank row shows
        self.columns = 1 if size.width * len(labels) > WIDEST else len(labels)
        rows = len(labels) // self.columns
        width = size.width * self.columns + GAP * (self.columns - 1)
        height = (size.height + self.header) * rows
        self.size = Size(width + width % 2, height + height % 2)
        self._paper = np.full((*self.size[::-1], 3), PAPER, np.uint8)
        for place, label in enumerate(labels):
            top, left = self._corner(place)
            self._paper[top - self.header : top, left : left + size.width] = self._label(label)

    def lay_out(self, videos: Sequence[Pixels | None]) -> Pixels:
        """Put chunks, uint8 ``T H W 3``, beside each other; a video that is over keeps its last frame."""
        import numpy as np

        longest = max(len(pixels) for pixels in videos if pixels is not None)
        sheet = np.repeat(self._paper[None], longest, axis=0)
        for place, pixels in enumerate(videos):
            top, left = self._corner(place)
            rows, columns = slice(top, top + self.frame.height), slice(left, left + self.frame.width)
            if pixels is not None:
                sheet[: len(pixels), rows, columns] = pixels
                sheet[len(pixels) :, rows, columns] = self._paper[rows, columns] = pixels[-1]
        return sheet

    def _corner(self, place: int) -> tuple[int, int]:
        """Return where the frame of one video begins: top and left, below its label."""
        row, column = divmod(place, self.columns)
        return row * (self.frame.height + self.header) + self.header, column * (self.frame.width + GAP)

    def _label(self, text: str) -> Pixels:
        import numpy as np
        from PIL import Image, ImageDraw, ImageFont

        picture = Image.new("RGB", (self.frame.width, self.header), (PAPER,) * 3)
        draw, height = ImageDraw.Draw(picture), self.header * 0.62
        width = draw.textlength(text, font=ImageFont.load_default(height))
        height *= min(1.0, (self.frame.width - 8) / max(width, 1))
        if height >= 5:
            middle = (self.frame.width / 2, self.header / 2)
            draw.text(middle, text, fill=(INK,) * 3, font=ImageFont.load_default(height), anchor="mm")
        return np.asarray(picture)
