"""Manipulations: small classes, latents in, latents out, grouped by what they disturb."""

from vae_experiments.manipulations.chain import chain, lengths_differ, outcome, playing_speed
from vae_experiments.manipulations.clip import Clip
from vae_experiments.manipulations.effects.channels import (
    ChannelBias,
    ChannelGain,
    ChannelMute,
    ChannelShuffle,
    ClampOutliers,
    Invert,
    Truncation,
)
from vae_experiments.manipulations.effects.frequency import FrequencyFilter, PhaseSwap
from vae_experiments.manipulations.effects.mixing import Arithmetic, Blend, Interpolate
from vae_experiments.manipulations.effects.motion import (
    MotionGain,
    MotionMagnify,
    MotionTransfer,
    StyleSwap,
    TemporalBand,
)
from vae_experiments.manipulations.effects.network_bending import Bend
from vae_experiments.manipulations.effects.slit_scan import SlitScan
from vae_experiments.manipulations.effects.space import Blur, ErodeDilate, Flip, Mosaic, Sharpen
from vae_experiments.manipulations.effects.statistics import Adain, PcaDirection, PcaTruncate, Whiten
from vae_experiments.manipulations.effects.stochastic import (
    Dropout,
    Noise,
    PosteriorTemperature,
    Quantize,
    VariancePreservingNoise,
)
from vae_experiments.manipulations.effects.temporal import (
    Echo,
    Freeze,
    Loop,
    Reverse,
    ShuffleFrames,
    TemporalSharpen,
    TemporalSmooth,
)
from vae_experiments.manipulations.effects.textures import FractalNoise, PyramidNoise
from vae_experiments.manipulations.effects.time_remap import Retime
from vae_experiments.manipulations.effects.warps import Rotate, Shift, Wave, Zoom
from vae_experiments.manipulations.manipulation import ChainStep, Manipulation, WholeClip
from vae_experiments.manipulations.strength import weakened

__all__ = [
    "Adain",
    "Arithmetic",
    "Bend",
    "Blend",
    "Blur",
    "ChainStep",
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
    "playing_speed",
    "weakened",
]
