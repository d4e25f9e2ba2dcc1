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
    from vae_experiments.cache.latent_files import load_latents as load_latents
    from vae_experiments.errors import VaeExperimentsError as VaeExperimentsError
    from vae_experiments.manipulations import Clip as Clip
    from vae_experiments.manipulations import Manipulation as Manipulation
    from vae_experiments.manipulations import Noise as Noise
    from vae_experiments.manipulations import WholeClip as WholeClip
    from vae_experiments.models import Bundled as Bundled
    from vae_experiments.models import Folder as Folder
    from vae_experiments.models import Hub as Hub
    from vae_experiments.options import Scheduled as Scheduled
    from vae_experiments.options import setting as setting
    from vae_experiments.pipeline.experiment import Experiment as Experiment
    from vae_experiments.pipeline.run_folder import Output as Output
    from vae_experiments.pipeline.workbench import Workbench as Workbench
    from vae_experiments.runtime.device import Device as Device
    from vae_experiments.sources import MovingCircle as MovingCircle
    from vae_experiments.sources import Source as Source
    from vae_experiments.sources import Video as Video

_NAMES = {
    "cache.latent_files": ["load_latents"],
    "errors": ["VaeExperimentsError"],
    "manipulations": ["Clip", "Manipulation", "Noise", "WholeClip"],
    "models": ["Bundled", "Folder", "Hub"],
    "options": ["Scheduled", "setting"],
    "pipeline.experiment": ["Experiment"],
    "pipeline.run_folder": ["Output"],
    "pipeline.workbench": ["Workbench"],
    "runtime.device": ["Device"],
    "sources": ["MovingCircle", "Source", "Video"],
}
"""What each module gives; it is loaded with the first name that is asked for, so that a signal finds us ready."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
