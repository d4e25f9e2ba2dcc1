"""ComfyUI's ``.latent``: one file of safetensors with the raw latents of a clip, as its nodes save and load them.

    latent_tensor                 float32, before any scaling: ``T C h w``, a batch of pictures, or ``1 C T h w``
                                  of a model that compresses time
    latent_format_version_0       empty; a file without it holds values times 0.18215, and its reader divides them

Source: ``SaveLatent`` and ``LoadLatent`` of ComfyUI's nodes.py.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.errors import system_reason
from vae_experiments.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

SUFFIX = ".latent"
TENSOR, VERSION = "latent_tensor", "latent_format_version_0"
FIRST_FORMAT_SCALE = 0.18215
READ_AT_ONCE = 8
_FLOATS = ("F64", "F32", "F16", "BF16")


class RawForm(NamedTuple):
    """How the latents of a model are written for other programs."""

    undo: Callable[[Tensor, int], Tensor]
    """Turns normalised latents ``T C h w``, of which the first has this number, into the network's own units."""
    is_video: bool
    """Whether they are one clip, ``1 C T h w``, and not a batch of pictures."""


def write_latent(path: Path, shape: Sequence[int], chunks: Iterable[Tensor], form: RawForm) -> None:
    """Write normalised latents, of the shape ``T C h w`` altogether, a chunk at a time.

    Raises:
        WriteError: the disk is full or broken; nothing is left behind.
    """
    count, channels, height, width = shape
    header = _header([1, channels, count, height, width] if form.is_video else list(shape))
    cells = height * width * 4
    with atomic_write(path) as hidden, hidden.open("wb") as file:
        file.write(header)
        number = 0
        for chunk in chunks:
            raw = form.undo(chunk, number).numpy().astype("<f4")
            if form.is_video:  # where the frames of a channel lie together
                for channel in range(channels):
                    file.seek(len(header) + (channel * count + number) * cells)
                    file.write(raw[:, channel].tobytes())
            else:
                file.write(raw.tobytes())
            number += len(chunk)
        assert number == count, (number, count)


def _header(shape: list[int]) -> bytes:
    """Return what stands before the values, which safetensors itself writes only of tensors that it holds."""
    tensors = {
        VERSION: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]},
        TENSOR: {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * math.prod(shape)]},
    }
    text = json.dumps(tensors, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


@dataclass(frozen=True)
class LatentFile:
    """Reads a ``.latent``, a few latents at a time."""

    path: Path
    shape: tuple[int, ...]
    """``T C h w``."""
    is_video: bool
    """Whether the file says that its latents are one clip."""
    scale: float

    @classmethod
    def open(cls, path: Path) -> LatentFile:
        """Read the header.

        Raises:
            ValueError: it is no such file, or of more than one clip.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                names = [*file.keys()]
                if TENSOR not in names:
                    raise ValueError(f"it has no {TENSOR}")
                values = file.get_slice(TENSOR)
                shape, kind = values.get_shape(), values.get_dtype()
        except OSError as error:
            raise ValueError(system_reason(error)) from error
        except SafetensorError as error:
            raise ValueError(f"it is no file of safetensors ({error})") from error
        if kind not in _FLOATS or len(shape) not in (4, 5) or not math.prod(shape):
            text = "x".join(map(str, shape))
            raise ValueError(f"its {TENSOR}, {kind} {text}, is neither T C h w nor 1 C T h w")
        if len(shape) == 5 and shape[0] != 1:
            raise ValueError(f"it holds {shape[0]} clips, and a run takes one")
        is_video = len(shape) == 5
        ordered = (shape[2], shape[1], *shape[3:]) if is_video else tuple(shape)
        return cls(path, ordered, is_video, 1.0 if VERSION in names else 1 / FIRST_FORMAT_SCALE)

    def chunks(self) -> Iterator[Tensor]:
        """Yield raw latents ``T C h w``, float32."""
        from safetensors import safe_open

        with safe_open(self.path, "pt") as file:
            values = file.get_slice(TENSOR)
            for first in range(0, self.shape[0], READ_AT_ONCE):
                part = slice(first, first + READ_AT_ONCE)
                chunk = values[0:1, :, part][0].movedim(1, 0) if self.is_video else values[part]
                yield chunk.float().contiguous() * self.scale
