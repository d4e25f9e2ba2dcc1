"""The contract of an autoencoder: frames to normalised latents and back, a chunk at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vae_experiments.tensors import Frames, Latents, Size


class Autoencoder(ABC):
    """Hides every dialect of a network: axis order, value range, normalisation, legal sizes.

    Latents leave ``encode`` with about unit variance, so that a noise of scale 1 means one standard
    deviation in every model. Frames out equal frames in, in number and in size.
    """

    stride: int
    """How many pixels, each way, one latent cell stands for."""
    time_stride: int
    """How many frames one latent stands for."""
    latent_channels: int
    weights_digest: str
    """SHA-256 of the weights, for provenance and for the key of the latent cache."""

    @abstractmethod
    def encode(self, chunks: Iterable[Frames]) -> Iterator[Latents]:
        """Turn frames ``T 3 H W`` in [-1, 1] into latents ``T C h w``, float32 on the CPU."""

    @abstractmethod
    def decode(self, chunks: Iterable[Latents], size: Size) -> Iterator[Frames]:
        """Turn latents into frames of the given size, float32 on the CPU, about in [-1, 1]."""
