"""The frame-wise adapter: 2-D autoencoders, which see each frame by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vae_experiments.models.adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import Tensor

    from vae_experiments.models.adapter import Call
    from vae_experiments.tensors import Frames, Latents


@dataclass(frozen=True)
class Dialect:
    """How one diffusers class answers ``encode``."""

    answer: str
    """The field of encode's output that holds the latents, or their distribution."""

    @property
    def has_posterior(self) -> bool:
        """Tell whether the encoder gives a distribution and not one answer."""
        return self.answer == "latent_dist"


class Framewise(Adapter):
    """Runs a 2-D network of diffusers over a clip, a chunk of frames at a time.

    A ``VQModel``'s latents are those before quantisation. Its ``decode`` quantises: each latent cell,
    changed or not, snaps to the nearest vector of the codebook, so that a small change may change
    nothing and a larger one jumps. One that lies between two vectors may snap to the other at another
    batch size, whose rounding differs; ``device.exact=true`` rules that out.
    """

    dialect: Dialect
    dialects: ClassVar[Mapping[str, Dialect]] = {
        "AutoencoderKL": Dialect("latent_dist"),
        "AutoencoderTiny": Dialect("latents"),
        "AutoencoderDC": Dialect("latent"),
        "VQModel": Dialect("latents"),
    }

    def _encoder(self) -> Call:
        return self._raw_latents

    def _decoder(self) -> Call:
        return self._raw_frames

    def _frame_groups(self, chunks: Iterable[Frames]) -> Iterator[Frames]:
        """Take the chunks as they come: what a frame becomes does not depend on its neighbours."""
        return iter(chunks)

    def _latent_groups(self, chunks: Iterable[Latents]) -> Iterator[Latents]:
        return iter(chunks)

    def _batches(self, group: Tensor) -> Sequence[Tensor]:
        """In exact mode go frame by frame, since sums depend on the batch."""
        each = 1 if self.chosen.exact else len(group)
        return [group[start : start + each] for start in range(0, len(group), each)]

    def _raw_latents(self, frames: Frames, first: int) -> Latents:
        encoded = getattr(self.network.encode(frames), self.dialect.answer)
        if self.dialect.has_posterior:
            return self._taken(encoded, first)
        latents: Latents = encoded
        return latents

    def _raw_frames(self, latents: Latents, _first: int) -> Frames:
        frames: Frames = self.network.decode(latents).sample
        return frames

    def _probed_time_stride(self, _latents: Latents) -> int:
        return 1
