"""``python -m vae_experiments.cache list``: look after the cache."""

import sys

from vae_experiments.cache.command import main

sys.exit(main(sys.argv[1:]))
