"""The contract of an autoencoder: frames to normalised latents and back, a chunk at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from torch import Tensor

    from vae_experiments.models.normalisation import Normalisation
    from vae_experiments.runtime.device import DeviceChoice
    from vae_experiments.tensors import Frames, Latents, Size


class Autoencoder(ABC):
    """Hides every dialect of a network: axis order, value range, normalisation, legal sizes.

    Latents leave ``encode`` with about unit variance, so that a noise of scale 1 means one standard
    deviation in every model. Frames out equal frames in, in size, and in number too but for what
    fills the last group of a temporal model, which the runner cuts off. The chunks of the source
    change neither latents nor frames.
    """

    stride: int
    """How many pixels, each way, one latent cell stands for."""
    time_stride: int
    """How many frames one latent stands for, but for the first one of a clip."""
    first_frames: int = 1
    """How many frames a clip's first latent stands for: 1 in causal models, else ``time_stride``."""
    latent_channels: int
    normalisation: Normalisation
    """Between the network's own units and those of about unit variance."""
    chosen: DeviceChoice
    """Where the network runs at present, which changes where the CPU takes over for want of memory."""
    is_sampled: bool = False
    """Whether ``encode`` draws from the posterior of each latent, and does not take its mode."""
    weights_digest: str
    """SHA-256 of the weights, for provenance and for the key of the latent cache."""

    @property
    def decoder(self) -> Autoencoder:
        """What decodes: it itself, unless it is one of a pair."""
        return self

    @abstractmethod
    def encode(self, chunks: Iterable[Frames]) -> Iterator[Latents]:
        """Turn frames ``T 3 H W`` in [-1, 1] into latents ``T' C h w``, float32 on the CPU.

        ``T'`` is ``T`` for a frame-wise model and ``1 + ceil((T - first_frames) / time_stride)`` for a
        temporal one, whose chunks of latents need not answer the chunks of frames one to one.
        """

    @abstractmethod
    def posterior_std(self, chunks: Iterable[Frames]) -> Iterator[Latents]:
        """Return the standard deviation of each latent's posterior; 0 where the encoder gives one answer."""

    @abstractmethod
    def with_bent_decoder(self, bend: Callable[[Mapping[str, Tensor]], None]) -> Autoencoder:
        """Return a twin whose decoder's weights, a copy by their names, went through ``bend``."""

    @abstractmethod
    def padded(self, frames: Frames) -> Frames:
        """Fill frames up to whole latent cells, as many as the network takes at least, as ``encode`` does."""

    @abstractmethod
    def tiles_of(self, size: Size) -> dict[str, str]:
        """Return for ``encode`` and for ``decode`` whether frames of a size go through whole or in which tiles.

        That may change during a run, where memory is not enough for whole frames.
        """

    @abstractmethod
    def decode(self, chunks: Iterable[Latents], size: Size) -> Iterator[Frames]:
        """Turn latents into frames of the given size, float32 on the CPU, about in [-1, 1].

        A temporal model gives the whole of each group: up to ``time_stride - 1`` frames more at the end
        than were encoded.
        """
