"""A sheet of tiles: what each manipulation makes of one frame, at three strengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.writers.pictures.png import write_png

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vae_experiments.tensors import Pixels

SIDE, GAP, MARGIN = 116, 4, 24
COLUMNS = 4
PAPER, INK, SOFT = (250, 249, 246), (28, 28, 32), (110, 110, 118)
TITLE, TEXT, SMALL, HEAD = 16, 12, 11, 21
TILE_HEIGHT = 26 + 36 + SIDE + 26
TILE_GAP = 26


class Tile(NamedTuple):
    """One manipulation: its name, its sentence, and a frame for each of its captions."""

    name: str
    sentence: str
    captions: Sequence[str]
    frames: Sequence[Pixels]


def write_gallery(path: Path, original: Pixels, sections: Mapping[str, Sequence[Tile]]) -> None:
    """Lay tiles out under the titles of their sections, beginning with the frame as it was, and save a PNG."""
    import numpy as np
    from PIL import Image, ImageDraw

    width = len(next(iter(sections.values()))[0].frames) * (SIDE + GAP) - GAP
    page = COLUMNS * (width + TILE_GAP) - TILE_GAP + 2 * MARGIN
    rows = sum(-(-len(tiles) // COLUMNS) for tiles in sections.values())
    height = MARGIN * 2 + SIDE + 40 + rows * (TILE_HEIGHT + TILE_GAP // 2) + len(sections) * 52
    sheet = Image.new("RGB", (page, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    sheet.paste(_picture(original), (MARGIN, MARGIN))
    _write(draw, (MARGIN + SIDE + 16, MARGIN + SIDE // 2), "the frame as it is reconstructed,", SOFT, TEXT)
    _write(
        draw,
        (MARGIN + SIDE + 16, MARGIN + SIDE // 2 + 18),
        "and the same moment after each manipulation",
        SOFT,
        TEXT,
    )
    top = MARGIN + SIDE + 30
    for title, tiles in sections.items():
        _write(draw, (MARGIN, top), title, INK, HEAD)
        top += 42
        for place, tile in enumerate(tiles):
            row, column = divmod(place, COLUMNS)
            corner = (MARGIN + column * (width + TILE_GAP), top + row * (TILE_HEIGHT + TILE_GAP // 2))
            _draw_tile(sheet, draw, corner, tile, width)
        top += -(-len(tiles) // COLUMNS) * (TILE_HEIGHT + TILE_GAP // 2) + 10
    write_png(path, np.asarray(sheet)[: top + MARGIN // 2], optimize=True)


def _draw_tile(sheet: Any, draw: Any, corner: tuple[int, int], tile: Tile, width: int) -> None:
    left, top = corner
    _write(draw, (left, top), tile.name, INK, TITLE)
    for number, line in enumerate(_wrapped(draw, tile.sentence, width)[:2]):
        _write(draw, (left, top + 25 + number * 16), line, SOFT, TEXT)
    for number, (caption, frame) in enumerate(zip(tile.captions, tile.frames, strict=True)):
        x = left + number * (SIDE + GAP)
        sheet.paste(_picture(frame), (x, top + 62))
        _write(draw, (x, top + 64 + SIDE), caption, SOFT, SMALL)


def _picture(frame: Pixels) -> Any:
    """Crop the middle of a frame to a square of the sheet."""
    from PIL import Image, ImageOps

    return ImageOps.fit(Image.fromarray(frame), (SIDE, SIDE), Image.Resampling.LANCZOS)


def _wrapped(draw: Any, text: str, width: int) -> list[str]:
    """Break a text into lines that are no wider than a tile; what does not fit in two ends in dots."""
    lines = [""]
    for word in text.replace("`", "").split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=_font(TEXT)) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > 2:
        lines[1] = f"{lines[1].rstrip('.,:;')} ..."
    return lines


def _write(draw: Any, corner: tuple[int, int], text: str, colour: tuple[int, int, int], size: int) -> None:
    draw.text(corner, text, fill=colour, font=_font(size))


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
