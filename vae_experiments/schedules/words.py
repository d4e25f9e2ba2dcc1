"""Words in brackets: where a bracket closes, and what stands between its commas."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMED = re.compile(r"\s*(\w+)\s*=(.*)", re.DOTALL)


def read_call(text: str) -> tuple[str, list[str], dict[str, str]]:
    """Take ``name(a, b, key=c)`` apart into its name and its arguments, which may be calls themselves.

    Raises:
        ValueError: it is no such thing.
    """
    found = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", text, re.DOTALL)
    if found is None:
        raise ValueError(f"cannot read {text!r}")
    return (found[1], *named_words(found[2]))


def named_words(text: str) -> tuple[list[str], dict[str, str]]:
    """Split ``a, b, key=c`` into the plain words and the named ones."""
    words = split_outside_brackets(text) if text.strip() else []
    named = {found[1]: found[2].strip() for word in words if (found := _NAMED.fullmatch(word))}
    return [word.strip() for word in words if not _NAMED.fullmatch(word)], named


def split_outside_brackets(text: str) -> list[str]:
    """Split at the commas that stand in no bracket and in no quotes."""
    parts, depth, begins = [], 0, 0
    for place, sign in outside_quotes(text):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append(text[begins:place])
            begins = place + 1
    return [*parts, text[begins:]]


def split_at_word(text: str, word: str) -> list[str]:
    """Split at a word that stands by itself, in no bracket and in no quotes."""
    stands = {found.start() for found in re.finditer(rf"(?<![^\s)]){word}(?![^\s(])", text)}
    parts, depth, begins = [], 0, 0
    for place, sign in outside_quotes(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0 and place in stands:
            parts.append(text[begins:place])
            begins = place + len(word)
    return [*parts, text[begins:]]


def matching_bracket(text: str, opens: int) -> int:
    """Return where the bracket closes that opens at a place, outside quotes.

    Raises:
        ValueError: it does not.
    """
    depth = 0
    for place, sign in outside_quotes(text, opens):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return place
    raise ValueError(f"cannot read {text[max(0, opens - 20) :][:40]!r}, a bracket is left open")


def outside_quotes(text: str, begins: int = 0) -> Iterator[tuple[int, str]]:
    """Yield the place of every sign that stands in no quotes, and the sign; of quotes not even themselves."""
    quote = ""
    for place in range(begins, len(text)):
        sign = text[place]
        if quote or sign in "'\"":
            quote = "" if sign == quote else quote or sign
        else:
            yield place, sign


def unquoted(text: str) -> str:
    """Return what stands in quotes, or the text itself without any."""
    text = text.strip()
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if is_quoted else text
