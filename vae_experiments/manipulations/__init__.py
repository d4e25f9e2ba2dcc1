"""Manipulations: small classes, latents in, latents out, grouped by what they disturb."""

from vae_experiments.manipulations.chains import chain, lengths_differ, outcome
from vae_experiments.manipulations.channels import (
    ChannelBias,
    ChannelGain,
    ChannelMute,
    ChannelShuffle,
    ClampOutliers,
    Invert,
    Truncation,
)
from vae_experiments.manipulations.clip import Clip
from vae_experiments.manipulations.frequency import FrequencyFilter, PhaseSwap
from vae_experiments.manipulations.manipulation import Link, Manipulation, WholeClip
from vae_experiments.manipulations.motion import (
    MotionGain,
    MotionMagnify,
    MotionTransfer,
    StyleSwap,
    TemporalBand,
)
from vae_experiments.manipulations.retiming import Retime
from vae_experiments.manipulations.slit_scan import SlitScan
from vae_experiments.manipulations.space import Blur, ErodeDilate, Flip, Mosaic, Sharpen
from vae_experiments.manipulations.statistics import Adain, PcaDirection, PcaTruncate, Whiten
from vae_experiments.manipulations.stochastic import (
    Dropout,
    Noise,
    PosteriorTemperature,
    Quantize,
    VariancePreservingNoise,
)
from vae_experiments.manipulations.strengths import weakened
from vae_experiments.manipulations.temporal import (
    Echo,
    Freeze,
    Loop,
    Reverse,
    ShuffleFrames,
    TemporalSharpen,
    TemporalSmooth,
)
from vae_experiments.manipulations.textures import FractalNoise, PyramidNoise
from vae_experiments.manipulations.two_videos import Arithmetic, Blend, Interpolate
from vae_experiments.manipulations.warps import Rotate, Shift, Wave, Zoom
from vae_experiments.manipulations.weights import Bend

__all__ = [
    "Adain",
    "Arithmetic",
    "Bend",
    "Blend",
    "Blur",
    "ChannelBias",
    "ChannelGain",
    "ChannelMute",
    "ChannelShuffle",
    "ClampOutliers",
    "Clip",
    "Dropout",
    "Echo",
    "ErodeDilate",
    "Flip",
    "FractalNoise",
    "Freeze",
    "FrequencyFilter",
    "Interpolate",
    "Invert",
    "Link",
    "Loop",
    "Manipulation",
    "Mosaic",
    "MotionGain",
    "MotionMagnify",
    "MotionTransfer",
    "Noise",
    "PcaDirection",
    "PcaTruncate",
    "PhaseSwap",
    "PosteriorTemperature",
    "PyramidNoise",
    "Quantize",
    "Retime",
    "Reverse",
    "Rotate",
    "Sharpen",
    "Shift",
    "ShuffleFrames",
    "SlitScan",
    "StyleSwap",
    "TemporalBand",
    "TemporalSharpen",
    "TemporalSmooth",
    "Truncation",
    "VariancePreservingNoise",
    "Wave",
    "Whiten",
    "WholeClip",
    "Zoom",
    "chain",
    "lengths_differ",
    "outcome",
    "weakened",
]
