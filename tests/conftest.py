"""What the tests share: small real networks in diffusers format, and the command line as a person uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from vae_experiments.device import Chosen

REPOSITORY = Path(__file__).parents[1]
NETWORKS = ("AutoencoderKL", "AutoencoderTiny", "AutoencoderDC")


def build_network(name: str) -> object:
    """Make a small network with random weights, 8x smaller each way."""
    import diffusers
    import torch

    torch.manual_seed(1)
    if name == "AutoencoderKL":
        return diffusers.AutoencoderKL(
            block_out_channels=(8, 8, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
            norm_num_groups=4,
            latent_channels=4,
            shift_factor=0.1,
            mid_block_add_attention=False,
        )
    if name == "AutoencoderTiny":
        return diffusers.AutoencoderTiny(
            encoder_block_out_channels=(8,) * 4,
            decoder_block_out_channels=(8,) * 4,
            num_encoder_blocks=(1,) * 4,
            num_decoder_blocks=(1,) * 4,
        )
    return diffusers.AutoencoderDC(
        latent_channels=8,
        encoder_block_out_channels=(4, 8, 8, 8),
        decoder_block_out_channels=(4, 8, 8, 8),
        encoder_layers_per_block=(0, 1, 1, 1),
        decoder_layers_per_block=(0, 1, 1, 1),
        encoder_qkv_multiscales=((),) * 4,
        decoder_qkv_multiscales=((),) * 4,
    )


@pytest.fixture(scope="session")
def network_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Save one small network of each supported class, as ``save_pretrained`` writes it."""
    folders = {}
    for name in NETWORKS:
        folders[name] = tmp_path_factory.mktemp(name)
        build_network(name).save_pretrained(folders[name])  # type: ignore[attr-defined]
    return folders


@pytest.fixture
def cpu() -> Chosen:
    import torch

    from vae_experiments.device import Chosen

    return Chosen(torch.device("cpu"), torch.float32, "a test", exact=False)


@pytest.fixture(scope="session")
def type_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Type a command as a person does, from the repository's root, and see what it says."""

    def type_it(
        *words: str, folder: Path | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        where = [f"hydra.run.dir={folder}"] if folder else []
        return subprocess.run(
            [sys.executable, "-W", "error::UserWarning", *words, *where],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return type_it
