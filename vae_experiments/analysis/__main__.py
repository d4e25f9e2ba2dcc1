"""``python -m vae_experiments.analysis``: the same as ``vae-experiments analysis``."""

import sys

from vae_experiments.analysis.command import main

if __name__ == "__main__":
    sys.exit(main())
