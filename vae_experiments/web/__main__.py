"""``python -m vae_experiments.web``: serve the page on this machine."""

import sys

from vae_experiments.web.command import main

sys.exit(main(sys.argv[1:]))
