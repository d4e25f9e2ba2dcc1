"""What a choice is and what its settings mean, in words made from its class.

``python -m vae_experiments.cli.settings_help`` prints the reference of all of them: docs/manipulations.md.
"""

from __future__ import annotations

import inspect
import sys
from enum import Enum
from typing import TYPE_CHECKING, Any

from vae_experiments.manipulations import ChainStep, Manipulation
from vae_experiments.options import kinds, option_groups, shown
from vae_experiments.schedules import GRAMMAR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vae_experiments.options import Option

WIDEST = 40
"""Letters of a setting and its default that the meanings of the others make room for."""
COMMAND = "python -m vae_experiments.cli.settings_help > docs/manipulations.md"
GROUPS = {
    "stochastic": "At random",
    "textures": "At random",
    "channels": "Channels",
    "motion": "Motion and time",
    "temporal": "Motion and time",
    "time_remap": "Motion and time",
    "slit_scan": "Motion and time",
    "space": "Space",
    "warps": "Space",
    "frequency": "Frequency and statistics",
    "statistics": "Frequency and statistics",
    "mixing": "Two videos, and the decoder's weights",
    "network_bending": "Two videos, and the decoder's weights",
}
"""What each module of manipulations is about, in the order in which people read of them."""
FOREIGN = "From other packages"
COMMON = {key for key, _, _ in Manipulation.settings()}


def sentence(kind: type[Option]) -> str:
    """Return the first sentence of a class's docstring: what a person sees or gets."""
    text = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split()).replace("``", "`")
    end = text.find(". ")
    return text if end < 0 else text[: end + 1]


def grouped() -> dict[str, dict[str, type[ChainStep]]]:
    """List all manipulations by what they disturb; those of other packages come last."""
    groups: dict[str, dict[str, type[ChainStep]]] = {title: {} for title in GROUPS.values()}
    for name, kind in kinds("manipulation").items():
        assert issubclass(kind, ChainStep), kind
        groups.setdefault(GROUPS.get(kind.__module__.rpartition(".")[2], FOREIGN), {})[name] = kind
    return {title: members for title, members in groups.items() if members}


def explain(chosen: Iterable[tuple[str, type[Option]]]) -> str:
    """Return in plain lines what choices are and what each of their settings means.

    Args:
        chosen: where the settings of each are typed, as ``noise`` or ``source``, and its class.
    """
    lines: list[str] = []
    for address, kind in chosen:
        rows = [(f"{address}.{key}={value}", meaning) for key, value, meaning in rows_of(kind)]
        width = min(max((len(typed) for typed, _ in rows), default=0), WIDEST) + 2
        lines += ["", f"{kind.kind}: {sentence(kind)}", ""]
        lines += [f"  {typed:{width}}{meaning}" for typed, meaning in rows]
        lines += ["", f"A schedule: {GRAMMAR}."] if kind.scheduled() else []
    return "\n".join(lines)


def listed(config: Mapping[str, Any]) -> str:
    """Return every setting of a composed config in a line of its own: as it is typed, and what it means.

    Args:
        config: blocks of settings, each with its ``kind``, by where they are typed.
    """
    rows = []
    for address, block in config.items():
        if not isinstance(block, dict) or "kind" not in block:
            continue
        is_short = address == "run"  # these are typed without a prefix, and referred to by their block
        group = address if address in option_groups() else "manipulation"
        for key, _, rule in kinds(group)[block["kind"]].settings():
            value = (config if is_short else block).get(key)
            # What another setting stands in for is typed there.
            if not str(value).startswith("${"):
                typed = f"{key if is_short else f'{address}.{key}'}={shown(value)}"
                rows.append(f"  {typed:{WIDEST - 6}} {rule.help.partition(';')[0]}")
    return "\n".join(rows)


def reference() -> str:
    """Write the reference of all manipulations as Markdown."""
    lines = ["# Manipulations", "", f"Made by `{COMMAND}`.", ""]
    lines += ["Every manipulation but `retime` and `bend` also takes:", ""]
    lines += [*table("<name>", [row for row in rows_of(Manipulation) if row[0] in COMMON]), ""]
    lines += [f'Where a setting says "or a schedule", {GRAMMAR}. Put the value in quotes for the shell: ']
    lines += ["`noise.scale='ramp(0,1)'`.", ""]
    for title, members in grouped().items():
        if title == FOREIGN:
            continue
        lines += [f"## {title}", ""]
        for name, kind in members.items():
            lines += [f"### {name}", "", _described(kind), ""]
            common = COMMON if issubclass(kind, Manipulation) else set()
            own = [row for row in rows_of(kind) if row[0] not in common]
            lines += [*table(name, own), ""] if own else []
    return "\n".join(lines).rstrip() + "\n"


def rows_of(kind: type[Option]) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and meaning of each setting."""
    scheduled = kind.scheduled()
    for key, value, rule in kind.settings():
        meaning = [rule.help if not rule.unit or rule.unit in rule.help else f"{rule.help}, in {rule.unit}"]
        if isinstance(value, Enum):
            meaning.append(f"one of {', '.join(choice.name for choice in type(value))}")
        bounds = str(rule).removesuffix(rule.unit).strip()
        meaning += [bounds] if bounds and not isinstance(value, list) else []
        meaning += ["or a schedule"] if key in scheduled else []
        yield key, shown(value), "; ".join(meaning)


def table(address: str, rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return settings, by where they are typed, as a table in Markdown."""
    lines = [f"| `{address}.{key}` | {value or '-'} | {meaning} |" for key, value, meaning in rows]
    return ["| setting | default | meaning |", "|---|---|---|", *lines]


def _described(kind: type[ChainStep]) -> str:
    text = (inspect.getdoc(kind) or "").replace("``", "`").replace("*", r"\*")
    code = text.split("`")
    # Stars inside code stay as they are.
    code[1::2] = [part.replace(r"\*", "*") for part in code[1::2]]
    return "`".join(code)


if __name__ == "__main__":
    sys.stdout.write(reference())
