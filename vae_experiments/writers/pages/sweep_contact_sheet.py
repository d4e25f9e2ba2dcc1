"""The contact sheet of a sweep: the same frame of every job, small, under each what was swept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.writers.pictures.png import write_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vae_experiments.tensors import Pixels

WIDEST = 160
GAP, LINE, TEXT = 10, 14, 11
MOST_COLUMNS = 10
LONGEST = 120
"""No more letters of a line would fit, however narrow they are."""
PAPER, INK, EMPTY = (250, 249, 246), (60, 60, 66), (228, 227, 223)


class SheetTile(NamedTuple):
    """A frame, uint8 ``H W 3``, or none where there is none to show; and the lines under it."""

    frame: Pixels | None
    lines: Sequence[str]


class Sheet(NamedTuple):
    """Where the tiles stand on the picture: left and top of each, and the size of all."""

    corners: Sequence[tuple[int, int]]
    width: int
    height: int


def tile_size(frames: Sequence[Pixels], count: int) -> tuple[int, int]:
    """Choose width and height of all tiles: the more there are, the smaller, and no taller than half as much again."""
    width = WIDEST if count <= 120 else 96 if count <= 480 else 64
    tallest = max((frame.shape[0] / frame.shape[1] for frame in frames), default=1.0)
    return width, round(width * min(tallest, 1.5))


def write_sheet(path: Path, tiles: Sequence[SheetTile]) -> Sheet:
    """Lay the tiles out in rows, save a PNG and say where they are."""
    import numpy as np
    from PIL import Image, ImageDraw

    width, height = tile_size([tile.frame for tile in tiles if tile.frame is not None], len(tiles))
    lines = max((len(tile.lines) for tile in tiles), default=0)
    columns = min(MOST_COLUMNS * WIDEST // width, max(len(tiles), 1))
    across, down = width + GAP, height + lines * LINE + GAP + 4
    rows = -(-len(tiles) // columns)
    picture = Image.new("RGB", (columns * across + GAP, max(rows, 1) * down + GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    corners = []
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        left, top = GAP + column * across, GAP + row * down
        corners.append((left, top))
        draw.rectangle((left, top, left + width - 1, top + height - 1), fill=EMPTY)
        if tile.frame is not None:
            small = _fitted(tile.frame, width, height)
            picture.paste(small, (left + (width - small.width) // 2, top + (height - small.height) // 2))
        for place, line in enumerate(tile.lines):
            draw.text(
                (left, top + height + 3 + place * LINE), _cut(draw, line, width), fill=INK, font=_font()
            )
    write_png(path, np.asarray(picture))
    return Sheet(corners, width, height)


def _fitted(frame: Pixels, width: int, height: int) -> Any:
    """Bring a frame to the size of a tile, its shape kept."""
    from PIL import Image, ImageOps

    return ImageOps.contain(Image.fromarray(frame), (width, height), Image.Resampling.LANCZOS)


def _cut(draw: Any, text: str, width: int) -> str:
    """Shorten a line until it is no wider than its tile."""
    text = " ".join(text.split())[:LONGEST]
    if draw.textlength(text, font=_font()) <= width:
        return text
    while text and draw.textlength(f"{text}...", font=_font()) > width:
        text = text[:-1]
    return f"{text}..."


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(TEXT)
