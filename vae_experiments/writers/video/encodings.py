"""What is written into which container: H.264 in mp4, FFV1 in Matroska, ProRes in QuickTime, VP9 in WebM."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from vae_experiments.writers.video.audio import MP4_SOUND, SoundKinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vae_experiments.tensors import Size

RGB, BT709 = 0, 1
LIMITED_RANGE, FULL_RANGE = 1, 2
MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class Encoding:
    """How frames become a file of one kind."""

    name: str
    """What people call the codec."""
    codec: str
    """FFmpeg's encoder."""
    sound: SoundKinds
    """What the container takes; it is named there."""
    pixels: str
    """FFmpeg's name of the pixel format."""
    odd_pixels: str = ""
    """The pixel format where an odd width or height cannot be halved; the size is never changed."""
    options: Mapping[str, str] = field(default_factory=dict)
    """For the encoder."""
    uneven_options: Mapping[str, str] = field(default_factory=dict)
    """For the encoder, where frames last differently."""
    container_options: Mapping[str, str] = field(default_factory=dict)
    matrix: int = BT709
    colour_range: int = LIMITED_RANGE
    tick: Fraction | None = None
    """What the container counts time in; None where it takes the clock of the frames."""

    def pixel_format(self, size: Size) -> str:
        """Return the pixel format for frames of a size."""
        return self.odd_pixels if self.odd_pixels and (size.width % 2 or size.height % 2) else self.pixels


H264_MP4 = Encoding(
    "H.264",
    "libx264",
    MP4_SOUND,
    "yuv420p",
    "yuv444p",
    # Of the same frames x264's macroblock tree makes another file once in a thousand times, where it has AVX-512.
    options={"crf": "15", "preset": "veryfast", "mbtree": "0"},
    # Reordered pictures are stored by times that lag behind, as long as the first gaps were.
    uneven_options={"bf": "0"},
    container_options={"movflags": "+faststart"},
)
FFV1_MKV = Encoding(
    "FFV1",
    "ffv1",
    MP4_SOUND._replace(container="matroska"),
    "bgr0",  # RGB of 8 bits; its fourth byte is not stored
    # Version 3 with a checksum a slice (RFC 9043), as archives keep it; every frame by itself.
    options={"level": "3", "slicecrc": "1", "g": "1"},
    matrix=RGB,
    colour_range=FULL_RANGE,
    tick=MILLISECOND,
)
PRORES_MOV = Encoding(
    "ProRes",
    "prores_ks",
    SoundKinds("mov", frozenset({"aac", "mp3", "ac3", "eac3", "alac"})),
    "yuv444p10le",
    # Without the bits, noise would be quantised to the rate that the profile names for camera pictures.
    options={"profile": "4444", "vendor": "apl0", "bits_per_mb": "8192"},
)
VP9_WEBM = Encoding(
    "VP9",
    "libvpx-vp9",
    SoundKinds("webm", frozenset({"opus", "vorbis"}), "libopus", frozenset({48000}), 960),
    "yuv420p",
    "yuv444p",
    options={"crf": "20", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    tick=MILLISECOND,
)
