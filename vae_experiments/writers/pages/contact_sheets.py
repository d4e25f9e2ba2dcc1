"""Contact sheets: what each manipulation makes of one frame, and the same frame of every job of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.writers.pictures.png import write_png

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vae_experiments.tensors import Pixels

PAPER, EMPTY = (250, 249, 246), (228, 227, 223)
INK, DARK, SOFT = (28, 28, 32), (60, 60, 66), (110, 110, 118)
HEAD, TITLE, TEXT, SMALL = 21, 16, 12, 11
SIDE, GAP, MARGIN, COLUMNS = 116, 4, 24, 4
"""Of the gallery: the square that a frame is cropped to, and how many manipulations stand in a row."""
TILE_GAP, ROW = 26, 217
WIDEST, SHEET_GAP, LINE, MOST_COLUMNS = 160, 10, 14, 10
"""Of the sheet of a sweep."""
LONGEST = 120
"""No more letters of a line would fit, however narrow they are."""


class Tile(NamedTuple):
    """One manipulation: its name, its sentence, and a frame for each of its captions."""

    name: str
    sentence: str
    captions: Sequence[str]
    frames: Sequence[Pixels]


class SheetTile(NamedTuple):
    """A frame, uint8 ``H W 3``, or none where there is none to show; and the lines under it."""

    frame: Pixels | None
    lines: Sequence[str]


class Sheet(NamedTuple):
    """Where the tiles stand on the picture: left and top of each, and the size of all."""

    corners: Sequence[tuple[int, int]]
    width: int
    height: int


def write_gallery(path: Path, original: Pixels, sections: Mapping[str, Sequence[Tile]]) -> None:
    """Lay tiles out under the titles of their sections, beginning with the frame as it was, and save a PNG."""
    width = len(next(iter(sections.values()))[0].frames) * (SIDE + GAP) - GAP
    heights = [52 + -(-len(tiles) // COLUMNS) * ROW for tiles in sections.values()]
    top = MARGIN + SIDE + 30
    paper = _Paper(COLUMNS * (width + TILE_GAP) - TILE_GAP + 2 * MARGIN, top + sum(heights) + MARGIN // 2)
    paper.paste(original, (MARGIN, MARGIN), (SIDE, SIDE), is_cropped=True)
    left, middle = MARGIN + SIDE + 16, MARGIN + SIDE // 2
    paper.write((left, middle), "the frame as it is reconstructed,", TEXT, SOFT)
    paper.write((left, middle + 18), "and the same moment after each manipulation", TEXT, SOFT)
    for (title, tiles), height in zip(sections.items(), heights, strict=True):
        paper.write((MARGIN, top), title, HEAD)
        for place, tile in enumerate(tiles):
            row, column = divmod(place, COLUMNS)
            _draw_tile(paper, (MARGIN + column * (width + TILE_GAP), top + 42 + row * ROW), tile, width)
        top += height
    write_png(path, paper.pixels(), optimize=True)


def write_sheet(path: Path, tiles: Sequence[SheetTile]) -> Sheet:
    """Lay the tiles out in rows, save a PNG and say where they are.

    The more there are, the smaller; and no tile is taller than half as much again as it is wide.
    """
    width = WIDEST if len(tiles) <= 120 else 96 if len(tiles) <= 480 else 64
    shapes = [tile.frame.shape for tile in tiles if tile.frame is not None]
    height = round(width * min(max((high / wide for high, wide, _ in shapes), default=1.0), 1.5))
    columns = min(MOST_COLUMNS * WIDEST // width, max(len(tiles), 1))
    most_lines = max((len(tile.lines) for tile in tiles), default=0)
    across, down = width + SHEET_GAP, height + most_lines * LINE + SHEET_GAP + 4
    rows = max(-(-len(tiles) // columns), 1)
    paper = _Paper(columns * across + SHEET_GAP, rows * down + SHEET_GAP)
    places = (divmod(number, columns) for number in range(len(tiles)))
    corners = [(SHEET_GAP + column * across, SHEET_GAP + row * down) for row, column in places]
    for (left, top), tile in zip(corners, tiles, strict=True):
        paper.paste(tile.frame, (left, top), (width, height))
        for number, line in enumerate(tile.lines):
            text = paper.shortened(line, width, SMALL)
            paper.write((left, top + height + 3 + number * LINE), text, SMALL, DARK)
    write_png(path, paper.pixels())
    return Sheet(corners, width, height)


def _draw_tile(paper: _Paper, corner: tuple[int, int], tile: Tile, width: int) -> None:
    left, top = corner
    paper.write(corner, tile.name, TITLE)
    for number, line in enumerate(paper.wrapped(tile.sentence, width, TEXT)):
        paper.write((left, top + 25 + number * 16), line, TEXT, SOFT)
    for number, (caption, frame) in enumerate(zip(tile.captions, tile.frames, strict=True)):
        x = left + number * (SIDE + GAP)
        paper.paste(frame, (x, top + 62), (SIDE, SIDE), is_cropped=True)
        paper.write((x, top + 64 + SIDE), caption, SMALL, SOFT)


class _Paper:
    """An empty sheet of so many pixels; places on it count from the upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw

        self._sheet = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self._sheet)

    def paste(
        self, frame: Pixels | None, corner: tuple[int, int], size: tuple[int, int], is_cropped: bool = False
    ) -> None:
        """Put the middle of a frame there, or all of it before a grey ground; the ground alone without one."""
        from PIL import Image, ImageOps

        picture = Image.new("RGB", size, EMPTY) if frame is None else Image.fromarray(frame)
        if is_cropped:
            fitted = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
        else:
            fitted = ImageOps.pad(picture, size, Image.Resampling.LANCZOS, EMPTY)
        self._sheet.paste(fitted, corner)

    def write(self, corner: tuple[int, int], text: str, size: int, colour: tuple[int, ...] = INK) -> None:
        self._draw.text(corner, text, fill=colour, font=_font(size))

    def shortened(self, text: str, width: int, size: int) -> str:
        """Cut letters off a line until it is no wider."""
        text = " ".join(text.split())[:LONGEST]
        if self._draw.textlength(text, font=_font(size)) <= width:
            return text
        while text and self._draw.textlength(f"{text}...", font=_font(size)) > width:
            text = text[:-1]
        return f"{text}..."

    def wrapped(self, text: str, width: int, size: int) -> list[str]:
        """Break a text into two lines that are no wider; what does not fit ends in dots."""
        lines = [""]
        for word in text.replace("`", "").split():
            longer = f"{lines[-1]} {word}".strip()
            if self._draw.textlength(longer, font=_font(size)) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines if len(lines) <= 2 else [lines[0], f"{lines[1].rstrip('.,:;')} ..."]

    def pixels(self) -> Pixels:
        import numpy as np

        return np.asarray(self._sheet)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
