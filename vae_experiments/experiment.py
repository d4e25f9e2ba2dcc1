"""An experiment: its parts, its run, its result."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vae_experiments.companions import clip_of
from vae_experiments.device import Device
from vae_experiments.errors import SourceError
from vae_experiments.manipulations import Noise, lengths_differ
from vae_experiments.memory import forget_peak_memory, peak_memory_bytes
from vae_experiments.models import Bundled
from vae_experiments.options import Option, setting
from vae_experiments.progress import Progress
from vae_experiments.provenance import provenance
from vae_experiments.run_folder import Output, RunFolder
from vae_experiments.runner import stream
from vae_experiments.sources import MovingCircle
from vae_experiments.stopwatch import Stopwatch
from vae_experiments.threads import WriteBehind
from vae_experiments.writers import spoken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vae_experiments.device import Chosen
    from vae_experiments.manipulations import Clip, Link
    from vae_experiments.models import Autoencoder, Model
    from vae_experiments.sources import Source, SourceInfo

log = logging.getLogger(__name__)


class Run(Option, family="run", single=True):
    """Holds the short settings that people sweep."""

    seed: int = setting("seed of every random draw", default=0, minimum=0)
    batch_size: int = setting("how many go through the network at once", default=8, minimum=1)

    def address(self) -> str:
        """These are typed without a prefix: ``batch_size=4``."""
        return ""


@dataclass(frozen=True)
class Result:
    """Where a run left its files, and its numbers."""

    folder: Path
    metrics: dict[str, Any]


@dataclass
class Experiment:
    """Takes a source through an autoencoder and decodes its latents untouched and changed."""

    source: Source = field(default_factory=MovingCircle)
    manipulations: Sequence[Link] = field(default_factory=lambda: [Noise()])
    model: Model = field(default_factory=Bundled)
    device: Device = field(default_factory=Device)
    output: Output = field(default_factory=Output)
    batch_size: int = 8
    seed: int = 0
    """Written down with the result; each part that draws by chance has a seed of its own."""
    command: str = ""
    """Written down with the result: what to type for this run, where it is not what started Python."""

    def run(self, folder: Path) -> Result:
        """Run into a folder and say what came out.

        Raises:
            VaeExperimentsError: one sentence for a person; no half-written file is left.
        """
        watch = Stopwatch()
        started = self._provenance()
        chosen = self.device.choose()
        forget_peak_memory(chosen.device)
        autoencoder = self.model.load(chosen)
        info = self._checked_info(autoencoder)
        clip = self._checked_clip(autoencoder)
        outputs = RunFolder(folder, self.output, info, self._names(), lengths_differ(self.manipulations))
        self._introduce(info, chosen)
        steps = stream(self.source, autoencoder, self.manipulations, clip, self.batch_size, watch, outputs)
        with outputs, Progress(info.frames) as progress, WriteBehind(outputs.take) as behind:
            watch.switch("write")
            for step in steps:
                behind.put(step)
                progress.add(step.frames)
        watch.switch("finish")
        metrics = outputs.metrics() | self._measured(watch, chosen, outputs.frames)
        outputs.finish(metrics, started | self._used(chosen, autoencoder), self._title())
        self._conclude(folder, metrics)
        return Result(folder, metrics)

    def _names(self) -> list[str]:
        return [manipulation.name for manipulation in self.manipulations]

    def _title(self) -> str:
        return f"{self.source.title()} with {spoken(self._names())}"

    def _checked_info(self, autoencoder: Autoencoder) -> SourceInfo:
        info, stride = self.source.info, autoencoder.stride
        if min(info.size) < stride:
            raise SourceError(
                f"source: a frame of {info.size} is smaller than the model needs ({stride}x{stride})",
                "set source.size, for example source.size=256",
            )
        return info

    def _checked_clip(self, autoencoder: Autoencoder) -> Clip:
        """Tell every manipulation of the clip before anything is written."""
        given = clip = clip_of(self.source, autoencoder, self.batch_size)
        for manipulation in self.manipulations:
            manipulation.check(clip)
            clip = manipulation.after(clip)
        return given

    def _introduce(self, info: SourceInfo, chosen: Chosen) -> None:
        count = "frames" if info.frames is None else f"{info.frames} frames"
        log.info("device: %s", chosen)
        log.info("source: %s, %s of %s at %g fps", self.source.title(), count, info.size, float(info.fps))
        for remark in info.remarks:
            log.warning("source: %s", remark)
        if lengths_differ(self.manipulations):
            log.info("the length changes: frames of the same number are compared, as far as both videos go")
            if info.sound:
                log.info("sound: left out of the changed video and of the comparison")

    def _conclude(self, folder: Path, metrics: dict[str, Any]) -> None:
        for name, score in metrics.items():
            if isinstance(score, dict) and "psnr_db" in score:
                psnr = "identical" if score["psnr_db"] is None else f"{score['psnr_db']:.2f} dB"
                log.info("%s: %s", name.replace("_", " "), psnr)
        log.info("%.1f s, in %s", metrics["timing"]["total_seconds"], folder)

    def _measured(self, watch: Stopwatch, chosen: Chosen, frames: int) -> dict[str, Any]:
        streamed = sum(watch.seconds(stage) for stage in ("encode", "change", "decode", "write"))
        return {
            "timing": {
                "encode_seconds": watch.seconds("encode"),
                "change_seconds": watch.seconds("change"),
                "decode_seconds": watch.seconds("decode"),
                "total_seconds": watch.total_seconds(),
                "frames_per_second": frames / streamed,
            },
            "peak_memory_bytes": peak_memory_bytes(chosen.device),
            "batch_size": self.batch_size,
            "device": chosen.device.type,
            "seed": self.seed,
        }

    def _provenance(self) -> dict[str, Any]:
        if not (self.output.provenance or self.output.report):
            return {}
        return (
            provenance()
            | {"source_digest": self.source.digest()}
            | ({"command": self.command} if self.command else {})
        )

    def _used(self, chosen: Chosen, autoencoder: Autoencoder) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "device": str(chosen),
            "weights_digest": autoencoder.weights_digest,
            "manipulations": {manipulation.name: str(manipulation) for manipulation in self.manipulations},
        }
