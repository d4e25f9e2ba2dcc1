"""Previews: an order on few small frames, and on as many as its settings speak of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.errors import VaeExperimentsError
from vae_experiments.models import load_cached
from vae_experiments.pipeline.second_video import clip_of

if TYPE_CHECKING:
    from vae_experiments.models import Autoencoder
    from vae_experiments.web.requests.run_request import RunRequest

FEWEST_FRAMES, MOST_FRAMES = 8, 256


def preview_of(order: RunRequest) -> RunRequest | None:
    """Return the order on the first frames, small; None where its settings speak only of later ones.

    What is right for the clip may be wrong for its first frames, as ``freeze.frame=12``.

    Raises:
        VaeExperimentsError: the settings do not fit the clip itself.
    """
    autoencoder = load_cached(order.model, order.experiment().device.choose())
    _check(order, autoencoder)
    count = FEWEST_FRAMES
    while count <= MOST_FRAMES:
        small = order.smaller(count, autoencoder.stride)
        try:
            _check(small, autoencoder)
        except VaeExperimentsError:
            count *= 2
        else:
            return small
    return None


def _check(order: RunRequest, autoencoder: Autoencoder) -> None:
    clip = clip_of(order.source, autoencoder, order.experiment().batch_size, order.places)
    for link in order.links:
        link.check(clip)
        clip = link.after(clip)
