"""The temporal adapter: causal 3-D autoencoders, in which a latent stands for several frames.

A causal network takes the first frame by itself and then groups of ``time_stride`` frames, and gives
one latent for each; it never looks ahead, and what it needs of the past it remembers. The clip is
fed to it in these groups whatever the chunks of the source are, so that memory does not grow with
the clip, there is no seam, and the batch size does not change a bit.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from vae_experiments.models.adapter import Adapter
from vae_experiments.tensors import Joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import torch
    from torch import Tensor

    from vae_experiments.models.adapter import Call
    from vae_experiments.tensors import Frames, Latents

Memory: TypeAlias = "defaultdict[Any, Any]"
"""What a network remembers of a clip so far: empty at its beginning, None for what is not there yet."""

Part: TypeAlias = "Callable[[Any, Tensor, Memory], Tensor]"
"""One half of a network, on one group ``1 C T H W``: network, group, memory, which it brings up to date."""


def _wan_moments(network: Any, frames: Tensor, memory: Memory) -> Tensor:
    """Encode as ``AutoencoderKLWan._encode`` does, with a memory of its own."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import patchify

    patches = patchify(frames, network.config.patch_size or 1)  # type: ignore[no-untyped-call]
    moments: Tensor = network.quant_conv(network.encoder(patches, feat_cache=memory, feat_idx=[0]))
    return moments


def _wan_frames(network: Any, latents: Tensor, memory: Memory) -> Tensor:
    """Decode as ``AutoencoderKLWan._decode`` does, with a memory of its own."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

    ready = network.post_quant_conv(latents)
    patches = network.decoder(ready, feat_cache=memory, feat_idx=[0], first_chunk=not memory)
    frames: Tensor = unpatchify(patches, network.config.patch_size or 1)  # type: ignore[no-untyped-call]
    return frames.clamp(-1, 1)


@dataclass(frozen=True)
class Dialect:
    """How one diffusers class takes a clip group by group."""

    encode: Part
    """Turns a group of frames ``1 3 T H W`` into the moments of its latents, ``1 2C T' h w``."""
    decode: Part
    """Turns one latent ``1 C 1 h w`` into its frames."""
    has_posterior: ClassVar[bool] = True


class Temporal(Adapter):
    """Runs a causal 3-D network of diffusers over a clip, a latent at a time.

    The last group is filled up by repeating the last frame, which makes any number of frames legal
    (diffusers drops such a tail without a word); decoding gives these extra frames too.
    """

    dialect: Dialect
    dialects: ClassVar[Mapping[str, Dialect]] = {
        "AutoencoderKLWan": Dialect(_wan_moments, _wan_frames),
    }

    @property
    def memory_format(self) -> torch.memory_format:
        """Leave 3-D networks as they are: channels last is for pictures."""
        import torch

        return torch.contiguous_format

    def _encoder(self) -> Call:
        from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

        memory = _nothing_yet()

        def encode(frames: Frames, first: int) -> Latents:
            moments = self.dialect.encode(self.network, _as_clip(frames), memory)
            return self._taken(DiagonalGaussianDistribution(_as_frames(moments)), first)

        return encode

    def _decoder(self) -> Call:
        memory = _nothing_yet()

        def decode(latents: Latents, _first: int) -> Frames:
            return _as_frames(self.dialect.decode(self.network, _as_clip(latents), memory))

        return decode

    def _frame_groups(self, chunks: Iterable[Frames]) -> Iterator[Frames]:
        stream, count = Joined(chunks), 1
        while (frames := stream.take(count)) is not None:
            yield _filled(frames, count)
            count = self.time_stride

    def _latent_groups(self, chunks: Iterable[Latents]) -> Iterator[Latents]:
        return (latents[number : number + 1] for latents in chunks for number in range(len(latents)))

    def _probed_time_stride(self, latents: Latents) -> int:
        """Decode two latents: the second one gives as many frames as every later one."""
        call = self._decoder()
        return [len(self._through(call, latents, number)) for number in (0, 1)][1]


def _nothing_yet() -> Memory:
    return defaultdict(lambda: None)


def _filled(frames: Frames, count: int) -> Frames:
    """Repeat the last frame until there are ``count``."""
    import torch

    missing = count - len(frames)
    return torch.cat([frames, frames[-1:].expand(missing, -1, -1, -1)]) if missing else frames


def _as_clip(frames: Tensor) -> Tensor:
    """Bring ``T C H W`` into the order of 3-D networks, ``1 C T H W``."""
    from einops import rearrange

    return rearrange(frames, "t c h w -> 1 c t h w").contiguous()


def _as_frames(clip: Tensor) -> Tensor:
    """Bring ``1 C T H W`` back to ``T C H W``."""
    from einops import rearrange

    return rearrange(clip, "1 c t h w -> t c h w")
