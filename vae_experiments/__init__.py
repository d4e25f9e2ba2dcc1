"""A lab bench for the latent space of video autoencoders."""

import os

# torch's CPU threads spin while they wait for each other. Beside anything else that wants a core (a
# video encoder is enough) that made two threads 4 to 20 times slower than one; asleep, they are as
# fast as the machine allows. It must be said before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from vae_experiments.device import Device
from vae_experiments.errors import VaeExperimentsError
from vae_experiments.experiment import Experiment
from vae_experiments.latents import load_latents
from vae_experiments.manipulations import Clip, Manipulation, Noise, WholeClip
from vae_experiments.models import Bundled, Folder, Hub
from vae_experiments.options import Scheduled, setting
from vae_experiments.run_folder import Output
from vae_experiments.sources import MovingCircle, Source, Video
from vae_experiments.workbench import Workbench

__all__ = [
    "Bundled",
    "Clip",
    "Device",
    "Experiment",
    "Folder",
    "Hub",
    "Manipulation",
    "MovingCircle",
    "Noise",
    "Output",
    "Scheduled",
    "Source",
    "VaeExperimentsError",
    "Video",
    "WholeClip",
    "Workbench",
    "load_latents",
    "setting",
]
