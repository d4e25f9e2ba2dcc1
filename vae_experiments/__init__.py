"""A lab bench for the latent space of video autoencoders."""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from vae_experiments.runtime.interruption import take_signals

# Of a command, `vae-experiments train`, these are the first lines; "-m" stands there while
# Python looks for the module.
if sys.argv[:1] == ["-m"] and any(word.partition(".")[0] == __name__ for word in sys.orig_argv):
    take_signals()

# torch's CPU threads spin while they wait for each other. Beside anything else that wants a core (a
# video encoder is enough) that made two threads 4 to 20 times slower than one; asleep, they are as
# fast as the machine allows. It must be said before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from vae_experiments.cache.latent_files import load_latents
    from vae_experiments.errors import VaeExperimentsError
    from vae_experiments.manipulations import Clip, Manipulation, Noise, WholeClip
    from vae_experiments.models import Bundled, Folder, Hub
    from vae_experiments.options import Scheduled, setting
    from vae_experiments.pipeline.experiment import Experiment
    from vae_experiments.pipeline.run_folder import Output
    from vae_experiments.pipeline.workbench import Workbench
    from vae_experiments.runtime.device import Device
    from vae_experiments.sources import MovingCircle, Source, Video

_HOMES = {
    "Bundled": "models",
    "Clip": "manipulations",
    "Device": "runtime.device",
    "Experiment": "pipeline.experiment",
    "Folder": "models",
    "Hub": "models",
    "Manipulation": "manipulations",
    "MovingCircle": "sources",
    "Noise": "manipulations",
    "Output": "pipeline.run_folder",
    "Scheduled": "options",
    "Source": "sources",
    "VaeExperimentsError": "errors",
    "Video": "sources",
    "WholeClip": "manipulations",
    "Workbench": "pipeline.workbench",
    "load_latents": "cache.latent_files",
    "setting": "options",
}
"""Where each name is at home; it is loaded with the first one that is asked for, so that a signal finds us ready."""

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
