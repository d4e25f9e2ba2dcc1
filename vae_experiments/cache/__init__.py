"""The cache: what every run on the same video and model would compute again is computed once."""

from vae_experiments.cache.kept_files import KeptFiles
from vae_experiments.cache.run_cache import VIDEOS_FORMAT, CachedStream, RunCache
from vae_experiments.cache.settings import Cache
from vae_experiments.cache.store import Store

__all__ = ["VIDEOS_FORMAT", "Cache", "CachedStream", "KeptFiles", "RunCache", "Store"]
