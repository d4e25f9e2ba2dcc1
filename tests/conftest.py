"""What the tests share: small real networks in diffusers format, and the command line as a person uses it."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.prompt import Prompt, run_afresh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vae_experiments.models import Autoencoder
    from vae_experiments.runtime.device import DeviceChoice

if "PYTEST_XDIST_WORKER" in os.environ:
    # There are as many workers as cores: threads of torch's own would only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).parents[1]
WAN = ("AutoencoderKLWan", "AutoencoderKLWan 2.2")

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
SMALL_VIDTOK: dict[str, Any] = {"ch": 4, "ch_mult": [1, 1, 2, 2], "num_res_blocks": 1}
FOUR_NARROW = (4, 4, 8, 8)
STATISTICS: dict[str, Any] = {"latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [0.5, 1.0, 2.0, 0.25]}
FRAMEWISE_SETTINGS: dict[str, dict[str, Any]] = {
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
    "AsymmetricAutoencoderKL": {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "down_block_out_channels": FOUR_NARROW,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "up_block_out_channels": FOUR_NARROW,
        "norm_num_groups": 4,
    },
    "AutoencoderKLFlux2": {
        **FOUR_BLOCKS,
        "block_out_channels": FOUR_NARROW,
        "norm_num_groups": 4,
        "mid_block_add_attention": False,
    },
    "AutoencoderKLHunyuanImage": {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "block_out_channels": (32,) * 4,
        "layers_per_block": 1,
        "spatial_compression_ratio": 8,
        "sample_size": 64,
        "scaling_factor": 0.5,
    },
    "AutoencoderKLKVAE": {
        "channels": 32,
        "num_enc_blocks": 1,
        "num_dec_blocks": 1,
        "z_channels": 4,
        "ch_mult": (1,) * 4,
    },
    "ConsistencyDecoderVAE": {
        "encoder_block_out_channels": FOUR_NARROW,
        "encoder_layers_per_block": 1,
        "encoder_norm_num_groups": 4,
        "decoder_block_out_channels": (8, 8),
        "decoder_layers_per_block": 1,
        "decoder_norm_num_groups": 4,
        "decoder_down_block_types": ("ResnetDownsampleBlock2D",) * 2,
        "decoder_up_block_types": ("ResnetUpsampleBlock2D",) * 2,
    },
}
TEMPORAL_SETTINGS: dict[str, dict[str, Any]] = {
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
    "AutoencoderKLQwenImage": {**SMALL_WAN, "dim_mult": [1, 1, 2, 2]},
    "AutoencoderKLMagvit": {
        "block_out_channels": FOUR_NARROW,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "latent_channels": 4,
    },
    "AutoencoderKLCogVideoX": {
        "block_out_channels": FOUR_NARROW,
        "layers_per_block": 1,
        "norm_num_groups": 2,
        "latent_channels": 4,
    },
    "AutoencoderKLKVAEVideo": {
        "ch": 32,  # its norms have 32 groups
        "ch_mult": (1,) * 4,
        "num_res_blocks": 1,
        "z_channels": 4,
    },
    "AutoencoderVidTok": SMALL_VIDTOK,
    "AutoencoderVidTok quantised": {
        **SMALL_VIDTOK,
        "regularizer": "fsq",
        "double_z": False,
        "codebook_size": 8**4,
    },
    "AutoencoderVidTok looking ahead": {**SMALL_VIDTOK, "is_causal": False},
    "AutoencoderKLTemporalDecoder": {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "block_out_channels": (32,) * 4,  # its norms have 32 groups
    },
    "AutoencoderKLHunyuanVideo": {
        "block_out_channels": FOUR_NARROW,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "latent_channels": 4,
    },
    "AutoencoderKLHunyuanVideo15": {
        "block_out_channels": (8,) * 4,
        "layers_per_block": 1,
        "latent_channels": 4,
        "spatial_compression_ratio": 8,
    },
    "AutoencoderKLMochi": {
        **STATISTICS,
        "encoder_block_out_channels": (32,) * 4,  # its norms have 32 groups
        "decoder_block_out_channels": (32,) * 4,
        "layers_per_block": (1,) * 5,
        "latent_channels": 4,
    },
    "AutoencoderKLLTXVideo": {
        "block_out_channels": (8,) * 4,
        "decoder_block_out_channels": (8,) * 4,
        "layers_per_block": (1,) * 5,
        "decoder_layers_per_block": (1,) * 5,
        "latent_channels": 8,
    },
    "AutoencoderKLLTX2Video": {
        "block_out_channels": (4, 8, 16, 16),
        "decoder_block_out_channels": (8, 16, 32),
        "layers_per_block": (1,) * 5,
        "decoder_layers_per_block": (1,) * 4,
        "latent_channels": 8,
    },
    "AutoencoderKLCosmos": {
        "encoder_block_out_channels": (8,) * 4,
        "decode_block_out_channels": (8,) * 4,
        "num_layers": 1,
        "latent_channels": 4,
        # Those of the first two latents of a clip for each channel, of which the second go on.
        "latents_mean": [0.1, 0.2, -0.2, 0.0, 0.3, 0.1, 0.0, 0.5],
        "latents_std": [0.5, 0.6, 1.0, 2.0, 2.0, 1.0, 0.25, 0.5],
    },
    "AutoencoderKLAllegro": {
        "block_out_channels": FOUR_NARROW,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "sample_size": 128,
    },
}
SETTINGS = FRAMEWISE_SETTINGS | TEMPORAL_SETTINGS
FRAMEWISE = tuple(FRAMEWISE_SETTINGS)
TEMPORAL = tuple(TEMPORAL_SETTINGS)
NETWORKS = FRAMEWISE + TEMPORAL
"""Each is named after its class, and the form of it where there are several."""


def class_name(name: str) -> str:
    """Say of which diffusers class a small network is."""
    return name.partition(" ")[0]


def build_network(name: str, **other: Any) -> Any:
    """Make a small network with random weights; other settings go before its own."""
    import diffusers
    import torch

    torch.manual_seed(1)
    network = getattr(diffusers, class_name(name))(**(SETTINGS[name] | other))
    if hasattr(network, "quantize"):
        # A new codebook lies so near to zero that almost every latent would snap to the same vector.
        network.quantize.embedding.weight.data.normal_(std=0.35)
    if hasattr(network, "bn"):
        network.bn.running_mean.normal_()
        network.bn.running_var.uniform_(0.1, 2)
    buffers = dict(network.named_buffers())
    if "latents_mean" in buffers:
        buffers["latents_mean"].normal_()
        buffers["latents_std"].uniform_(0.1, 2)
    return network


class NetworkFolders(dict[str, Path]):
    """Saves a small network, as ``save_pretrained`` writes it, when a test first asks for it."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        super().__init__()
        self.factory = factory

    def __missing__(self, name: str) -> Path:
        folder = self[name] = self.factory.mktemp(name)
        build_network(name).save_pretrained(folder)
        return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test an empty cache, and leave a person's own alone."""
    folder = tmp_path / "cache of this test"
    monkeypatch.setenv("VAE_EXPERIMENTS_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def network_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give the folder of each small network."""
    return NetworkFolders(tmp_path_factory)


@pytest.fixture(scope="session")
def loaded(network_folders: dict[str, Path], cpu: DeviceChoice) -> Callable[[str], Autoencoder]:
    """Load a small network on the CPU, once for all tests: a clip leaves nothing behind."""
    from vae_experiments.models import Folder

    return functools.cache(lambda name: Folder(path=str(network_folders[name])).load(cpu))


@pytest.fixture
def load(loaded: Callable[[str], Autoencoder]) -> Iterator[Callable[[str], Autoencoder]]:
    """Load a small network, and run it on one thread: beside other work two wait for each other for minutes."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield loaded
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def cpu() -> DeviceChoice:
    import torch

    from vae_experiments.runtime.device import DeviceChoice

    return DeviceChoice(torch.device("cpu"), torch.float32, "a test", exact=False)


@pytest.fixture(scope="session")
def prompt() -> Iterator[Prompt]:
    """Keep one process that starts commands, with the libraries loaded, for all tests of this worker."""
    prompt = Prompt()
    yield prompt
    prompt.close()


@pytest.fixture(scope="session")
def type_command(prompt: Prompt) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Type a command as a person does, from the repository's root, and see what it says.

    A test that is about starting asks for a ``fresh`` interpreter.
    """

    def type_it(
        *words: str,
        folder: Path | None = None,
        where: Path = REPOSITORY,
        fresh: bool = False,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        into = [f"hydra.run.dir={folder}"] if folder else []
        start = run_afresh if fresh else prompt.run
        return start([*words, *into], where, os.environ, timeout)

    return type_it
