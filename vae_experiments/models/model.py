"""Where an autoencoder comes from: the bundled one, or a folder; one file and the hub have modules of their own."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_experiments.errors import ModelError
from vae_experiments.files import digest_of, expanded
from vae_experiments.models.tiling import SMALLEST_TILE, Tiling
from vae_experiments.options import Choice, Option, setting

if TYPE_CHECKING:
    from collections.abc import Hashable

    from vae_experiments.models.autoencoder import Autoencoder
    from vae_experiments.runtime.device import DeviceChoice

_loaded: dict[Hashable, Any] = {}
"""The last model by all that decides it, and beside it the one that decodes in its place: more may be too much for the memory."""


class Posterior(Choice):
    """Which latents to take where the encoder gives a distribution."""

    mode = "mode"
    sample = "sample"


class Model(Option, ABC, group="model"):
    """Names an autoencoder and loads it."""

    posterior: Posterior = setting(
        "take the mode of the posterior, or a sample seeded by frame", default=Posterior.mode
    )
    seed: int = setting("seed of the posterior sample", default=0, minimum=0)
    tiling: Tiling = setting(
        "take frames through the network whole or in tiles; auto: whole where there is enough memory",
        default=Tiling.auto,
    )
    tile: int = setting("side of a tile", default=512, unit="pixels", minimum=SMALLEST_TILE)

    @abstractmethod
    def location(self) -> Path:
        """Find the directory, in diffusers format, that holds the weights, or their one file."""

    def title(self) -> str:
        """Return what to call it where there are two."""
        return self.kind

    def load(self, chosen: DeviceChoice) -> Autoencoder:
        """Load the weights onto a device, ready to encode and decode.

        Raises:
            ModelError: the weights are missing, damaged, of another class, or cannot be downloaded.
        """
        location = self.location()  # before the slow imports: a hub that is not there is said at once

        from vae_experiments.models.loading import ADAPTERS

        network = self._network(location)
        adapter = ADAPTERS[type(network).__name__]
        sample_seed = self.seed if self.posterior is Posterior.sample else None
        autoencoder = adapter(network, location, chosen, sample_seed, self.tiling, self.tile)
        autoencoder.probe()
        autoencoder.weights_digest = digest_of(self._digests(location))
        return autoencoder

    def _network(self, location: Path) -> Any:
        from vae_experiments.models.loading import load_network

        return load_network(location)

    def _digests(self, location: Path) -> list[str]:
        """Return the SHA-256 of every file that decides the latents."""
        from vae_experiments.models.loading import weights_digests

        return weights_digests(location)


class Bundled(Model):
    """The small autoencoder that comes with this package."""

    def location(self) -> Path:
        """Point into the installed package."""
        return Path(__file__).parent / "tiny"

    def title(self) -> str:
        """Call it as it is chosen."""
        return "tiny"


class Folder(Model):
    """Any autoencoder directory that ``save_pretrained`` wrote; its class is read from its config.json."""

    path: str = setting("directory in diffusers format", default="???")

    def location(self) -> Path:
        """Take the path as it was typed; it never turns into a hub request."""
        folder = expanded(self.path)
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "does not exist"
            hint = (
                "for one file type model=file"
                if folder.exists()
                else "give a directory that save_pretrained wrote"
            )
            raise ModelError(f"model.path={self.path} {what}", hint)
        return folder

    def title(self) -> str:
        """Call it by its path."""
        return self.path


class Same(Option, group="decoder", other_kinds_of="model", single=True):
    """Decode with the model that encodes."""


def load_cached(model: Model, chosen: DeviceChoice, most: int = 1) -> Autoencoder:
    """Load a model, unless it is the one that this process loaded last, or one of the last two.

    Each caller gets a twin of its own around the same weights, so that what one run learns of the
    memory, such as a batch that is too large, is not held against the next.

    Args:
        model: what to load.
        chosen: the device and its dtype.
        most: how many stay loaded, this one included: two in a run that decodes with another model.

    Raises:
        ModelError: the weights are missing, damaged, of another class, or cannot be downloaded.
    """
    location = model.location()
    files = sorted(
        (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        for file in (location if location.is_dir() else location.parent).glob("*")
        if file.is_file()
    )
    key = (str(location.resolve()), tuple(files), repr(model), repr(chosen))
    if key in _loaded and _moved(_loaded[key], chosen):
        del _loaded[key]
    autoencoder = _loaded.pop(key, None)
    while len(_loaded) >= most:
        del _loaded[next(iter(_loaded))]  # the one that was asked for longest ago
    _loaded[key] = autoencoder = autoencoder or model.load(chosen)
    return copy.copy(autoencoder)


def _moved(autoencoder: Any, chosen: DeviceChoice) -> bool:
    """Whether a run took the weights to another device, for want of memory."""
    weight = next(autoencoder.network.parameters())
    return bool((weight.device.type, weight.dtype) != (chosen.device.type, chosen.dtype))
