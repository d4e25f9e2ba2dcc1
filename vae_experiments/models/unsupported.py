"""Classes of diffusers that no adapter speaks to: what they are, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.errors import ModelError, closest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

AUDIO = "an autoencoder of sound, not of frames"
UNSUPPORTED_CLASSES = {
    **dict.fromkeys(
        (
            "AutoencoderKLKVAEAudio",
            "AutoencoderKLLTX2Audio",
            "AutoencoderKLMiniMaxH3Audio",
            "AutoencoderOobleck",
            "AutoencoderSAME",
            "Cosmos3AVAEAudioTokenizer",
            "LongCatAudioDiTVae",
            "MMAudioVAE",
            "MMAudioVocoder",
            "MiniMaxMusic3Vocoder",
        ),
        AUDIO,
    ),
    "RFD4ProteinaAutoencoder": "an autoencoder of proteins, not of frames",
    "AutoencoderRAE": "an autoencoder of vision tokens, whose pictures are always square",
    "LTX2VideoDiffusionDecoderModel": "a decoder without an encoder",
    "AutoencoderKLQwenImage21": "an autoencoder of single pictures that drops the frames of a clip",
}
"""Whatever later versions of diffusers add is met by the sentence for unknown classes."""


def unsupported_error(name: str, file: Path, known: Iterable[str]) -> ModelError:
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
