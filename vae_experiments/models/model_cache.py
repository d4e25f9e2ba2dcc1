"""The model that a process has loaded already, for the next job of a sweep."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

    from vae_experiments.models.autoencoder import Autoencoder
    from vae_experiments.models.model import Model
    from vae_experiments.runtime.device import DeviceChoice

_loaded: dict[Hashable, Any] = {}
"""The last model by all that decides it: one, since two may be more than the memory holds."""


def load_cached(model: Model, chosen: DeviceChoice) -> Autoencoder:
    """Load a model, unless it is the one that this process loaded last.

    Each caller gets a twin of its own around the same weights, so that what one run learns of the
    memory, such as a batch that is too large, is not held against the next.

    Raises:
        ModelError: the weights are missing, damaged, of another class, or cannot be downloaded.
    """
    folder = model.folder()
    files = sorted(
        (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        for file in folder.glob("*")
        if file.is_file()
    )
    key = (str(folder.resolve()), tuple(files), repr(model), repr(chosen))
    autoencoder = _loaded.get(key)
    if autoencoder is None or _moved(autoencoder, chosen):
        _loaded.clear()
        autoencoder = _loaded[key] = model.load(chosen)
    return copy.copy(autoencoder)


def _moved(autoencoder: Any, chosen: DeviceChoice) -> bool:
    """Whether a run took the weights to another device, for want of memory."""
    weight = next(autoencoder.network.parameters())
    return bool((weight.device.type, weight.dtype) != (chosen.device.type, chosen.dtype))
