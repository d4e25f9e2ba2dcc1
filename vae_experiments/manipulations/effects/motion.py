"""Manipulations of motion: how latents move about their mean, their first frame, or another video's.

On a temporal model they leave the first latent, which stands for one frame, as it is, and take the
rest for the clip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.manipulations.effects.displacement import check_flow, displaced, filled, meets, with_flow
from vae_experiments.manipulations.effects.mixing import SecondVideoManipulation
from vae_experiments.manipulations.effects.space import each_frames
from vae_experiments.manipulations.lookup import looked_up, places
from vae_experiments.manipulations.manipulation import Manipulation, WholeClip
from vae_experiments.options import Choice, Scheduled, setting
from vae_experiments.tensors import numbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents

FINER = 4
"""Even moments for each latent at most, where latents last differently."""


class By(Choice):
    """What motion is, of latents."""

    linear = "the way of each latent value: light changes around outlines that stay where they are"
    flow = "the way of what moves, by the optical flow of the frames"


class MotionGain(WholeClip):
    """Widens or calms all motion about the clip's mean picture; 0 freezes it.

    ``m + gain * (z - m)`` with ``m`` the mean over time of each latent value. ``by=flow`` does so with places:
    what the first frame shows at ``q`` goes its mean way from there, and ``gain`` times its way from that. What is
    uncovered is filled from the first latent, or from around it. Holds all latents of the clip.
    """

    keeps_first_latent = True
    gallery_values = ("gain", (0, 0.5, 2))

    gain: Scheduled = setting("factor on the way from the mean: 0 freezes, 1 changes nothing", default=2.0)
    by: By = setting("what motion is: linear, or flow, which needs vae_experiments[flow]", default=By.linear)

    def check(self, clip: Clip) -> None:
        """Look whether there is a flow to go by."""
        super().check(clip)
        _check(self, self.by, clip)

    def whole(self, latents: Latents, clip: Clip) -> Latents:
        """Stretch the way from the mean over time."""
        if self.by is By.flow:
            return self._moved(latents, clip)
        mean = latents.mean(0, keepdim=True)
        return mean + self.gain * (latents - mean)

    def _moved(self, latents: Latents, clip: Clip) -> Latents:
        """Stretch each place's way from its mean way."""
        import torch

        alone = clip.has_single_frame_first_latent
        # The first latent of a temporal model has no way; that it stands for another one here does not matter.
        counted = torch.cat([latents[:alone], latents])
        flows = torch.stack([flow for _, _, flow in with_flow([counted], clip, from_first=True)])[alone:]
        mean, gains = flows[:, 2:].mean(0), each_frames(self.gain, len(latents))
        return torch.stack(
            [_along(*each, latents[0], mean) for each in zip(latents, flows, gains, strict=True)]
        )


class Reference(Choice):
    """What motion is measured from."""

    first = "first"
    previous = "previous"


class MotionMagnify(Manipulation):
    """Exaggerates what has moved since the first frame, or since the frame before.

    ``r + gain * (z - r)`` with ``r`` the first latent or the one before (the linear form of Oh et al.
    2018, Learning-based Video Motion Magnification). ``by=flow`` does so with places: what has moved since then goes
    ``gain`` times as far. What is uncovered is filled from r, or from around it.
    """

    gallery_values = ("gain", (1.5, 2.5, 4))

    gain: Scheduled = setting("factor on the way from the reference: 1 changes nothing", default=2.0)
    reference: Reference = setting(
        "measure motion from the first latent or the previous one", default=Reference.first
    )
    by: By = setting("what motion is: linear, or flow, which needs vae_experiments[flow]", default=By.linear)

    def check(self, clip: Clip) -> None:
        """Look whether there is a flow to go by."""
        super().check(clip)
        _check(self, self.by, clip)

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Keep the first latent, or the last one of the chunk before."""
        import torch

        if self.by is By.flow:
            yield from self._moved(chunks, clip)
            return
        reference: Latents | None = None
        for at, latents in numbered(chunks):
            start, rest = latents.tensor_split([max(0, clip.has_single_frame_first_latent - at)])
            if len(rest):
                gain = self.during(at + len(start), len(rest), clip).gain
                before = reference = rest[:1] if reference is None else reference
                if self.reference is Reference.previous:
                    before, reference = torch.cat([reference, rest[:-1]]), rest[-1:]
                rest = before + gain * (rest - before)
            yield torch.cat([start, rest])

    def _moved(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Send what each latent shows on along its way."""
        is_from_first = self.reference is Reference.first
        reference: Latents | None = None
        for at, latent, flow in with_flow(chunks, clip, is_from_first):
            if reference is None:
                yield latent[None]
            else:
                (gain,) = each_frames(self.during(at, 1, clip).gain, 1)
                yield _along(latent, flow, gain, reference)[None]
            if at >= clip.has_single_frame_first_latent and (reference is None or not is_from_first):
                reference = latent


class MotionTransfer(SecondVideoManipulation):
    """Moves the first frame by the motion of another video.

    What changes there is added here, light and dark: of two real clips that is a double exposure more
    than a motion. ``z_0 + gain * (o_t - o_0)`` with ``o`` the other video's latents (the relative motion of Siarohin et
    al. 2019, First Order Motion Model, in latents instead of key points). ``by=flow`` sends each place ``gain`` times the
    way that the other video's optical flow has gone from there, and fills what is uncovered from around it.
    """

    gallery_values = ("gain", (0.3, 0.6, 1))

    gain: Scheduled = setting("factor on the other video's motion: 0 is none", default=1.0)
    by: By = setting("what motion is: linear, or flow, which needs vae_experiments[flow]", default=By.linear)

    def check(self, clip: Clip) -> None:
        """Look whether there is a flow to go by."""
        super().check(clip)
        _check(self, self.by, clip)

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Keep the first latent of both videos and read them side by side."""
        if self.by is By.flow:
            yield from self._moved(chunks, clip)
            return
        alone, others = clip.has_single_frame_first_latent, clip.second(self.path)
        first: tuple[Latents, Latents] | None = None
        for at, latents in numbered(latent[None] for chunk in chunks for latent in chunk):
            other = others.take(1)
            if at < alone:
                yield latents
                continue
            first = first or (latents, other)
            yield first[0] + self.during(at, 1, clip).gain * (other - first[1])

    def _moved(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Send what the first latent shows along the other video's way."""
        still: Latents | None = None
        for at, latent, flow in with_flow(chunks, clip, from_first=True, path=self.path):
            if at < clip.has_single_frame_first_latent:
                yield latent[None]
                continue
            still = latent if still is None else still
            (gain,) = each_frames(self.during(at, 1, clip).gain, 1)
            yield filled(displaced(still, gain * flow[2:]))[None]


class StyleSwap(WholeClip, SecondVideoManipulation):
    """Keeps this video's motion and takes the mean picture of another.

    ``mean(o) + z - mean(z)``, means over time of each latent value, of the other video over as many
    latents as this clip has (after VidTwin's split of structure and dynamics, Wang et al. 2024, with the
    mean in place of a learned split). Holds all latents of the clip.
    """

    keeps_first_latent = True

    def whole(self, latents: Latents, clip: Clip) -> Latents:
        """Swap the means over time."""
        others = clip.second(self.path)
        if clip.has_single_frame_first_latent:
            others.take(1)
        other = others.take(len(latents))
        return other.mean(0, keepdim=True) + latents - latents.mean(0, keepdim=True)


class TemporalBand(WholeClip):
    """Amplifies or calms changes of a certain speed, between two frequencies in Hz.

    ``z + (gain - 1) * band(z)``; the band is cut out by a Fourier transform over time of the clip
    followed by its mirror image, so that its end need not fit its beginning; what does not change stays
    (after Wu et al. 2012, Eulerian Video Magnification). Where frames last differently, the band is cut out of
    the straight lines between them. Holds all latents of the clip.
    """

    keeps_first_latent = True
    gallery_values = ("gain", (0, 2, 4))

    gain: Scheduled = setting("factor on the changes in the band: 1 changes nothing", default=3.0)
    low_hz: float = setting("slowest change of the band", default=0.5, unit="Hz", minimum=0)
    high_hz: float = setting("fastest change of the band", default=3.0, unit="Hz", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low_hz > self.high_hz:
            raise self.error_for("low_hz", f"must be at most {self.address()}.high_hz={self.high_hz:g}")

    def whole(self, latents: Latents, clip: Clip) -> Latents:
        """Cut out the band and add it once more."""
        band = self._band(latents, clip.rate_hz) if clip.begins is None else self._uneven_band(latents, clip)
        changed: Latents = latents + (self.gain - 1) * band
        return changed

    def _band(self, latents: Latents, rate_hz: float) -> Latents:
        import torch

        count = len(latents)
        mirrored = torch.cat([latents, latents.flip(0)])
        spectrum = torch.fft.rfft(mirrored, dim=0)
        hertz = torch.fft.rfftfreq(2 * count, 1 / rate_hz)
        inside = (hertz >= self.low_hz - 1e-9) & (hertz <= self.high_hz + 1e-9) & (hertz > 0)
        band: Latents = torch.fft.irfft(spectrum * inside[:, None, None, None], n=2 * count, dim=0)[:count]
        return band

    def _uneven_band(self, latents: Latents, clip: Clip) -> Latents:
        """Take latents that last differently to even moments, straight between neighbours, and the band back."""
        import torch

        first, count = clip.has_single_frame_first_latent, len(latents)
        moments = torch.tensor([clip.seconds(first + number) for number in range(count)], dtype=torch.float64)
        gaps, lasts = moments.diff(), float(moments[-1] - moments[0])
        if not lasts:
            return torch.zeros_like(latents)
        finest = 1 + round(lasts / float(gaps[gaps > 0].min()))
        even = torch.linspace(
            float(moments[0]), float(moments[-1]), min(finest, FINER * count), dtype=moments.dtype
        )
        band = self._band(_between(latents, moments, even), (len(even) - 1) / lasts)
        return _between(band, even, moments)


def _between(latents: Latents, moments: Tensor, wanted: Tensor) -> Latents:
    """Look latents of some moments up at others between them."""
    import torch

    after = torch.searchsorted(moments, wanted).clamp(1, len(moments) - 1)
    early, late = moments[after - 1], moments[after]
    share = ((wanted - early) / (late - early).clamp(min=1e-12)).clamp(0, 1).float()
    return torch.lerp(latents[after - 1], latents[after], share.reshape(-1, 1, 1, 1))


def _check(step: Manipulation, by: By, clip: Clip) -> None:
    if by is By.flow:
        check_flow(step, "by", clip)


def _along(frame: Tensor, flow: Tensor, gain: float, reference: Tensor, mean: Tensor | None = None) -> Tensor:
    """Send what a frame ``C h w`` shows so that its way from the reference's mean way is ``gain`` times as long.

    What is uncovered is filled from the reference. The flow is ``4 h w``, the mean way ``2 h w``.
    """
    back, onward = flow[:2], flow[2:]
    mean = onward * 0 if mean is None else mean
    x, y = places(frame)
    # What the reference hides has no place there, and no mean way that anybody knows: most go the usual one.
    usual = mean.flatten(1).median(1).values[:, None, None]
    own_mean = looked_up(mean, x + back[0], y + back[1]).where(meets(flow), usual)
    moved = displaced(frame, (gain - 1) * (-back - own_mean))
    if moved.covered.all():
        return moved.latents
    return filled(moved, displaced(reference, mean + gain * (onward - mean)))
