"""Everything that is written for people to look at: videos, plots, the page."""

from vae_experiments.writers.comparison import Comparison
from vae_experiments.writers.gallery import Tile, write_gallery
from vae_experiments.writers.mp4 import Mp4, open_mp4
from vae_experiments.writers.plots import (
    LatentPicture,
    plot_benchmark,
    plot_latents,
    plot_metrics,
    plot_training,
)
from vae_experiments.writers.report import spoken, write_report

__all__ = [
    "Comparison",
    "LatentPicture",
    "Mp4",
    "Tile",
    "open_mp4",
    "plot_benchmark",
    "plot_latents",
    "plot_metrics",
    "plot_training",
    "spoken",
    "write_gallery",
    "write_report",
]
