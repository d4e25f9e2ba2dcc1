"""Loading weights that can be trusted: safetensors only, complete, finite, of the class they claim."""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import ModelError, closest
from vae_experiments.files import digest, read_json
from vae_experiments.models.framewise import Framewise
from vae_experiments.models.hub.weight_files import Weights
from vae_experiments.models.temporal.adapter import Temporal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from vae_experiments.models.adapter import Adapter

log = logging.getLogger(__name__)
ADAPTERS: dict[str, type[Adapter]] = {
    name.partition(" ")[0]: adapter for adapter in (Framewise, Temporal) for name in adapter.specs
}
"""Every diffusers class that is supported, and its adapter."""
WEIGHTS = "diffusion_pytorch_model*.safetensors"
INDEXES = "diffusion_pytorch_model.safetensors.index*.json"
POINTER = b"version https://git-lfs"
AUDIO = "an autoencoder of sound, not of frames"
NOT_A_MODEL = "give a directory that save_pretrained wrote"
OF_TWO_MODELS = "use the config.json and the weights of one and the same model"
UNSUPPORTED_CLASSES = {
    "AutoencoderKLKVAEAudio": AUDIO,
    "AutoencoderKLLTX2Audio": AUDIO,
    "AutoencoderKLMiniMaxH3Audio": AUDIO,
    "AutoencoderOobleck": AUDIO,
    "AutoencoderSAME": AUDIO,
    "Cosmos3AVAEAudioTokenizer": AUDIO,
    "LongCatAudioDiTVae": AUDIO,
    "MMAudioVAE": AUDIO,
    "MMAudioVocoder": AUDIO,
    "MiniMaxMusic3Vocoder": AUDIO,
    "RFD4ProteinaAutoencoder": "an autoencoder of proteins, not of frames",
    "AutoencoderRAE": "an autoencoder of vision tokens, whose pictures are always square",
    "LTX2VideoDiffusionDecoderModel": "a decoder without an encoder",
    "AutoencoderKLQwenImage21": "an autoencoder of single pictures that drops the frames of a clip",
}
"""Whatever later versions of diffusers add is met by the sentence for unknown classes."""


def load_network(folder: Path) -> Any:
    """Load the diffusers autoencoder that a folder holds, in float32, without any network call.

    diffusers itself returns a model with random or missing weights when keys do not match, and
    takes the class it was called on whatever config.json says; both are refused here.

    Raises:
        ModelError: one sentence for each thing that can be wrong with the folder.
    """
    import torch

    class_name = _class_name(folder)
    for file in weight_files(folder):
        _check_file(file)
    weights = Weights.among(file.name for file in folder.iterdir())
    _check_shards(folder, weights)
    network_class = _network_class(class_name)
    if weights and weights.variant:
        log.warning(
            "model: %s has its weights in %s only, fewer digits than float32", folder, weights.variant
        )
    try:
        with quiet_diffusers():
            network, report = network_class.from_pretrained(
                folder,
                variant=weights.variant or None if weights else None,
                torch_dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
    except Exception as error:
        raise ModelError(
            f"model: the weights in {folder} do not load as {class_name} ({_first_line(error)})",
            OF_TWO_MODELS,
        ) from error
    _check_report(folder, class_name, report)
    _check_values(folder, network)
    return network


@contextlib.contextmanager
def quiet_diffusers() -> Iterator[None]:
    """Keep diffusers' own lines and bars from a person: what they tell of is looked at and said here."""
    from diffusers.utils import logging as theirs

    before, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.CRITICAL + 1)
    theirs.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        theirs.set_verbosity(before)
        if bars:
            theirs.enable_progress_bar()


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files of a folder.

    Raises:
        ModelError: there are none, or only pickled ones.
    """
    files = sorted(file for file in folder.glob(WEIGHTS) if file.is_file())
    if files:
        return files
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt*")) or any(folder.glob("*.ckpt")):
        raise ModelError(
            f"model: {folder} holds pickled weights, which can run code when they are opened; only safetensors are loaded",
            "convert them where you trust them, with save_pretrained(..., safe_serialization=True)",
        )
    raise ModelError(f"model: no weights in {folder} (looked for {WEIGHTS})", NOT_A_MODEL)


def weights_digests(folder: Path) -> list[str]:
    """Return the SHA-256 of each weights file and of what else decides the latents."""
    beside = [file for file in sorted(folder.glob("*.json")) if file.is_file()]
    return [digest(file) for file in [*weight_files(folder), *beside]]


def _class_name(folder: Path) -> str:
    file = folder / "config.json"
    if not file.is_file():
        inside = sorted(path.parent.name for path in folder.glob("*/config.json"))
        hint = f"it has {', '.join(inside)} below it: give one of these" if inside else NOT_A_MODEL
        raise ModelError(f"model: no config.json in {folder}", hint)
    try:
        config = read_json(file)
        name = str(config["_class_name"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"model: {file} is not a diffusers config", NOT_A_MODEL) from error
    if name not in ADAPTERS:
        raise unsupported_class(name, file, ADAPTERS)
    return name


def unsupported_class(name: str, file: Path, known: Iterable[str]) -> ModelError:
    """Return in one sentence why the class that a config names cannot be used."""
    import diffusers

    if name in UNSUPPORTED_CLASSES:
        return ModelError(
            f"model: {file} names the class {name}, {UNSUPPORTED_CLASSES[name]}",
            "give an autoencoder of RGB pictures or video",
        )
    if name.isidentifier() and hasattr(diffusers, name):
        return ModelError(
            f"model: {file} names the class {name}, which diffusers {diffusers.__version__} has and "
            "vae_experiments does not know",
            closest(name, known),
        )
    return ModelError(f"model: {file} names the class {name}, which is not supported", closest(name, known))


def _network_class(name: str) -> Any:
    import diffusers

    try:
        return getattr(diffusers, name)
    except AttributeError as error:
        raise ModelError(
            f"model: diffusers {diffusers.__version__} has no class {name} yet", "pip install -U diffusers"
        ) from error


def _check_file(file: Path) -> None:
    with file.open("rb") as opened:
        head = opened.read(len(POINTER))
    if head == POINTER:
        raise ModelError(f"model: {file} is a git-lfs pointer, not weights", "run git lfs pull")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt"):
            pass
    except SafetensorError as error:
        raise ModelError(
            f"model: {file} is no whole safetensors file ({_first_line(error)})", "copy or download it again"
        ) from error


def _check_shards(folder: Path, weights: Weights | None) -> None:
    """Look for every file that an index names: that of the weights, or any where none of them are complete."""
    names = weights.names if weights else sorted(file.name for file in folder.glob(INDEXES))
    for index in (folder / name for name in names if name.endswith(".json")):
        try:
            shards = {str(name) for name in read_json(index)["weight_map"].values()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"model: {index} is no index of weights", NOT_A_MODEL) from error
        missing = sorted(name for name in shards if not (folder / name).is_file())
        if missing:
            raise ModelError(
                f"model: {len(missing)} of the {len(shards)} files that {index} names are missing, "
                f"such as {missing[0]}",
                "copy or download them too",
            )


def _check_report(folder: Path, class_name: str, report: dict[str, Any]) -> None:
    for fault in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        keys = sorted(map(str, report.get(fault) or []))
        if keys:
            raise ModelError(
                f"model: the weights in {folder} do not fit {class_name}: {len(keys)} {fault.replace('_', ' ')}, "
                f"such as {', '.join(keys[:3])}",
                OF_TWO_MODELS,
            )


def _check_values(folder: Path, network: Any) -> None:
    for name, weight in network.state_dict().items():
        if not weight.isfinite().all():
            raise ModelError(
                f"model: the weight {name} in {folder} has values that are not finite",
                "download or train the model again",
            )


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:160] if text else type(error).__name__
