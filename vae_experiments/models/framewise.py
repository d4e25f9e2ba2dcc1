"""The frame-wise adapter: 2-D autoencoders, which see each frame by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from vae_experiments.models.adapter import Adapter
from vae_experiments.models.chunking import EACH, whole
from vae_experiments.runtime.seeding import place_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from torch import Tensor

    from vae_experiments.models.chunking import Chunk, TimeCompression
    from vae_experiments.models.tiling import Call
    from vae_experiments.tensors import Frames, Latents


def _plainly(network: Any, latents: Latents, _first: int) -> Frames:
    frames: Frames = network.decode(latents).sample
    return frames


def _by_chance(network: Any, latents: Latents, first: int) -> Frames:
    """Decode with a draw for each frame: the noise that becomes a frame belongs to its number."""
    import torch

    draws = [
        torch.Generator().manual_seed(place_seed(0, "decoder", first + frame))
        for frame in range(len(latents))
    ]
    frames: Frames = network.decode(latents, generator=draws).sample
    return frames


def _as_it_is(_network: Any, latents: Latents) -> Latents:
    return latents


def _packed(network: Any, latents: Latents) -> Latents:
    """Make one cell of each patch, as the pipelines of Flux 2 do before they normalise."""
    from einops import rearrange

    down, across = network.config.patch_size
    return rearrange(latents, "t c (h p) (w q) -> t (c p q) h w", p=down, q=across)


def _unpacked(network: Any, latents: Latents) -> Latents:
    from einops import rearrange

    down, across = network.config.patch_size
    return rearrange(latents, "t (c p q) h w -> t c (h p) (w q)", p=down, q=across)


@dataclass(frozen=True)
class FramewiseSpec:
    """How one diffusers class answers ``encode`` and wants to be asked to ``decode``."""

    answer: str
    """The field of encode's output that holds the latents, or their distribution."""
    decode: Callable[[Any, Latents, int], Frames] = field(default=_plainly)
    pack: Callable[[Any, Latents], Latents] = field(default=_as_it_is)
    unpack: Callable[[Any, Latents], Latents] = field(default=_as_it_is)
    least_cells: ClassVar[int] = 1

    def has_posterior(self, _network: Any) -> bool:
        """Whether the encoder gives a distribution and not one answer."""
        return self.answer == "latent_dist"

    def ratio(self, _network: Any) -> TimeCompression:
        """Return a latent to each frame."""
        return EACH


class Framewise(Adapter):
    """Runs a 2-D network of diffusers over a clip, a chunk of frames at a time.

    A ``VQModel``'s latents are those before quantisation. Its ``decode`` quantises: each latent cell,
    changed or not, snaps to the nearest vector of the codebook, so that a small change may change
    nothing and a larger one jumps. One that lies between two vectors may snap to the other at another
    batch size, whose rounding differs; ``device.exact=true`` rules that out. The decoder of
    ``ConsistencyDecoderVAE`` draws noise, here by the number of the frame, and in each tile anew. ``AsymmetricAutoencoderKL``
    is asked for the whole frame, without the mask and the picture that inpainting gives it.
    """

    spec: FramewiseSpec
    is_framewise = True
    specs: ClassVar[Mapping[str, FramewiseSpec]] = {
        "AutoencoderKL": FramewiseSpec("latent_dist"),
        "AsymmetricAutoencoderKL": FramewiseSpec("latent_dist"),
        "AutoencoderTiny": FramewiseSpec("latents"),
        "AutoencoderDC": FramewiseSpec("latent"),
        "AutoencoderKLFlux2": FramewiseSpec("latent_dist", pack=_packed, unpack=_unpacked),
        "AutoencoderKLHunyuanImage": FramewiseSpec("latent_dist"),
        "AutoencoderKLKVAE": FramewiseSpec("latent_dist"),
        "ConsistencyDecoderVAE": FramewiseSpec("latent_dist", decode=_by_chance),
        "VQModel": FramewiseSpec("latents"),
    }

    def _encoder(self) -> Call:
        return self._raw_latents

    def _decoder(self) -> Call:
        return self._raw_frames

    def _groups(self, _half: str, chunks: Iterable[Tensor]) -> Iterator[Chunk]:
        return whole(chunks)

    def _raw_latents(self, frames: Frames, _first: int) -> Latents:
        answer = getattr(self.network.encode(frames), self.spec.answer)
        if not self.has_posterior:
            return self.spec.pack(self.network, answer)
        import torch

        parts = torch.split(self._taken(answer), answer.mean.shape[1], dim=1)
        return torch.cat([self.spec.pack(self.network, part) for part in parts], dim=1)

    def _raw_frames(self, latents: Latents, first: int) -> Frames:
        return self.spec.decode(self.network, self.spec.unpack(self.network, latents), first)
