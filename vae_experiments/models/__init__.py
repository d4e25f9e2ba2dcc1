"""The autoencoders behind one contract; diffusers is imported nowhere else but in training."""

from vae_experiments.models.autoencoder import Autoencoder
from vae_experiments.models.hub.hub_model import Hub
from vae_experiments.models.model import Bundled, Folder, Model, Posterior, Same, load_cached
from vae_experiments.models.pair import load_pair
from vae_experiments.models.single_file import File

__all__ = [
    "Autoencoder",
    "Bundled",
    "File",
    "Folder",
    "Hub",
    "Model",
    "Posterior",
    "Same",
    "load_cached",
    "load_pair",
]
