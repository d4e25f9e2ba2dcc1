"""The summary over a set of videos as a paper prints it: tables in Markdown and in LaTeX."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.files import write_text
from vae_experiments.sweep.set_summary import keys_of, shown_numbers, titles_of, with_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vae_experiments.sweep.set_summary import Combination

NOTE = "Means over {} videos, in brackets the 95 % bootstrap interval over them; fewer videos are counted behind it."
LATEX_SIGNS = re.compile(r"[\\{}_%&#$~^]")
LATEX_NAMES = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


class PaperTable(NamedTuple):
    """A table of text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_markdown(self) -> str:
        """Return the table under its title, for a page."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        cells = ([cell.replace("|", r"\|") for cell in line] for line in lines)
        return f"## {self.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in cells)

    def as_latex(self) -> str:
        """Return the table with its title as caption; it needs the package booktabs."""
        head, *rows = (" & ".join(map(_latex, line)) + r" \\" for line in (self.head, *self.rows))
        form = "l" + "r" * (len(self.head) - 1)
        lines = [r"\begin{table}", rf"\caption{{{_latex(self.title)}}}", rf"\begin{{tabular}}{{{form}}}"]
        lines += [r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
        return "\n".join(lines) + "\n"


def paper_tables(combinations: Sequence[Combination]) -> list[PaperTable]:
    """Lay the summary out: a table a number, the first setting down and all others across.

    With one setting beside the videos, or none, it is one table, the numbers across.
    """
    keys, titles = keys_of(combinations), titles_of(combinations)
    if len(keys) < 2:
        found = [[_named(one.values, keys), *(_cell(one, name) for name in titles)] for one in combinations]
        return [PaperTable("Summary", [" ".join(keys) or "setting", *titles.values()], found)]
    first, *others = keys
    down = list(dict.fromkeys(_named(one.values, [first]) for one in combinations))
    across = list(dict.fromkeys(_named(one.values, others) for one in combinations))
    places = {(_named(one.values, [first]), _named(one.values, others)): one for one in combinations}
    head = [f"{first} / {', '.join(others)}", *across]
    return [
        PaperTable(
            title, head, [[row, *(_cell(places.get((row, one)), name) for one in across)] for row in down]
        )
        for name, title in titles.items()
    ]


def write_paper_tables(path: Path, combinations: Sequence[Combination], command: str) -> None:
    """Write the tables as two files, ``path`` with the endings ``.md`` and ``.tex``, under what was typed."""
    tables = paper_tables(combinations)
    note = NOTE.format(max(_videos(one) for one in combinations))
    markdown = "\n".join(table.as_markdown() for table in tables)
    write_text(path.with_suffix(".md"), f"# {command or 'Summary'}\n\n{note}\n\n{markdown}")
    latex = "\n".join(table.as_latex() for table in tables)
    write_text(path.with_suffix(".tex"), f"% {command}\n% {note}\n\n{latex}")


def _videos(one: Combination) -> int:
    return len(one.finished) + one.failed


def _cell(one: Combination | None, name: str) -> str:
    """Write a number with its interval; how many videos have it stands behind, where some have not."""
    found = one.estimates.get(name) if one else None
    if one is None or found is None:
        return ""
    missing = f" ({found.videos} of {_videos(one)})" if found.videos < _videos(one) else ""
    return with_interval(found, shown_numbers()[name][1]) + missing


def _named(values: Mapping[str, str], keys: Sequence[str]) -> str:
    return ", ".join(values[key] for key in keys if key in values)


def _latex(text: str) -> str:
    return LATEX_SIGNS.sub(lambda sign: LATEX_NAMES.get(sign[0], f"\\{sign[0]}"), text)
