"""The autoencoders behind one contract; diffusers is imported nowhere else but in training."""

from vae_experiments.models.autoencoder import Autoencoder
from vae_experiments.models.hub.hub_model import Hub
from vae_experiments.models.model import Bundled, Folder, Model, Posterior, load_cached
from vae_experiments.models.single_file import File

__all__ = ["Autoencoder", "Bundled", "File", "Folder", "Hub", "Model", "Posterior", "load_cached"]
