"""Manipulations of other packages: an entry point brings the class, a conf folder beside it the yaml.

A package that is installed with

    [project.entry-points."vae_experiments"]
    solarize = "solarize"

is imported at the start, so that its subclasses of ``Manipulation`` (or of any other option) are
registered, and the folder ``conf`` beside the module joins Hydra's search path, so that its
``conf/manipulation/solarize.yaml`` can be chosen like our own.
"""

from __future__ import annotations

import functools
import logging
from importlib.metadata import entry_points
from pathlib import Path

log = logging.getLogger(__name__)
GROUP = "vae_experiments"


@functools.cache
def plugin_confs() -> tuple[Path, ...]:
    """Import every plugin and list the folders of their yaml files; a broken one is said, and left out."""
    confs = []
    for point in entry_points(group=GROUP):
        try:
            module = point.load()
        except Exception as error:
            log.warning("the plugin %s cannot be imported (%s); it is left out", point.name, error)
            continue
        file = getattr(module, "__file__", None)
        conf = Path(file).parent / "conf" if file else None
        if conf and conf.is_dir():
            confs.append(conf)
    return tuple(confs)
