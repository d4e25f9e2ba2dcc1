"""What an adapter gives is what diffusers' own calls and its pipelines' own formulas give, made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.conftest import NETWORKS, class_name
from tests.test_models import decoded, encoded, frames_of
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vae_experiments.models import Autoencoder

StepOutput = tuple[torch.Tensor, torch.Tensor]
"""Latents and frames, time first."""

EVEN = ("AutoencoderKLAllegro", "AutoencoderVidTok looking ahead")
PLAIN = {"AutoencoderTiny": "latents", "VQModel": "latents", "AutoencoderDC": "latent"}
"""The classes whose answer is no distribution, and what they call it."""


def as_clip(frames: torch.Tensor) -> torch.Tensor:
    return frames.movedim(0, 1)[None].contiguous()


def as_frames(clip: torch.Tensor) -> torch.Tensor:
    return clip[0].movedim(1, 0)


def scaled(network: Any, raw: torch.Tensor) -> torch.Tensor:
    """Normalise as the pipelines of most classes do, time first."""
    config = network.config
    mean, std = config.get("latents_mean"), config.get("latents_std")
    scale = config.get("scaling_factor") or 1.0
    if mean is None:
        return (raw - (config.get("shift_factor") or 0.0)) * scale
    return (raw - column(mean)) * scale / column(std)


def column(values: Any) -> torch.Tensor:
    return torch.as_tensor(values)[:, None, None]


def still(network: Any, frames: torch.Tensor) -> StepOutput:
    """Encode and decode as the image pipelines do."""
    name = type(network).__name__
    answer = network.encode(frames)
    raw = getattr(answer, PLAIN[name]) if name in PLAIN else answer.latent_dist.mode()
    return scaled(network, raw), network.decode(raw).sample


def flux2(network: Any, frames: torch.Tensor) -> StepOutput:
    """Normalise as ``Flux2Pipeline._encode_vae_image`` does."""
    raw = network.encode(frames).latent_dist.mode()
    count, channels, height, width = raw.shape
    cells = raw.view(count, channels, height // 2, 2, width // 2, 2).permute(0, 1, 3, 5, 2, 4)
    packed = cells.reshape(count, channels * 4, height // 2, width // 2)
    std = torch.sqrt(network.bn.running_var + network.config.batch_norm_eps)
    return (packed - column(network.bn.running_mean)) / column(std), network.decode(raw).sample


def drawn(network: Any, frames: torch.Tensor) -> StepOutput:
    """Decode frame by frame, each with the draw that belongs to its number."""
    from vae_experiments.runtime.seeding import place_seed

    raw = network.encode(frames).latent_dist.mode()
    parts = [
        network.decode(raw[n : n + 1], torch.Generator().manual_seed(place_seed(0, "decoder", n))).sample
        for n in range(len(raw))
    ]
    return scaled(network, raw), torch.cat(parts)


def clip(network: Any, frames: torch.Tensor) -> StepOutput:
    """Encode and decode as the video pipelines do."""
    raw = network.encode(as_clip(frames)).latent_dist.mode()
    return scaled(network, as_frames(raw)), as_frames(network.decode(raw).sample)


def stable_video(network: Any, frames: torch.Tensor) -> StepOutput:
    raw = network.encode(frames).latent_dist.mode()
    return scaled(network, raw), network.decode(raw, num_frames=len(raw)).sample


def ltx(network: Any, frames: torch.Tensor) -> StepOutput:
    """Normalise as ``LTXPipeline._normalize_latents`` does, with what stands in buffers."""
    raw = network.encode(as_clip(frames)).latent_dist.mode()
    latents = (as_frames(raw) - column(network.latents_mean)) / column(network.latents_std)
    return latents, as_frames(network.decode(raw).sample)


def cosmos(network: Any, frames: torch.Tensor) -> StepOutput:
    """Normalise as ``CosmosTextToWorldPipeline`` does, which has numbers for two latents here."""
    raw = network.encode(as_clip(frames)).latent_dist.mode()
    mean, std = (
        torch.tensor(network.config[key]).view(1, 4, -1, 1, 1)[:, :, : raw.size(2)]
        for key in ("latents_mean", "latents_std")
    )
    return as_frames((raw - mean) / std), as_frames(network.decode(raw).sample)


def vidtok(network: Any, frames: torch.Tensor) -> StepOutput:
    """Fill up the front, as only ``AutoencoderVidTok.forward`` does, where the network is causal."""
    before = frames[:1].expand(3 if network.is_causal else 0, -1, -1, -1)
    answer = network.encode(as_clip(torch.cat([before, frames])))
    raw = answer[0] if network.regularizer == "fsq" else answer.latent_dist.mode()
    return as_frames(raw), as_frames(network.decode(raw))


def allegro(network: Any, frames: torch.Tensor) -> StepOutput:
    """Tile, without which this class encodes nothing; it decodes with time before channels."""
    network.enable_tiling()
    raw = network.encode(as_clip(frames)).latent_dist.mode()
    return scaled(network, as_frames(raw)), network.decode(raw).sample[0]


BY_HAND: dict[str, Callable[[Any, torch.Tensor], StepOutput]] = {
    "AutoencoderKLFlux2": flux2,
    "ConsistencyDecoderVAE": drawn,
    "AutoencoderKLTemporalDecoder": stable_video,
    "AutoencoderKLLTXVideo": ltx,
    "AutoencoderKLLTX2Video": ltx,
    "AutoencoderKLCosmos": cosmos,
    "AutoencoderVidTok": vidtok,
    "AutoencoderKLAllegro": allegro,
}
"""What differs from most pictures and most clips."""

LEGAL = {
    "AutoencoderKLCosmos": (1, 9),
    "AutoencoderKLTemporalDecoder": (1, 9, 14),
    "AutoencoderKLMochi": (1, 7, 19),
    "AutoencoderKLKVAEVideo": (1, 5, 17, 25),
    # At 17 + 12k diffusers lets the last four frames pass into a tile that sees nothing but them.
    "AutoencoderKLHunyuanVideo": (1, 13, 21, 25, 37),
    "AutoencoderKLAllegro": (24, 40),
    "AutoencoderVidTok looking ahead": (16, 32),
}
"""Numbers of frames that diffusers takes whole; elsewhere 4k + 1 is one of them."""
SIDES = {"AutoencoderKLLTXVideo": 64, "AutoencoderKLLTX2Video": 64, "AutoencoderKLAllegro": 128}


def diffusers_own(name: str, folder: Path) -> Any:
    import diffusers

    network_class = getattr(diffusers, class_name(name))
    return network_class.from_pretrained(folder, low_cpu_mem_usage=False).eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_an_adapter_gives_what_diffusers_gives_by_hand(
    name: str, network_folders: dict[str, Path], load: Callable[[str], Autoencoder]
) -> None:
    autoencoder, network = load(name), diffusers_own(name, network_folders[name])
    side = SIDES.get(name, 16)
    for count in LEGAL.get(name, (1, 9, 17)):
        frames = frames_of(count, side, side)
        latents = encoded(autoencoder, frames, 3)
        default = still if autoencoder.time_stride == 1 else clip
        with torch.no_grad():
            expected, whole = BY_HAND.get(class_name(name), default)(network, frames)
        assert latents.shape == expected.shape
        assert torch.allclose(latents, expected, atol=1e-4), (count, (latents - expected).abs().max())
        back = decoded(autoencoder, latents, Size(side, side), 2)
        assert back.shape == whole.shape
        assert torch.allclose(back, whole, atol=1e-3), (count, (back - whole).abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_leaves_torchs_own_chance_as_it_was(name: str, load: Callable[[str], Autoencoder]) -> None:
    autoencoder = load(name)
    side = 2 * autoencoder.stride
    torch.manual_seed(7)
    before = torch.get_rng_state()
    decoded(autoencoder, encoded(autoencoder, frames_of(1, side, side), 1), Size(side, side), 1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NETWORKS)
def test_normalising_is_undone(name: str, load: Callable[[str], Autoencoder]) -> None:
    normalisation = load(name).normalisation  # type: ignore[attr-defined]
    raw = torch.randn(5, load(name).latent_channels, 2, 3, generator=torch.Generator().manual_seed(0))
    for first in (0, 1, 7):
        assert torch.allclose(normalisation.undo(normalisation.apply(raw, first), first), raw, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_classs_first_latent_stands_for_one_frame_or_for_as_many_as_the_others(
    name: str, load: Callable[[str], Autoencoder]
) -> None:
    autoencoder = load(name)
    assert autoencoder.first_frames == (autoencoder.time_stride if name in EVEN else 1)
