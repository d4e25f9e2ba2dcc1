"""Slow motion and speed-up: the one manipulation that changes how long a clip is."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from vae_experiments.manipulations.effects.mixing import slerp
from vae_experiments.manipulations.manipulation import ChainStep
from vae_experiments.options import Choice, Scheduled, setting
from vae_experiments.schedules import parse_schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents

FEW = 32
log = logging.getLogger(__name__)


class Between(Choice):
    """How a moment between two latents is made."""

    lerp = "lerp"
    slerp = "slerp"
    hold = "hold"


class Retime(ChainStep):
    """Plays the clip slower or faster, its sound at the same pitch: the changed video gets more or fewer frames.

    A clip of T latents becomes T / speed latents (rounded), those of the moments 0, speed, 2 speed, ...;
    a scheduled speed is that of the moment of the clip that is being shown. On a temporal model the
    first latent, which stands for one frame, stays, and the rest is retimed. ``strength`` s plays at
    ``speed ** s``. The frames that come out have no times of their own: where the clip's last differently,
    they follow each other at its mean rate. A scheduled speed leaves the changed video without sound, and so
    do frames that would stray from their sound by more than one. Holds all latents of the clip.
    """

    needs_whole_clip = True
    changes_length = True
    gallery_values = ("speed", (0.5, 1.5, 3))

    speed: Scheduled = setting("0.5 is half as fast and twice as long", default=0.5, minimum=0.05, maximum=20)
    between: Between = setting("how a moment between two latents is made", default=Between.slerp)
    strength: float = setting(
        "how much of it: 0 is the clip's own speed", default=1.0, minimum=0, maximum=1, for_every_kind=True
    )

    @property
    def playing_speed(self) -> float | None:
        """How many times as fast the clip plays afterwards; None where a schedule decides."""
        return None if isinstance(self.speed, str) else float(self.speed**self.strength)

    def after(self, clip: Clip) -> Clip:
        """Return the clip as many latents as will come out."""
        clip = replace(clip, flows=None)
        if clip.latents is None:
            return clip
        alone = clip.has_single_frame_first_latent
        return replace(
            clip,
            frames=self._frames(clip.latents - alone, clip),
            begins=None,
            source_frames=None,
            sound_of=None,
        )

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Wait for all of the clip and give it at its new speed."""
        import torch

        latents = torch.cat(list(chunks))
        clip, alone = clip.of_length(len(latents)), clip.has_single_frame_first_latent
        frames = self._frames(len(latents) - alone, clip)
        moments = self._moments(len(latents) - alone, clip)[: -(-(frames - alone) // clip.time_stride)]
        log.info("%s: %d latents become %d", self.name, len(latents), alone + len(moments))
        if alone:
            yield latents[:1]
        # A few at a time: what slerp needs in between is many times what comes out.
        for few in torch.split(torch.tensor(moments, dtype=torch.float64), FEW):
            if len(few):
                yield self._at(few, latents[alone:])

    def _moments(self, count: int, clip: Clip) -> list[float]:
        """List the moments, in latents from 0, that ``count`` latents are shown at."""
        moments, moment = [], 0.0
        while moment <= count - (speed := self._speed_at(moment, clip)) / 2:
            moments.append(min(moment, count - 1))
            moment += speed
        # Not all of a clip can be skipped: one latent stays, where the first one does not anyway.
        return moments or [0.0][: count * (1 - clip.has_single_frame_first_latent)]

    def _frames(self, count: int, clip: Clip) -> int:
        """Return how many frames ``count`` latents become; those that only fill the last group are not counted."""
        alone = clip.has_single_frame_first_latent
        filling = alone + count * clip.time_stride - (clip.frames or 0)
        lost = round(filling / self._speed_at(count - 1, clip)) if count else 0
        return max(1, alone + len(self._moments(count, clip)) * clip.time_stride - lost)

    def _speed_at(self, moment: float, clip: Clip) -> float:
        speed: float | str = self.speed
        if isinstance(speed, str):
            frame = clip.frame(clip.has_single_frame_first_latent) + moment * clip.time_stride
            speed = parse_schedule(speed).at(clip.timeline.seconds(frame), clip.timeline)
        return float(speed**self.strength)

    def _at(self, moments: Latents, latents: Latents) -> Latents:
        """Look up latents at moments, which may lie between two of them."""
        import torch

        earlier = moments.floor().long()
        if self.between is Between.hold:
            return latents[earlier]
        first, second = latents[earlier], latents[(earlier + 1).clamp(max=len(latents) - 1)]
        share = (moments - earlier).float().reshape(-1, 1, 1, 1)
        mixed = (
            slerp(first, second, share) if self.between is Between.slerp else torch.lerp(first, second, share)
        )
        return torch.where(share == 0, first, mixed)
