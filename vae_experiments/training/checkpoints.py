"""Checkpoints: where a training stands, in one file that is whole or absent, and when it is written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from vae_experiments.errors import TrainingError
from vae_experiments.files import atomic_write
from vae_experiments.runtime.interruption import held
from vae_experiments.training.resuming import CHECKPOINT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

Weights: TypeAlias = dict[str, torch.Tensor]
MARK, BLANK = b'"sha256":"', b"0" * 64
LARGEST_SHARE = 0.05
"""Of the time, that saving may take."""


def write_checkpoint(path: Path, weights: dict[str, Weights], progress: dict[str, Any]) -> None:
    """Write named sets of weights, and what else is to be known as JSON in the file's metadata.

    The file holds its own SHA-256, taken with noughts in the place of it.
    """
    flat = {f"{part}/{name}": tensor for part, tensors in weights.items() for name, tensor in tensors.items()}
    metadata = {"progress": json.dumps(progress), "sha256": BLANK.decode()}
    content = save({name: tensor.contiguous() for name, tensor in flat.items()}, metadata)
    place = content.index(MARK + BLANK) + len(MARK)
    with held(firm=True), atomic_write(path) as hidden, hidden.open("wb") as file:
        file.write(content)
        file.seek(place)
        file.write(hashlib.sha256(content).hexdigest().encode())


def read_checkpoint(path: Path) -> tuple[dict[str, Weights], dict[str, Any]]:
    """Read back what :func:`write_checkpoint` wrote.

    Raises:
        TrainingError: the file is missing, is no checkpoint, or is not what was written.
    """
    if not path.is_file():
        raise TrainingError(f"there is no checkpoint {path}", f"give the path of a {CHECKPOINT}")
    weights: dict[str, Weights] = {}
    try:
        content = _checked(path)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        for key, tensor in load(content).items():
            part, name = key.split("/", 1)
            weights.setdefault(part, {})[name] = tensor
        return weights, json.loads(header["__metadata__"]["progress"])
    except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        raise TrainingError(
            f"{path} is no checkpoint of a training", f"give the path of a {CHECKPOINT}"
        ) from error


def _checked(path: Path) -> bytes:
    """Return the bytes of a checkpoint, whose digest is the one that it was written with."""
    content = path.read_bytes()
    place = content.index(MARK) + len(MARK)
    end = place + len(BLANK)
    sha = hashlib.sha256(content[:place] + BLANK)
    sha.update(memoryview(content)[end:])
    if sha.hexdigest().encode() != content[place:end]:
        raise TrainingError(
            f"{path} is damaged, its SHA-256 is another than when it was written",
            "put a copy of it in its place, or delete it to begin again",
        )
    return content


def load_weights(module: torch.nn.Module, weights: Weights, path: Path) -> None:
    """Put weights into a module, if they fit it.

    Raises:
        TrainingError: they are of another network.
    """
    shapes, needed = ({name: t.shape for name, t in w.items()} for w in (weights, module.state_dict()))
    if shapes != needed:
        raise TrainingError(
            f"the weights in {path} are of another network", "give the widths and blocks of that training"
        )
    module.load_state_dict(weights)


def optimiser_state(
    optimisers: Sequence[torch.optim.Optimizer], module: torch.nn.Module
) -> dict[str, Weights]:
    """Gather what optimisers remember of each parameter, by the parameter's name."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return {
        f"optimiser{number}": {
            f"{names[id(parameter)]}:{key}": value
            for parameter, state in optimiser.state.items()
            for key, value in state.items()
        }
        for number, optimiser in enumerate(optimisers)
    }


def load_optimiser_state(
    optimisers: Sequence[torch.optim.Optimizer], module: torch.nn.Module, saved: dict[str, Weights]
) -> None:
    """Give optimisers back what :func:`optimiser_state` gathered."""
    parameters = dict(module.named_parameters())
    for number, optimiser in enumerate(optimisers):
        for place, value in saved.get(f"optimiser{number}", {}).items():
            name, key = place.rsplit(":", 1)
            # Memory layout decides the order of sums, and so the last bit: it has to be the parameter's.
            like = parameters[name]
            optimiser.state[like][key] = (
                torch.empty_like(like, dtype=value.dtype).copy_(value) if value.shape == like.shape else value
            )


class Pace:
    """Tells when to save: as often as asked, unless saving would then take too much of the time."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock = seconds, clock
        self._saved_at, self._cost = clock(), 0.0

    def is_due(self) -> bool:
        """Whether the last save is long enough ago."""
        return self._clock() - self._saved_at >= max(self.seconds, self._cost / LARGEST_SHARE)

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Measure what the block, which saves, costs."""
        began = self._clock()
        yield
        self._saved_at = self._clock()
        self._cost = self._saved_at - began
