"""The steering that the bundled model brings: ``python -m vae_experiments.commands.bundled_steering`` fits it.

It takes more pictures than the first use of another model would, and a minute and a half on two cores.
"""

from __future__ import annotations

import logging
import shutil
import sys

from vae_experiments.cache.latent_files import LatentFolder
from vae_experiments.models import Bundled
from vae_experiments.pipeline.steering.fit import fitted
from vae_experiments.pipeline.steering.model_steering import BESIDE, entry_of
from vae_experiments.runtime.device import Device

PICTURES = 32


def main() -> None:
    """Fit it and put it beside the weights."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    model = Bundled()
    autoencoder = model.load(Device().choose())
    row = fitted(autoencoder, PICTURES).packed()
    folder = model.location() / BESIDE
    shutil.rmtree(folder, ignore_errors=True)
    with LatentFolder(folder) as written:
        written.write(entry_of(autoencoder), row)


if __name__ == "__main__":
    main()
