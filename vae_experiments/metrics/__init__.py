"""Numbers: how far a video is from the original, and what latents are like."""

from vae_experiments.metrics.fidelity import Fidelity, as_table, check_metrics, psnr_db, psnr_db_of
from vae_experiments.metrics.latent_statistics import LatentStatistics
from vae_experiments.metrics.metric import DEFAULT_METRICS, METRICS, Metric
from vae_experiments.metrics.structure import ssim

__all__ = [
    "DEFAULT_METRICS",
    "METRICS",
    "Fidelity",
    "LatentStatistics",
    "Metric",
    "as_table",
    "check_metrics",
    "psnr_db",
    "psnr_db_of",
    "ssim",
]
