"""Companions: other videos that a manipulation asks for, matched to the source and encoded as it is.

A companion is read at the source's own frame size (the centre is cropped to its shape), resampled to
its rate, or to the times of its frames where they last differently, begun again where it is shorter, and
cut where it is longer.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.errors import SettingError, SourceError, closest
from vae_experiments.manipulations import Clip
from vae_experiments.options import kinds
from vae_experiments.pipeline.listening import OtherFiles
from vae_experiments.pipeline.optical_flows import MeasuredFlows
from vae_experiments.pipeline.steering.model_steering import steering_of
from vae_experiments.sources import Content, Pattern, Source, SourceInfo, Video

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from vae_experiments.cache import Store
    from vae_experiments.models import Autoencoder
    from vae_experiments.tensors import Frames, Latents

_FINEST_RATE = 10**6


@dataclass(frozen=True)
class SecondVideos:
    """Reads and encodes the companions of one source."""

    info: SourceInfo
    autoencoder: Autoencoder
    batch_size: int
    places: Mapping[str, str] = field(default_factory=dict)
    """Where files lie that are known by another name than their path."""
    contents: dict[str, Content] = field(default_factory=dict)
    """The content of each that was looked over, by the setting that names it."""

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each that was looked over, by the setting that names it.

        Raises:
            SourceError: one has changed since.
        """
        for setting, content in self.contents.items():
            content.check(setting)
        return {setting: content.digest for setting, content in self.contents.items()}

    def check(self, path: str, setting: str) -> None:
        """Look a companion over before anything is written.

        Raises:
            SettingError: nothing is named, or neither a file nor a pattern has that name.
            SourceError: the file cannot be read.
        """
        patterns = _patterns()
        if not path.strip():
            raise SettingError(
                setting, path, "names no video", f"give a file, or one of: {', '.join(patterns)}"
            )
        is_named = path in self.places or path in patterns
        if not is_named and path.isidentifier() and not Path(path).exists():
            raise SettingError(setting, path, "no such file, and no such pattern", closest(path, patterns))
        try:
            source = self.source(path)
            _ = source.info
            self.contents[setting] = Content.of(source)
        except SourceError as error:
            raise said_of(error, setting) from error

    def source(self, path: str) -> Source:
        """Open a companion, by the name of a pattern or of a file, at the size and mean rate of the source."""
        size, fps = str(self.info.size), str(self.info.fps.limit_denominator(_FINEST_RATE))
        pattern = _patterns().get(path)
        if path not in self.places and pattern is not None:
            return pattern(size=size, fps=fps, frames=self.info.frames)
        return Video(path=self.places.get(path, path), size=size, fps=fps)

    def frames(self, path: str) -> Iterator[Frames]:
        """Return the frames of a companion without end, as large as the source's."""
        return self._endless(path)

    def latents(self, path: str) -> Iterator[Latents]:
        """Return the latents of a companion without end, encoded by the same network."""
        return self.autoencoder.encode(self._endless(path))

    def _endless(self, path: str) -> Iterator[Frames]:
        source = self.source(path)
        try:
            if source.info.frames == 1:
                # A still is decoded once, however long it is looked at.
                (still,) = source.chunks(1)
                yield from itertools.repeat(still.expand(self.batch_size, -1, -1, -1))
            if self.info.uneven:
                # A video's own times are nearer to each moment than those of a rate between.
                yield from self._in_step(replace(source, fps=None) if isinstance(source, Video) else source)
            while True:
                yield from source.chunks(self.batch_size)
        except SourceError as error:
            raise said_of(error, "another video") from error

    def _in_step(self, source: Source) -> Iterator[Frames]:
        """Give, for every frame of a clip whose frames last differently, what a companion shows at its moment."""
        import torch

        info, begins = source.info, Fraction(0)
        for first in count(0, self.batch_size):
            chunk = []
            for number in range(first, first + self.batch_size):
                moment = self.info.begins(number) % info.end
                if moment < begins or not number:
                    timed = _timed(source, self.batch_size)
                    begins, ends, frame = next(timed)
                while ends <= moment:
                    begins, ends, frame = next(timed, (begins, info.end, frame))
                chunk.append(frame)
            yield torch.stack(chunk)


def clip_of(
    source: Source,
    autoencoder: Autoencoder,
    batch_size: int,
    places: Mapping[str, str] | None = None,
    store: Store | None = None,
) -> Clip:
    """Return what manipulations may know of a source's clip; ``places`` as in ``SecondVideos``.

    In the store the steering of the model is looked for, and kept.
    """
    info = source.info
    contents: dict[str, Content] = {}
    companions = SecondVideos(info, autoencoder, batch_size, places or {}, contents)
    files = OtherFiles(info, places or {}, contents)
    clip = described(info, autoencoder)
    flows = MeasuredFlows(clip, lambda: source.chunks(batch_size), companions.frames)
    return replace(
        clip,
        latents_of=companions.latents,
        frames_of=companions.frames,
        check_path=companions.check,
        digests=lambda: companions.digests,
        source_frames=(lambda: source.chunks(batch_size)) if source.has_frames else None,
        sound_of=files.sound,
        file_of=files.path,
        check_file=files.check,
        size=info.size,
        flows=flows if source.has_frames else None,
        steering=steering_of(autoencoder, store),
        is_sampled=autoencoder.is_sampled,
        posterior_std=(lambda: autoencoder.posterior_std(source.chunks(batch_size)))
        if source.has_frames
        else None,
    )


def described(info: SourceInfo, autoencoder: Autoencoder) -> Clip:
    """Return how long a clip's frames and latents last, and of how many values they are."""
    return Clip(
        fps=float(info.fps),
        begins=info.begins if info.uneven else None,
        frames=info.frames,
        channels=autoencoder.latent_channels,
        stride=autoencoder.stride,
        time_stride=autoencoder.time_stride,
        first_frames=autoencoder.first_frames,
    )


def _timed(source: Source, batch_size: int) -> Iterator[tuple[Fraction, Fraction, Tensor]]:
    """Yield when each frame begins and ends, and the frame."""
    info, number = source.info, 0
    for frames in source.chunks(batch_size):
        for frame in frames:
            yield info.begins(number), info.begins(number + 1), frame
            number += 1


def _patterns() -> dict[str, type[Pattern]]:
    return {name: kind for name, kind in sorted(kinds("source").items()) if issubclass(kind, Pattern)}


def said_of(error: SourceError, setting: str) -> SourceError:
    """Log what the file of a second video said of itself, without the hints that only the source itself has."""
    hint = re.sub(r"(,? or )?set source\..*", "", error.hint).strip()
    return SourceError(error.problem.replace("source.path", setting, 1), hint or "give another file")
