"""What a manipulation may know of the clip whose latents it changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from vae_experiments.manipulations.lookup import Extent
from vae_experiments.schedules import Timeline
from vae_experiments.tensors import Endless, Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from fractions import Fraction
    from pathlib import Path

    from torch import Tensor

    from vae_experiments.manipulations.steering import Steering
    from vae_experiments.schedules import Waveform
    from vae_experiments.tensors import Frames, Latents


class FlowReader(Protocol):
    """Measures the optical flow of a clip's frames, or of another video's."""

    def check(self, setting: str, value: object) -> None:
        """Raise the sentence about a setting that asks for flow, where none can be measured."""

    def of(self, path: str, cells: tuple[int, int], from_first: bool) -> Iterator[Tensor]:
        """Measure flow in step with latents of so many cells (h, w): chunks ``T 4 h w``, in cells.

        The first two channels lead from each place of a latent's first frame back to what it shows in the frame of
        the latent before, or of the first (in a temporal model of the first that stands for several frames); the
        last two from each place of that one to here. Both x, y, and 0 where there is no such latent.

        Args:
            path: another video, whose flow has no end; empty for the clip's own frames.
            cells: height and width of the latents.
            from_first: whether it is measured from the first one.
        """
        ...


@dataclass(frozen=True)
class Clip:
    """The clip around the latents: its times and its length, and the way to other videos' latents.

    In a temporal model a latent stands for ``time_stride`` frames, the first one of a causal model for
    one frame only.
    """

    fps: float = 25.0
    """Its rate, or mean rate."""
    frames: int | None = None
    """How many frames it has; None where only reading to the end can tell."""
    channels: int | None = None
    stride: int = 8
    """How many pixels, each way, one latent cell stands for."""
    size: Size | None = None
    """Of a frame in pixels, which may end inside the last cells; None where it ends with them."""
    time_stride: int = 1
    first_frames: int = 1
    """How many frames the first latent stands for: 1 in causal models, ``time_stride`` in others."""
    latents_of: Callable[[str], Iterator[Latents]] | None = None
    """Encodes another video, by the name of its file or of a pattern: chunks ``T C h w`` of the same
    height and width as these latents, at the same rate, without end (a shorter video begins again)."""
    frames_of: Callable[[str], Iterator[Frames]] | None = None
    """Reads another video in the same way, as frames ``T 3 H W`` of this clip's size."""
    check_path: Callable[[str, str], None] | None = None
    """Raises the sentence about another video, and the setting that named it, where it cannot be read."""
    digests: Callable[[], Mapping[str, str]] = dict
    """Gives the digests of other videos that were checked, by the setting that named each; raises the
    sentence about one that has changed since."""
    source_frames: Callable[[], Iterator[Frames]] | None = None
    """Reads the source's own frames again from the start, in chunks ``T 3 H W``."""
    sound_of: Callable[[str], Waveform] | None = None
    """Reads the sound of a file by its name from the clip's first frame on, or with no name that of the source;
    raises an ``UnheardError`` where there is none."""
    file_of: Callable[[str], Path] | None = None
    """Finds another file, such as a table, by its name; raises an ``UnheardError`` where there is none."""
    check_file: Callable[[str, str], None] | None = None
    """Takes the digest of another file that the setting names; raises the sentence about one that cannot be read."""
    posterior_std: Callable[[], Iterator[Latents]] | None = None
    """Gives the standard deviations of the encoder's posterior, in step with the latents."""
    steering: Callable[[bool], Steering | None] | None = None
    """Gives what turns the detail inside cells, and fits it to the model first where it may; None where there is
    none, or it would not help."""
    is_sampled: bool = False
    """Whether these latents are a draw from that posterior, and not its mode."""
    flows: FlowReader | None = None
    """Measures what moves where; None where there are no frames, or not the latents' own any more."""
    begins: Callable[[int], Fraction] | None = None
    """Says when a frame begins, in seconds, where they last differently; else the rate does."""

    def steered(self, steer: bool | None) -> Steering | None:
        """Return what turns the detail inside cells, as a setting asks for it; None for leaving it upright."""
        return None if steer is False or self.steering is None else self.steering(bool(steer))

    @property
    def latents(self) -> int | None:
        """How many latents the clip has."""
        if self.frames is None:
            return None
        return 1 + max(0, -(-(self.frames - self.first_frames) // self.time_stride))

    @cached_property
    def timeline(self) -> Timeline:
        """What times are measured by."""
        timeline = Timeline(
            self.fps,
            None,
            self.begins,
            self.latents,
            self.frame,
            self.sound_of,
            self.source_frames,
            self.file_of,
        )
        if self.latents is None:
            return timeline
        return replace(timeline, last_seconds=timeline.seconds(self.frame(max(self.latents - 1, 0))))

    @property
    def rate_hz(self) -> float:
        """How many latents there are in a second, on average."""
        return self.fps / self.time_stride

    @property
    def has_single_frame_first_latent(self) -> int:
        """How many latents at the start stand for fewer frames than the others: 0 or 1."""
        return int(self.first_frames < self.time_stride)

    def pixels(self, latents: Latents) -> Size:
        """Return how large a frame of these latents is."""
        height, width = latents.shape[-2:]
        return self.size or Size(width * self.stride, height * self.stride)

    def extent(self, latents: Latents) -> Extent:
        """Return how many latent cells wide and high the frame is: less than there are, where it was padded."""
        size = self.pixels(latents)
        return Extent(size.width / self.stride, size.height / self.stride)

    def frame(self, latent: int) -> int:
        """Return the number of the first frame that a latent stands for."""
        return self.first_frames + (latent - 1) * self.time_stride if latent else 0

    def seconds(self, latent: int) -> float:
        """Return when the first frame that a latent stands for begins."""
        return self.timeline.seconds(self.frame(latent))

    def latent(self, frame: int) -> int:
        """Return the number of the latent that stands for a frame."""
        return 0 if frame < self.first_frames else 1 + (frame - self.first_frames) // self.time_stride

    def of_length(self, latents: int) -> Clip:
        """Return the same clip with so many latents."""
        return self if self.latents == latents else replace(self, frames=self.frame(latents))

    def second(self, path: str) -> Endless:
        """Read the latents of another video as one stream without end."""
        assert self.latents_of is not None, "this clip knows no way to another video"
        return Endless(self.latents_of(path))
