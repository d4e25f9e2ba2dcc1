"""Everything that is written for people to look at: videos, plots, the page."""

from vae_experiments.writers.pages.contact_sheets import Tile, write_gallery
from vae_experiments.writers.pages.html_page import chain_label, write_page
from vae_experiments.writers.pictures.formats import FORMATS, Copy
from vae_experiments.writers.pictures.png import write_png
from vae_experiments.writers.plots.run_plots import (
    LatentPicture,
    plot_benchmark,
    plot_latents,
    plot_metrics,
    plot_settings,
    plot_training,
)
from vae_experiments.writers.video.audio_cut import cut_sound
from vae_experiments.writers.video.clock import OutputClock
from vae_experiments.writers.video.comparison import Comparison
from vae_experiments.writers.video.player import Player
from vae_experiments.writers.video.video_file import VideoFile, open_mp4

__all__ = [
    "FORMATS",
    "Comparison",
    "Copy",
    "LatentPicture",
    "OutputClock",
    "Player",
    "Tile",
    "VideoFile",
    "chain_label",
    "cut_sound",
    "open_mp4",
    "plot_benchmark",
    "plot_latents",
    "plot_metrics",
    "plot_settings",
    "plot_training",
    "write_gallery",
    "write_page",
    "write_png",
]
