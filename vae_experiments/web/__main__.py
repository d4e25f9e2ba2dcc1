"""``python -m vae_experiments.web``: the same as ``vae-experiments web``."""

import sys

from vae_experiments.web.command import main

if __name__ == "__main__":
    sys.exit(main())
