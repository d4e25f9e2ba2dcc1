"""Checkpoints: where a training stands, in one file that is whole or absent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from safetensors import safe_open
from safetensors.torch import save

from vae_experiments.files import whole

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    Weights: TypeAlias = dict[str, torch.Tensor]


def write_checkpoint(path: Path, weights: dict[str, Weights], progress: dict[str, Any]) -> None:
    """Write named sets of weights, and what else is to be known as JSON in the file's metadata."""
    flat = {f"{part}/{name}": tensor for part, tensors in weights.items() for name, tensor in tensors.items()}
    with whole(path) as hidden:
        metadata = {"progress": json.dumps(progress, allow_nan=False)}
        hidden.write_bytes(save({name: tensor.contiguous() for name, tensor in flat.items()}, metadata))


def read_checkpoint(path: Path) -> tuple[dict[str, Weights], dict[str, Any]]:
    """Read back what :func:`write_checkpoint` wrote."""
    weights: dict[str, Weights] = {}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 - the file is no mapping
            part, name = key.split("/", 1)
            weights.setdefault(part, {})[name] = file.get_tensor(key)
        return weights, json.loads(file.metadata()["progress"])
