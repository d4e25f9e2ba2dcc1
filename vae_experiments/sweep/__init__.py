"""The page over the jobs of one or several sweeps: sweep.html, sweep.csv and their pictures."""

from vae_experiments.sweep.page import Summary, write_sweep
from vae_experiments.sweep.running import run_sweep

__all__ = ["Summary", "run_sweep", "write_sweep"]
