"""``python -m vae_experiments.cache``: the same as ``vae-experiments cache``."""

import sys

from vae_experiments.commands.cache import main

if __name__ == "__main__":
    sys.exit(main())
