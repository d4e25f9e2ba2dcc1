"""``python -m vae_experiments.training``: the same as ``vae-experiments train``."""

import sys

from vae_experiments.training.command import main

if __name__ == "__main__":
    sys.exit(main())
