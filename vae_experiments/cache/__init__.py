"""The cache: what every run on the same video and model would compute again is computed once."""

from vae_experiments.cache.run_cache import CachedStream, RunCache
from vae_experiments.cache.settings import Cache
from vae_experiments.cache.store import Store

__all__ = ["Cache", "CachedStream", "RunCache", "Store"]
