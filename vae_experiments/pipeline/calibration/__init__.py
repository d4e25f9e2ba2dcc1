"""Calibrated strength: the strength at which a chain costs a given PSNR, in few decodes of few frames."""

from vae_experiments.pipeline.calibration.sample import Sample
from vae_experiments.pipeline.calibration.search import Calibration, calibrated
from vae_experiments.pipeline.calibration.target import Target

__all__ = ["Calibration", "Sample", "Target", "calibrated"]
