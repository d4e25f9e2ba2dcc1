"""Everything that is written for people to look at: videos, plots, the page."""

from vae_experiments.writers.pages.contact_sheet import Tile, write_gallery
from vae_experiments.writers.pages.run_report import chain_label, write_report
from vae_experiments.writers.pages.sweep_contact_sheet import Sheet, SheetTile, write_sheet
from vae_experiments.writers.pages.sweep_report import Card, Cell, Plot, Row, SweepPage, write_sweep_page
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
from vae_experiments.writers.plots.sweep_heatmap import plot_metrics_map
from vae_experiments.writers.plots.sweep_plots import (
    MOST_LINES,
    Measurement,
    plot_batch_sizes,
    plot_metrics_along,
    plot_metrics_by_choice,
)
from vae_experiments.writers.video.audio_cut import cut_sound
from vae_experiments.writers.video.clock import OutputClock
from vae_experiments.writers.video.comparison import Comparison
from vae_experiments.writers.video.mp4 import Mp4, open_mp4
from vae_experiments.writers.video.player import Player

__all__ = [
    "FORMATS",
    "MOST_LINES",
    "Card",
    "Cell",
    "Comparison",
    "Copy",
    "LatentPicture",
    "Measurement",
    "Mp4",
    "OutputClock",
    "Player",
    "Plot",
    "Row",
    "Sheet",
    "SheetTile",
    "SweepPage",
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
    "write_png",
    "write_report",
    "write_sheet",
    "write_sweep_page",
]
