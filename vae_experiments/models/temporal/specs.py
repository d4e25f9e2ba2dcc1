"""What differs between the temporal classes of diffusers, a row each: halves, groups, strides.

A class takes a clip in one of three ways, half by half. Some remember (``STEPS``, ``GROUPS`` and what is
written out in a row): what they give is what diffusers gives for the whole clip, to rounding. Some see
each frame by itself. The others take windows with context: a clip of one window is what diffusers gives,
and a longer one differs from it, at the seams too, by what ``tests/models/test_seams.py`` measures.

Of those that remember, Mochi's encoder, both halves of HunyuanVideo 1.5 and both of Cosmos attend to all
of the past. Here they see 16 latents, those of a group and of the three before it: a clip that is no
longer is what diffusers gives, and in a longer one the oldest group drops out of sight when a new one comes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from vae_experiments.models.chunking import ChunkPlan, TimeCompression
from vae_experiments.models.temporal import streaming as causal
from vae_experiments.models.temporal import windowed
from vae_experiments.models.temporal.streaming_state import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vae_experiments.models.temporal.streaming_state import Part


def _ltx_stride(network: Any) -> int:
    """Count the blocks that halve the time; what the networks themselves say is wrong in some LTX 2."""
    config = network.config
    scaling = config.spatio_temporal_scaling
    kinds = config.downsample_type[: len(scaling)] if isinstance(scaling, (list, tuple)) else []
    halved = sum(kind != "spatial" and scaled for kind, scaled in zip(kinds, scaling, strict=False))
    return int(config.patch_size_t * 2**halved)


def _windows(size: int, overlap: int, fade: int = 0) -> ChunkPlan:
    """Take windows of so many latents, any number of them legal."""
    return ChunkPlan(range(1, size + 1), range(1, size + 1), overlap, fade)


@dataclass(frozen=True)
class TemporalSpec:
    """How one diffusers class takes a clip group by group."""

    encode: Part
    """Turns a group of frames ``1 3 T H W`` into the moments of its latents, ``1 2C T' h w``; into the
    latents themselves where there is no posterior."""
    decode: Part
    """Turns a group of latents ``1 C T' h w`` into its frames."""
    encoding: ChunkPlan
    decoding: ChunkPlan
    time_stride: Callable[[Any], int] = attrgetter("config.temporal_compression_ratio")
    even: bool = False
    """Whether the first latent stands for as many frames as the others, and not for one."""
    has_posterior: Callable[[Any], bool] = lambda _network: True
    """Whether the encoder of such a network gives a distribution and not one answer."""
    least_cells: int = 1

    def ratio(self, network: Any) -> TimeCompression:
        """Return how many frames latents stand for."""
        stride = int(self.time_stride(network))
        return TimeCompression(stride if self.even else 1, stride)


STEPS = ChunkPlan((1,), (1,))
"""A latent at a time."""
GROUPS = ChunkPlan(range(1, GROUP + 1), range(1, GROUP + 1))
"""A few latents at a time, of which layers see the last inputs again."""

WAN = TemporalSpec(
    causal.wan_moments,
    causal.wan_frames,
    STEPS,
    STEPS,
    lambda network: 2 ** sum(network.config.temperal_downsample),
)
LTX = TemporalSpec(causal.moments, causal.ltx_frames, GROUPS, GROUPS, _ltx_stride)
DECODING_AHEAD: dict[str, Any] = {"decode": windowed.ltx_frames, "decoding": _windows(16, 8, 7)}
"""With the default layers, what is decoded depends on 22 latents to either side: by far too many to decode
and throw away for the few between them."""
LOOKING_AHEAD = DECODING_AHEAD | {"encode": windowed.moments, "encoding": _windows(16, 8, 4)}

SPECS: Mapping[str, TemporalSpec] = {
    "AutoencoderKLWan": WAN,
    "AutoencoderKLQwenImage": replace(WAN, encode=causal.qwen_moments, decode=causal.qwen_frames),
    "AutoencoderKLMagvit": TemporalSpec(
        causal.magvit_moments, causal.magvit_frames, STEPS, STEPS, attrgetter("temporal_compression_ratio")
    ),
    "AutoencoderKLCogVideoX": TemporalSpec(
        causal.cogvideox_moments, causal.cogvideox_frames, ChunkPlan((1, 3), (2,)), ChunkPlan((1, 3), (2,))
    ),
    "AutoencoderKLKVAEVideo": TemporalSpec(
        causal.kvae_latents,
        causal.kvae_frames,
        ChunkPlan(range(1, 6), (2, 3, 4)),
        ChunkPlan(range(1, 6), (2, 3, 4)),
        attrgetter("config.temporal_compress_times"),
        has_posterior=lambda _network: False,
    ),
    "AutoencoderVidTok": TemporalSpec(
        causal.vidtok_moments,
        causal.vidtok_frames,
        ChunkPlan((1, 5), range(1, 5)),
        ChunkPlan((1, 2), range(1, 6), ahead=1),
        attrgetter("temporal_compression_ratio"),
        has_posterior=lambda network: network.regularizer == "kl",
    ),
    "AutoencoderVidTok looking ahead": TemporalSpec(
        windowed.vidtok_moments,
        windowed.vidtok_frames,
        ChunkPlan((4, 8, 12), (4, 8, 12), overlap=4, fade=4),
        ChunkPlan((4, 8, 12), (4, 8, 12), overlap=4, fade=4),
        attrgetter("temporal_compression_ratio"),
        even=True,
        has_posterior=lambda network: network.regularizer == "kl",
    ),
    "AutoencoderKLTemporalDecoder": TemporalSpec(
        windowed.still_moments, windowed.still_frames, STEPS, _windows(14, 6, 6), lambda _network: 1
    ),
    "AutoencoderKLHunyuanVideo": TemporalSpec(
        windowed.moments, windowed.frames, _windows(5, 2, 1), _windows(5, 2, 1)
    ),
    "AutoencoderKLHunyuanVideo15": TemporalSpec(causal.moments, causal.frames, GROUPS, GROUPS),
    "AutoencoderKLMochi": TemporalSpec(
        causal.moments,
        causal.mochi_frames,
        GROUPS,
        GROUPS,
        lambda network: math.prod(network.config.temporal_expansions),
    ),
    "AutoencoderKLLTXVideo": LTX,
    "AutoencoderKLLTXVideo decoding ahead": replace(LTX, **DECODING_AHEAD),
    "AutoencoderKLLTXVideo looking ahead": replace(LTX, **LOOKING_AHEAD),
    "AutoencoderKLLTX2Video": replace(LTX, least_cells=2),
    "AutoencoderKLLTX2Video decoding ahead": replace(LTX, **DECODING_AHEAD, least_cells=2),
    "AutoencoderKLLTX2Video looking ahead": replace(LTX, **LOOKING_AHEAD, least_cells=2),
    "AutoencoderKLCosmos": TemporalSpec(
        causal.moments, causal.frames, GROUPS, GROUPS, has_posterior=lambda _network: False
    ),
    "AutoencoderKLAllegro": TemporalSpec(
        windowed.allegro_moments,
        windowed.allegro_frames,
        ChunkPlan((6,), (6,), overlap=2, fade=2),
        ChunkPlan((6,), (6,), overlap=2, fade=2),
        even=True,
    ),
}
