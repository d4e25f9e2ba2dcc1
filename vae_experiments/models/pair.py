"""A pair: one autoencoder encodes, and another one decodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.errors import ModelError, SettingError
from vae_experiments.models.autoencoder import Autoencoder
from vae_experiments.models.model import load_cached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from torch import Tensor

    from vae_experiments.models.model import Model
    from vae_experiments.runtime.device import DeviceChoice
    from vae_experiments.tensors import Frames, Latents, Size

GEOMETRY = {
    "latent_channels": "channels",
    "stride": "stride",
    "time_stride": "time stride",
    "first_frames": "frames in the first latent",
}
"""What two autoencoders must have in common for one to decode what the other encodes, in words."""


class Pair(Autoencoder):
    """Encodes with one autoencoder and decodes with another of the same geometry.

    What lies between is normalised: by the encoder's numbers on the way in, and back into raw latents by
    the decoder's own. So do the pipelines of diffusers, which divide by the ``scaling_factor`` of the VAE
    that decodes: one of Stable Diffusion's decoders takes its latents at 0.18215 again, while
    ``AutoencoderTiny``, whose factor is 1, was trained on normalised latents and gets them as they are.
    """

    def __init__(self, encoder: Autoencoder, decoder: Autoencoder) -> None:
        self._encoder, self._decoder = encoder, decoder
        self.stride, self.time_stride = encoder.stride, encoder.time_stride
        self.first_frames, self.latent_channels = encoder.first_frames, encoder.latent_channels
        self.is_sampled, self.weights_digest = encoder.is_sampled, encoder.weights_digest
        self.normalisation = encoder.normalisation

    @property
    def decoder(self) -> Autoencoder:
        """The other one."""
        return self._decoder

    @property
    def chosen(self) -> DeviceChoice:  # type: ignore[override]
        """Where the encoder runs at present."""
        return self._encoder.chosen

    def encode(self, chunks: Iterable[Frames]) -> Iterator[Latents]:
        """Encode with the first."""
        return self._encoder.encode(chunks)

    def posterior_std(self, chunks: Iterable[Frames]) -> Iterator[Latents]:
        """Return the spread of the encoder's posterior."""
        return self._encoder.posterior_std(chunks)

    def padded(self, frames: Frames) -> Frames:
        """Fill frames up as the encoder does."""
        return self._encoder.padded(frames)

    def decode(self, chunks: Iterable[Latents], size: Size) -> Iterator[Frames]:
        """Decode with the other, which undoes its own normalisation."""
        return self._decoder.decode(chunks, size)

    def with_bent_decoder(self, bend: Callable[[Mapping[str, Tensor]], None]) -> Pair:
        """Bend the weights of the one that decodes."""
        return Pair(self._encoder, self._decoder.with_bent_decoder(bend))

    def tiles_of(self, size: Size) -> dict[str, str]:
        """Return how each does its half."""
        return {
            "encode": self._encoder.tiles_of(size)["encode"],
            "decode": self._decoder.tiles_of(size)["decode"],
        }


def load_pair(model: Model, decoder: Model | None, chosen: DeviceChoice) -> Autoencoder:
    """Load a model, and the one that decodes in its place, if there is one; each unless it is loaded already.

    Raises:
        ModelError: one of them cannot be loaded, or the decoder takes latents of another geometry.
    """
    if decoder is None:
        return load_cached(model, chosen)
    encoding = load_cached(model, chosen, most=2)
    try:
        decoding = load_cached(decoder, chosen, most=2)
    except (ModelError, SettingError) as error:
        raise error.at("decoder") from error
    differences = [
        f"{word} {theirs} (not {ours})"
        for name, word in GEOMETRY.items()
        if (theirs := getattr(decoding, name)) != (ours := getattr(encoding, name))
    ]
    if differences:
        raise ModelError(
            f"decoder: {decoder.title()} cannot decode the latents of {model.title()}: it is made for {', '.join(differences)}",
            "choose one of the same latents, or decoder=same",
        )
    return Pair(encoding, decoding)
