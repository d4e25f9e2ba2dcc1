"""Two threads that share a network get what each would get alone, though the network is lent what it remembers."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.conftest import build_network
from vae_experiments import Folder
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vae_experiments.runtime.device import DeviceChoice

LENT = {
    "AutoencoderKLLTXVideo": {"decoder_causal": True},
    "AutoencoderKLLTX2Video": {},
    "AutoencoderKLMochi": {},
    "AutoencoderKLCosmos": {},
    "AutoencoderKLHunyuanVideo15": {},
    "AutoencoderKLMagvit": {},
    "AutoencoderVidTok": {},
}
"""Networks whose layers are lent a clip's memory for the time of a call."""


@pytest.fixture
def impatient_threads() -> Iterator[None]:
    """Let threads take turns as often as they can, each on one core."""
    interval, threads = sys.getswitchinterval(), torch.get_num_threads()
    sys.setswitchinterval(1e-6)
    torch.set_num_threads(1)
    yield
    sys.setswitchinterval(interval)
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient_threads")
@pytest.mark.parametrize("name", LENT)
def test_two_threads_on_one_network_do_not_mix_their_clips(
    name: str, cpu: DeviceChoice, tmp_path: Path
) -> None:
    build_network(name, **LENT[name]).save_pretrained(tmp_path)
    autoencoder: Any = Folder(path=str(tmp_path)).load(cpu)
    side = 2 * autoencoder.stride
    count = autoencoder.ratio.frames(6)
    clips = [
        torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        for seed in range(2)
    ]

    def there_and_back(clip: torch.Tensor) -> torch.Tensor:
        torch.set_num_threads(1)
        latents = autoencoder.encode(clip.split(3))
        return torch.cat(list(autoencoder.decode(latents, Size(side, side))))

    alone = [there_and_back(clip) for clip in clips]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(3):
            together = threads.map(there_and_back, clips)
            for one, other in zip(alone, together, strict=True):
                assert torch.equal(one, other)
