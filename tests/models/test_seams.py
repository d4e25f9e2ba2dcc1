"""How far a clip that is streamed lies from the same clip in one pass of diffusers, class by class.

Random weights are the worst case: all taps of a convolution weigh alike, so that the start of a window
reaches far, and norms over time see hardly any signal. The bounds are what was measured, rounded up;
0 stands for rounding alone. They are relative: root mean square of the worst frame over the spread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.conftest import TEMPORAL, class_name
from tests.models.test_by_hand import BY_HAND, StepOutput, as_clip, as_frames, clip, diffusers_own
from tests.test_models import decoded, encoded
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vae_experiments.models import Autoencoder

LATENTS = 22
"""Longer than every window."""
SEAMS: dict[str, tuple[float, float]] = {
    "AutoencoderVidTok looking ahead": (0.5, 0.8),
    "AutoencoderKLTemporalDecoder": (0, 0.6),
    "AutoencoderKLHunyuanVideo15": (0.2, 0.1),
    "AutoencoderKLMochi": (0.6, 0),
    "AutoencoderKLLTXVideo": (0, 0.3),
    "AutoencoderKLCosmos": (0.01, 0),
}
"""Of latents and of frames; a class that is not here remembers, and has no seam at all.

HunyuanVideo15, Mochi and Cosmos remember, too: they differ after 16 latents, where a frame of theirs would
still attend to the first one. ``test_streaming_state`` holds shorter clips to rounding.
"""
ELSEWHERE = ("AutoencoderKLHunyuanVideo", "AutoencoderKLAllegro")
"""Diffusers itself cuts these into windows, and ``test_by_hand`` compares with those."""


def moving(count: int, side: int) -> torch.Tensor:
    time, color, down, across = torch.meshgrid(
        torch.arange(count), torch.arange(3), torch.arange(side), torch.arange(side), indexing="ij"
    )
    grain = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return 0.6 * torch.sin(0.13 * time + color + 0.3 * down + 0.2 * across) + 0.1 * grain


def cosmos(network: Any, frames: torch.Tensor) -> StepOutput:
    """Normalise with the numbers of the second latent from there on, where the pipeline has no more."""
    raw = network.encode(as_clip(frames)).latent_dist.mode()
    mean, std = (
        torch.tensor(network.config[key]).view(4, 2).T[[0] + [1] * (raw.size(2) - 1), :, None, None]
        for key in ("latents_mean", "latents_std")
    )
    return (as_frames(raw) - mean) / std, as_frames(network.decode(raw).sample)


def distance(streamed: torch.Tensor, whole: torch.Tensor) -> float:
    assert streamed.shape == whole.shape
    return float((streamed - whole).square().mean((1, 2, 3)).sqrt().max() / whole.std())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TEMPORAL if name not in ELSEWHERE])
def test_the_seams_of_a_long_clip_are_no_wider_than_was_measured(
    name: str, network_folders: dict[str, Path], load: Callable[[str], Autoencoder]
) -> None:
    autoencoder, network = load(name), diffusers_own(name, network_folders[name])
    count = autoencoder.first_frames + (LATENTS - 1) * autoencoder.time_stride
    if name in ("AutoencoderKLCogVideoX", "AutoencoderVidTok looking ahead"):
        count = 80 + (name == "AutoencoderKLCogVideoX")
    if name == "AutoencoderKLKVAEVideo":
        count = 81
    side = 64 if "LTX" in name else 16
    latents = encoded(autoencoder, moving(count, side), 5)
    with torch.no_grad():
        by_hand = cosmos if name == "AutoencoderKLCosmos" else BY_HAND.get(class_name(name), clip)
        expected, whole = by_hand(network, moving(count, side))
    frames = decoded(autoencoder, expected, Size(side, side), 3)
    for measured, bound in zip(
        (distance(latents, expected), distance(frames, whole)), SEAMS.get(name, (0, 0)), strict=True
    ):
        print(name, measured)  # pytest -rP shows them
        assert measured <= max(bound, 1e-4)
