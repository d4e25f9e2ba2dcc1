"""Tables of other tools: seconds in the first column, values in the others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vae_experiments.schedules.timeline import number
from vae_experiments.schedules.waveform import UnheardError

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_BYTES = 2**26
HINT = "give rows of numbers as seconds,value, with a line of names above them if you like"


def read_table(path: Path, column: int) -> tuple[list[float], list[float]]:
    """Return the seconds and the values of a column, by its number from 1 on, in the order of time.

    Cells are parted by commas, semicolons, tabs or spaces; a first line of names and lines that begin with #
    are passed over.

    Raises:
        UnheardError: there is no such file, no such column, or it is no table.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES or not path.is_file():
            raise UnheardError(f"{path.name} is no table of numbers", HINT)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UnheardError(f"{path.name}: {(error.strerror or str(error)).lower()}", "give a table") from None
    except UnicodeDecodeError:
        raise UnheardError(f"{path.name} is no table of numbers", HINT) from None
    rows, is_first = [], True
    for place, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = [cell.strip().strip("\"'") for cell in re.split(r"[,;\t]|(?<=\S) +(?=\S)", line.strip())]
        try:
            rows.append(_row(cells, column))
        except (ValueError, IndexError):
            if not is_first:
                raise _problem(path, place, cells, column) from None
        is_first = False
    if not rows:
        raise UnheardError(f"{path.name} is no table of numbers", HINT)
    rows.sort(key=lambda row: row[0])
    return [seconds for seconds, _ in rows], [value for _, value in rows]


def _row(cells: list[str], column: int) -> tuple[float, float]:
    return number(cells[0]), number(cells[column - 1])


def _problem(path: Path, place: int, cells: list[str], column: int) -> UnheardError:
    if len(cells) < column:
        return UnheardError(
            f"{path.name} has no column {column}: line {place} has {len(cells)}", "take another column"
        )
    return UnheardError(
        f"line {place} of {path.name} has no number of seconds, or none in column {column}", HINT
    )
