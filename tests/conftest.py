"""What the tests share: small real networks in diffusers format, and the command line as a person uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from vae_experiments.device import Chosen

REPOSITORY = Path(__file__).parents[1]
FRAMEWISE = ("AutoencoderKL", "AutoencoderTiny", "AutoencoderDC", "VQModel", "VQModel spatial")
TEMPORAL = ("AutoencoderKLWan", "AutoencoderKLWan 2.2")
NETWORKS = FRAMEWISE + TEMPORAL
"""Each is named after its class, and the form of it where there are several."""

FOUR_BLOCKS: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 1,
    "latent_channels": 4,
}
SMALL_WAN: dict[str, Any] = {
    "base_dim": 8,
    "z_dim": 4,
    "num_res_blocks": 1,
    "latents_mean": [0.1, -0.2, 0.3, 0.0],
    "latents_std": [0.5, 1.0, 2.0, 0.25],
}
SETTINGS: dict[str, dict[str, Any]] = {
    "AutoencoderKL": {
        **FOUR_BLOCKS,
        "block_out_channels": (8, 8, 16, 16),
        "norm_num_groups": 4,
        "shift_factor": 0.1,
        "mid_block_add_attention": False,
    },
    "AutoencoderTiny": {
        "encoder_block_out_channels": (8,) * 4,
        "decoder_block_out_channels": (8,) * 4,
        "num_encoder_blocks": (1,) * 4,
        "num_decoder_blocks": (1,) * 4,
    },
    "AutoencoderDC": {
        "latent_channels": 8,
        "encoder_block_out_channels": (4, 8, 8, 8),
        "decoder_block_out_channels": (4, 8, 8, 8),
        "encoder_layers_per_block": (0, 1, 1, 1),
        "decoder_layers_per_block": (0, 1, 1, 1),
        "encoder_qkv_multiscales": ((),) * 4,
        "decoder_qkv_multiscales": ((),) * 4,
    },
    "VQModel": {
        **FOUR_BLOCKS,
        "block_out_channels": (8, 8, 16, 16),
        "norm_num_groups": 4,
        "num_vq_embeddings": 64,
        "mid_block_add_attention": False,
    },
    "VQModel spatial": {
        **FOUR_BLOCKS,
        "block_out_channels": (32,) * 4,  # its norms have 32 groups, whatever the config says
        "num_vq_embeddings": 64,
        "norm_type": "spatial",
    },
    "AutoencoderKLWan": {
        **SMALL_WAN,
        "dim_mult": [1, 1, 2, 2],
        "temperal_downsample": [False, True, True],
    },
    "AutoencoderKLWan 2.2": {
        **SMALL_WAN,
        "dim_mult": [1, 2, 2],
        "temperal_downsample": [True, True],
        "is_residual": True,
        "patch_size": 2,
        "in_channels": 12,
        "out_channels": 12,
    },
}


def class_name(name: str) -> str:
    """Say of which diffusers class a small network is."""
    return name.partition(" ")[0]


def build_network(name: str, **other: Any) -> Any:
    """Make a small network with random weights, 8x smaller each way; other settings go before its own."""
    import diffusers
    import torch

    torch.manual_seed(1)
    network = getattr(diffusers, class_name(name))(**(SETTINGS[name] | other))
    if hasattr(network, "quantize"):
        # A new codebook lies so near to zero that almost every latent would snap to the same vector.
        network.quantize.embedding.weight.data.normal_(std=0.35)
    return network


@pytest.fixture(scope="session")
def network_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Save the small networks of the supported classes, as ``save_pretrained`` writes it."""
    folders = {}
    for name in NETWORKS:
        folders[name] = tmp_path_factory.mktemp(name)
        build_network(name).save_pretrained(folders[name])
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
