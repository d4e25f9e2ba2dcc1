"""A study: a clip's latents, or two clips', to one set of numbers and a folder."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from vae_experiments.analysis.clip_latents import Subject, encoded, saved
from vae_experiments.analysis.output import write_study
from vae_experiments.analysis.settings import Analysis
from vae_experiments.analysis.statistics import (
    Gaussian,
    channel_moments,
    correlation,
    distances,
    explained_variance,
    frame_variances,
    frechet_distance,
    gaussian,
    mean_absolute_correlation,
    mean_shifts,
    power_spectrum,
    principal_components,
)
from vae_experiments.cache import Cache
from vae_experiments.models import Bundled, Model
from vae_experiments.pipeline.second_video import SecondVideos
from vae_experiments.pipeline.steering.equivariance import TRANSFORMS, Score, measured
from vae_experiments.pipeline.steering.model_steering import steering_of
from vae_experiments.runtime.device import Device, give_threads_back
from vae_experiments.runtime.progress import Progress, announce, waiting
from vae_experiments.runtime.provenance import provenance
from vae_experiments.sources import Content, MovingCircle, Source

if TYPE_CHECKING:
    from pathlib import Path

    from vae_experiments.models import Autoencoder

log = logging.getLogger(__name__)
MEASURED = 4
"""Frames on which transforms are measured."""


@dataclass
class Study:
    """Measures the latents of a source, or of a run, and leaves numbers and pictures of them in a folder."""

    source: Source = field(default_factory=MovingCircle)
    model: Model = field(default_factory=Bundled)
    device: Device = field(default_factory=Device)
    analysis: Analysis = field(default_factory=Analysis)
    batch_size: int = 8
    command: str = ""
    """Written down with the result: what to type for this study, where it is not what started Python."""
    _turned: list[Score] = field(default_factory=list, init=False, repr=False)

    def run(self, folder: Path) -> dict[str, Any]:
        """Measure, write everything into a folder, and give what stands in its analysis.json.

        Raises:
            VaeExperimentsError: one sentence for a person; no half-written file is left.
        """
        announce("torch", "diffusers")
        origin = provenance() | ({"command": self.command} if self.command else {})
        if self.analysis.folder:
            subject, second, used = saved(self.analysis), None, dict[str, Any]()
        else:
            try:
                subject, second, used = self._encoded()
            finally:
                give_threads_back()
        for remark in subject.remarks:
            log.info("%s: %s", subject.title, remark)
        with waiting("measuring"):
            numbers = findings(subject, second)
        numbers |= {"equivariance": [asdict(row) for row in self._turned]} if self._turned else {}
        write_study(folder, subject, numbers | {"provenance": origin | used}, self.analysis.plots)
        self._conclude(numbers, folder)
        return numbers

    def _encoded(self) -> tuple[Subject, Subject | None, dict[str, Any]]:
        """Encode the source, and the second video where there is one: as large, as fast and no longer."""
        import torch

        chosen = self.device.choose()
        with waiting("loading the model"):
            autoencoder = self.model.load(chosen)
        with waiting("reading the source"):
            info, path = self.source.info, self.analysis.path
        companions = SecondVideos(info, autoencoder, self.batch_size)
        if path:
            companions.check(path, "analysis.path")
        log.info("device: %s", chosen)
        log.info("source: %s, %s at %s", self.source.title(), info.size, info.pace)
        content = Content.of(self.source)
        subject = encoded(self.source, autoencoder, self.batch_size)
        content.check()
        if self.analysis.equivariance:
            self._turned = _equivariance(subject, autoencoder)
        used = {
            "device": str(autoencoder.chosen),
            "threads": torch.get_num_threads(),
            "source_digest": content.digest,
            "weights_digest": autoencoder.weights_digest,
        }
        if not path:
            return subject, None, used
        second = encoded(companions.source(path), autoencoder, self.batch_size, len(subject.latents))
        return subject, second, used | {"other_videos_digests": companions.digests}

    def _conclude(self, numbers: dict[str, Any], folder: Path) -> None:
        correlated = numbers["mean_absolute_correlation"]
        if correlated is not None:
            log.info("correlation of two channels: %.3f on average, without its sign", correlated)
        shares = numbers["pca"]["cells"]["explained_variance"] or []
        if len(shares) > 3:
            log.info("first 3 of %d principal components: %.1f %%", len(shares), 100 * sum(shares[:3]))
        if "second" in numbers:
            second = numbers["second"]
            log.info("Frechet distance from %s: %.3f", second["title"], second["frechet_distance"])
        log.info("in %s", folder)


def _equivariance(subject: Subject, autoencoder: Autoencoder) -> list[Score]:
    """Measure every transform on a few latents of a clip, the first ones of a temporal model."""
    count, steering = len(subject.latents), steering_of(autoencoder, Cache().store())(True)
    few = range(0, count, max(1, -(-count // MEASURED)))
    latents = subject.latents[list(few)] if subject.clip.time_stride == 1 else subject.latents[:2]
    scores = []
    with Progress(len(TRANSFORMS)) as progress:
        for transform in TRANSFORMS:
            scores.append(measured(autoencoder, latents, transform, steering))
            progress.add(1)
    for score in scores:
        steered = "" if score.steered_db is None else f"steered {score.steered_db:.1f}, "
        log.info(
            "%s: plain %.1f dB, %slimit %.1f dB", score.transform, score.plain_db, steered, score.limit_db
        )
    return scores


def findings(subject: Subject, second: Subject | None = None) -> dict[str, Any]:
    """Collect the numbers of analysis.json for one clip, and for a second one beside it."""
    latents, clip = subject.latents, subject.clip
    cells = gaussian(latents)
    matrix = correlation(cells)
    components = {"cells": principal_components(cells).variances.tolist()}
    if len(latents) > 2:
        components["frames"] = frame_variances(latents)
    numbers: dict[str, Any] = {
        "title": subject.title,
        "shape": list(latents.shape),
        "width": subject.size.width,
        "height": subject.size.height,
        "fps": clip.fps,
        "stride": clip.stride,
        "time_stride": clip.time_stride,
        "first_frames": clip.first_frames,
        "latent_rate_hz": clip.rate_hz,
        "channels": channel_moments(latents),
        "correlation": matrix,
        "mean_absolute_correlation": mean_absolute_correlation(matrix),
        "pca": {
            name: {"variances": variances, "explained_variance": explained_variance(variances)}
            for name, variances in components.items()
        },
        "spectrum": power_spectrum(subject.even, clip.rate_hz),
        "distances": _motion(subject),
    }
    if second is not None:
        numbers["second"] = _beside(subject, cells, second)
    return numbers | {"remarks": _remarks(subject, second)}


def _motion(subject: Subject) -> dict[str, list[Any]]:
    """Return how far each latent is from the one before and from the first of those evenly spaced."""
    latents, first = subject.even, subject.first_even
    numbers = list(range(first + 1, first + len(latents)))
    return {
        "latent": numbers,
        "seconds": [subject.seconds(number) for number in numbers],
        "from_previous": distances(latents[1:], latents[:-1]),
        "from_first": distances(latents[1:], latents[:1].expand_as(latents[1:])),
    }


def _beside(subject: Subject, cells: Gaussian, second: Subject) -> dict[str, Any]:
    other, both = gaussian(second.latents), min(len(subject.latents), len(second.latents))
    return {
        "title": second.title,
        "shape": list(second.latents.shape),
        "seconds": [subject.seconds(number) for number in range(both)],
        "distances": distances(subject.latents[:both], second.latents[:both]),
        "mean_shifts": mean_shifts(cells, other),
        "frechet_distance": frechet_distance(cells, other),
        "spectrum": power_spectrum(second.even, second.clip.rate_hz),
    }


def _remarks(subject: Subject, second: Subject | None) -> list[str]:
    """Return in sentences what the numbers alone would not."""
    remarks, stride = list(subject.remarks), subject.clip.time_stride
    if subject.clip.begins is not None:
        remarks.append(
            "Frames last differently; the spectrum takes them as evenly spaced, at their mean rate."
        )
    if len(subject.even) < 3:
        remarks.append("There are fewer than 3 latents evenly spaced in time, and so no spectrum.")
    if subject.first_even:
        remarks.append(
            f"The first latent stands for {subject.clip.first_frames} frame and every later one for {stride}: "
            "it is left out of the spectrum and of the distances from previous and from first."
        )
    if second is not None:
        remarks += second.remarks
        remarks.append(
            f"{second.title} is read from its start, at the size and the rate of {subject.title}, and no longer. "
            "A mean shift is how far a channel's mean lies from the first video's, in their standard deviations."
        )
        if len(second.latents) < len(subject.latents):
            remarks.append(
                f"{second.title} is over after {len(second.latents)} of {len(subject.latents)} latents, "
                "and so are the distances between the two."
            )
    return remarks
