"""Where the steering of a model comes from: from beside its weights, out of the cache, or fitted now."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from vae_experiments.cache import CachedStream
from vae_experiments.cache.latent_files import checked_chunks
from vae_experiments.files import digest_of
from vae_experiments.manipulations.steering import Steering
from vae_experiments.pipeline.steering.fit import fitted
from vae_experiments.runtime.progress import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

    from vae_experiments.cache import Store
    from vae_experiments.models import Autoencoder

log = logging.getLogger(__name__)
FORMAT = 1
"""Counted up when what is fitted changes: what older versions kept is then left alone."""
BESIDE = "steering"
"""Folder beside the weights of a model that brings its own."""


def steering_of(autoencoder: Autoencoder, store: Store | None = None) -> Callable[[bool], Steering | None]:
    """Return what gives the steering of a model when it is first asked for, and whether it may be fitted.

    It gives None where it would not help, and where a model brings none and none may be fitted: also where one
    is kept, so that a run does not depend on what ran before.
    """
    return cache(lambda may_fit: _steering(autoencoder, store, may_fit))


def entry_of(autoencoder: Autoencoder) -> str:
    """Name the entry of the steering of these weights, and of those that decode in their place."""
    weights = autoencoder.weights_digest, autoencoder.decoder.weights_digest
    return f"{digest_of('steering', FORMAT, *weights)[:40]}-steering"


def has_steering(autoencoder: Autoencoder, store: Store | None = None) -> bool:
    """Whether the steering of a model is there without being fitted first."""
    name = entry_of(autoencoder)
    return _beside(autoencoder, name) is not None or (store is not None and store.has(name))


def _steering(autoencoder: Autoencoder, store: Store | None, may_fit: bool) -> Steering | None:
    name = entry_of(autoencoder)
    row = _beside(autoencoder, name)
    if row is None and not may_fit:
        return None
    if row is None:
        (row,) = CachedStream(store, name).through(_fitted(autoencoder))
    steering = Steering.unpacked(row, autoencoder.latent_channels)
    if any(steering.helps):
        return steering
    log.info("steering: off, for it does not help this model")
    return None


def _beside(autoencoder: Autoencoder, name: str) -> Tensor | None:
    """Read what a model brings; None where it brings nothing, or what was made for other weights."""
    folder: Path | None = getattr(autoencoder, "folder", None)
    try:
        return next(checked_chunks(folder / BESIDE, name)) if folder else None
    except ValueError:
        return None


def _fitted(autoencoder: Autoencoder) -> Iterator[Tensor]:
    with waiting("fitting the steering of the model, once"):
        steering = fitted(autoencoder)
    yield steering.packed()
