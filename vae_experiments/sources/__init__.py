"""Sources: where the frames come from."""

from vae_experiments.sources.patterns import (
    Bars,
    BouncingShapes,
    Checkerboard,
    MovingCircle,
    Pattern,
    Plasma,
    Rainbow,
)
from vae_experiments.sources.plain_file import PlainFile
from vae_experiments.sources.sound import read_sound
from vae_experiments.sources.source import Content, Sound, Source, SourceInfo
from vae_experiments.sources.video import Video
from vae_experiments.sources.video_set import Videos

__all__ = [
    "Bars",
    "BouncingShapes",
    "Checkerboard",
    "Content",
    "MovingCircle",
    "Pattern",
    "PlainFile",
    "Plasma",
    "Rainbow",
    "Sound",
    "Source",
    "SourceInfo",
    "Video",
    "Videos",
    "read_sound",
]
