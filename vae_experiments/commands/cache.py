"""The command that lists, verifies and clears the cache."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vae_experiments.cache.settings import Cache
from vae_experiments.cli.entry import Parser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vae_experiments.cache.store import Store

DAY_SECONDS = 24 * 3600


def main(words: Sequence[str] | None = None) -> int:
    """Do what was typed; the exit status is 1 where an entry is damaged."""
    description = "Look after the cache of latents, decodings and files that runs share."
    parser = Parser(prog="vae-experiments cache", description=description)
    actions = {"list": _show, "verify": _verify, "clear": _clear}
    parser.add_argument("action", choices=actions)
    parser.add_argument("--dir", help="folder of the cache, as in cache.dir; left out, the usual one")
    typed = parser.parse_args(words)
    store = Cache(dir=typed.dir).store()
    assert store is not None
    return actions[typed.action](store)


def _show(store: Store) -> int:
    """List the entries, the one that would go first at the top."""
    entries = store.entries()
    for entry in entries:
        days = (time.time() - entry.used) / DAY_SECONDS
        print(f"{entry.size_bytes / 1e6:10.1f} MB  used {days:5.1f} days ago  {entry.name}")
    total = sum(entry.size_bytes for entry in entries)
    print(f"{len(entries)} entries, {total / 1e6:.1f} MB, in {store.folder}")
    return 0


def _verify(store: Store) -> int:
    """Compare every file with its digest, and throw away what is damaged."""
    damaged = store.damaged()
    for name in damaged:
        store.discard(name)
        print(f"damaged, thrown away: {name}")
    print(f"{len(store.entries())} entries are whole, in {store.folder}")
    return 1 if damaged else 0


def _clear(store: Store) -> int:
    """Throw every entry away; what a process is just writing stays its own."""
    entries = store.entries()
    for entry in entries:
        store.discard(entry.name)
    print(f"{len(entries)} entries thrown away, {sum(entry.size_bytes for entry in entries) / 1e6:.1f} MB")
    return 0
