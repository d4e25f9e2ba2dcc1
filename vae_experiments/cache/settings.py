"""The settings of the cache, and where a person's caches lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vae_experiments.cache.store import Store
from vae_experiments.files import expanded
from vae_experiments.options import Option, setting

NAME = "vae_experiments"


class Cache(Option, group="cache", single=True):
    """Keeps encoded latents, untouched decodings and their videos for other runs, of all processes of a person."""

    enabled: bool = setting("keep, and take, what other runs computed already", default=True)
    dir: str | None = setting("folder of the cache; left out, the person's own cache folder", default=None)
    limit_gb: float = setting(
        "what was not used for the longest time goes when there is more", default=20.0, unit="GB", above=0
    )

    def store(self) -> Store | None:
        """Open the cache; None where it was switched off."""
        return Store(self.folder(), self.limit_gb * 1e9) if self.enabled else None

    def folder(self) -> Path:
        """Find the folder: the setting, ``VAE_EXPERIMENTS_CACHE``, or the system's place for caches."""
        requested = self.dir or os.environ.get("VAE_EXPERIMENTS_CACHE")
        return expanded(requested) if requested else _place_for_caches() / NAME


def _place_for_caches() -> Path:
    if sys.platform == "darwin":
        return Path("~/Library/Caches").expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
