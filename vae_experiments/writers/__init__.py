"""Everything that is written for people to look at: videos, plots, the page."""

from vae_experiments.writers.pages.contact_sheets import SheetTile, Tile, write_gallery, write_sheet
from vae_experiments.writers.pages.html_page import chain_label, write_page
from vae_experiments.writers.pictures.format import Copy
from vae_experiments.writers.pictures.formats import FORMATS
from vae_experiments.writers.pictures.png import write_png
from vae_experiments.writers.plots.run_plots import (
    LatentPicture,
    plot_benchmark,
    plot_latents,
    plot_metrics,
    plot_training,
)
from vae_experiments.writers.plots.sweep_plots import (
    MOST_LINES,
    Measurement,
    plot_batch_sizes,
    plot_metrics_along,
    plot_metrics_by_choice,
    plot_metrics_map,
)
from vae_experiments.writers.video.audio_cut import cut_sound
from vae_experiments.writers.video.clock import OutputClock
from vae_experiments.writers.video.comparison import Comparison
from vae_experiments.writers.video.mp4 import Mp4, open_mp4
from vae_experiments.writers.video.player import Player

__all__ = [
    "FORMATS",
    "MOST_LINES",
    "Comparison",
    "Copy",
    "LatentPicture",
    "Measurement",
    "Mp4",
    "OutputClock",
    "Player",
    "SheetTile",
    "Tile",
    "chain_label",
    "cut_sound",
    "open_mp4",
    "plot_batch_sizes",
    "plot_benchmark",
    "plot_latents",
    "plot_metrics",
    "plot_metrics_along",
    "plot_metrics_by_choice",
    "plot_metrics_map",
    "plot_training",
    "write_gallery",
    "write_page",
    "write_png",
    "write_sheet",
]
