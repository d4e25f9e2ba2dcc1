"""Randomness that belongs to a place: a frame's draw depends on seed, purpose and frame number only.

Batch size, chunk size, device and the order of frames never change a draw, so a sweep over batch
sizes compares like with like. Draws are made on the CPU, whose generator is the same everywhere.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


def place_seed(seed: int, purpose: str, place: int = 0) -> int:
    """Mix a seed, what the draw is for and where it belongs into one 63-bit seed."""
    mixed = hashlib.blake2b(f"{seed}/{purpose}/{place}".encode(), digest_size=8).digest()
    return int.from_bytes(mixed, "big") >> 1


def normal(shape: Sequence[int], seed: int, purpose: str, place: int = 0) -> torch.Tensor:
    """Draw standard normal numbers for one place, float32 on the CPU."""
    import torch

    generator = torch.Generator().manual_seed(place_seed(seed, purpose, place))
    return torch.randn(tuple(shape), generator=generator)


def normal_frames(first: int, shape: Sequence[int], seed: int, purpose: str) -> torch.Tensor:
    """Draw standard normal ``T ...`` for the frames ``first``, ``first + 1``, ..., each by its own number."""
    import torch

    count, *each = shape
    return torch.stack([normal(each, seed, purpose, first + frame) for frame in range(count)])
