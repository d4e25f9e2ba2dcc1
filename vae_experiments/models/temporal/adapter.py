"""The temporal adapter: 3-D autoencoders, in which a latent stands for several frames or sees its neighbours.

The clip is fed to the network in groups that are cut the same way whatever the chunks of the source
are, so that memory does not grow with the clip and the batch size does not change a bit. How a class
takes its groups is a row of ``specs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from vae_experiments.models.adapter import Adapter
from vae_experiments.models.chunking import EACH, crossfade, grouped
from vae_experiments.models.temporal.specs import SPECS, TemporalSpec
from vae_experiments.models.temporal.streaming_state import nothing_yet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from torch import Tensor

    from vae_experiments.models.chunking import Chunk
    from vae_experiments.models.tiling import Call
    from vae_experiments.tensors import Frames, Latents, Size


class Temporal(Adapter):
    """Runs a 3-D network of diffusers over a clip, a group of latents at a time.

    The last group is filled up by repeating the last frame, which makes any number of frames legal
    (diffusers drops such a tail without a word, or raises).
    """

    spec: TemporalSpec
    specs: ClassVar[Mapping[str, TemporalSpec]] = SPECS

    @classmethod
    def spec_of(cls, network: Any) -> TemporalSpec:
        """Tell the forms of a class apart, in which both halves or the decoder look ahead."""
        config = network.config
        form = " decoding ahead" if config.get("decoder_causal") is False else ""
        if config.get("is_causal", config.get("encoder_causal")) is False:
            form = " looking ahead"
        return cls.specs[type(network).__name__ + form]

    def _encoder(self) -> Call:
        from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

        memory = nothing_yet()

        def encode(frames: Frames, _first: int) -> Latents:
            answer = _as_frames(self.spec.encode(self.network, _as_clip(frames), memory))
            return self._taken(DiagonalGaussianDistribution(answer)) if self.has_posterior else answer

        return encode

    def _decoder(self) -> Call:
        memory = nothing_yet()

        def decode(latents: Latents, _first: int) -> Frames:
            return _as_frames(self.spec.decode(self.network, _as_clip(latents), memory))

        return decode

    def encode(self, chunks: Iterable[Frames]) -> Iterator[Latents]:
        """Encode window after window, and let each pass into the next one where the class wants it."""
        return crossfade(super().encode(chunks), self.spec.encoding.fade)

    def decode(self, chunks: Iterable[Latents], size: Size) -> Iterator[Frames]:
        """Decode window after window in the same way."""
        return crossfade(super().decode(chunks, size), self.spec.decoding.fade * self.time_stride)

    def _groups(self, half: str, chunks: Iterable[Tensor]) -> Iterator[Chunk]:
        plan, ratio = (self.spec.encoding, self.ratio) if half == "encode" else (self.spec.decoding, EACH)
        return grouped(chunks, plan, ratio)


def _as_clip(frames: Tensor) -> Tensor:
    """Bring ``T C H W`` into the order of 3-D networks, ``1 C T H W``."""
    from einops import rearrange

    return rearrange(frames, "t c h w -> 1 c t h w").contiguous()


def _as_frames(clip: Tensor) -> Tensor:
    """Bring ``1 C T H W`` back to ``T C H W``."""
    from einops import rearrange

    return rearrange(clip, "1 c t h w -> t c h w")
