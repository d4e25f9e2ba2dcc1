"""The autoencoders behind one contract; diffusers is imported nowhere else but in training."""

from vae_experiments.models.autoencoder import Autoencoder
from vae_experiments.models.hub.hub_model import Hub
from vae_experiments.models.model import Bundled, Folder, Model, Posterior
from vae_experiments.models.model_cache import load_cached

__all__ = ["Autoencoder", "Bundled", "Folder", "Hub", "Model", "Posterior", "load_cached"]
