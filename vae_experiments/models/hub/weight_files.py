"""Which files of a folder are its weights: whole or in shards, plain or a variant of lower precision."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

STEM = "diffusion_pytorch_model"
VARIANTS = ("fp16", "bf16")
"""Copies of the weights in fewer bits, best first, as diffusers names them."""
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_FILE = re.compile(
    rf"{STEM}(?:\.(?P<early>\w+))?(?:-\d+-of-(?P<count>\d+))?(?:\.(?P<late>\w+))?\.safetensors",
)
"""``STEM.fp16-00001-of-00002`` is today's name of a variant's shard, ``STEM-00001-of-00002.fp16`` the older."""


@dataclass(frozen=True)
class Weights:
    """The files, by name, that hold a network's weights in safetensors."""

    names: tuple[str, ...]
    variant: str = ""
    """Empty for the plain weights, which are taken where there are any."""

    @classmethod
    def among(cls, names: Iterable[str]) -> Weights | None:
        """Pick them from a folder's files: plain before variants, whole before shards; None if incomplete."""
        there = set(names)
        return next((found for variant in ("", *VARIANTS) if (found := cls._of(variant, there))), None)

    @classmethod
    def _of(cls, variant: str, there: set[str]) -> Weights | None:
        found = {name: match for name in sorted(there) if (match := _FILE.fullmatch(name))}
        own = {
            name: match for name, match in found.items() if (match["early"] or match["late"] or "") == variant
        }
        whole = [name for name, match in own.items() if not match["count"]]
        shards = [name for name, match in own.items() if match["count"]]
        if whole:
            return cls((whole[0],), variant)
        index = f"{STEM}.safetensors.index.{variant}.json".replace("..", ".")
        complete = shards and len(shards) == int(own[shards[0]]["count"])
        return cls((*shards, index), variant) if complete and index in there else None
