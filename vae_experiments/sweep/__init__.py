"""The page over the jobs of one or several sweeps: sweep.html, sweep.csv and their pictures."""

from vae_experiments.sweep.page import Summary, write_sweep

__all__ = ["Summary", "write_sweep"]
