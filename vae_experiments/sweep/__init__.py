"""The page over the jobs of one or several sweeps: sweep.html, sweep.csv and their pictures."""

from vae_experiments.sweep.report import Summary, run_sweep, write_sweep

__all__ = ["Summary", "run_sweep", "write_sweep"]
