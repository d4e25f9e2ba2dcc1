"""An experiment: its parts, its run, its result."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vae_experiments.cache import VIDEOS_FORMAT, Cache, RunCache
from vae_experiments.cache.comfyui_latent import RawForm
from vae_experiments.errors import SourceError
from vae_experiments.files import digest_of
from vae_experiments.manipulations import Noise, checked, lengths_differ, playing_speed
from vae_experiments.models import Bundled, load_pair
from vae_experiments.options import Option, foreign_settings, setting
from vae_experiments.pipeline.calibration import Sample, Target, calibrated
from vae_experiments.pipeline.folder_lock import reserved
from vae_experiments.pipeline.latent_source import GivenLatents, Latents, fitted
from vae_experiments.pipeline.moving_settings import MovingSettings
from vae_experiments.pipeline.optical_flows import with_kept_flows
from vae_experiments.pipeline.run_folder import WRITTEN, Output, RunFolder
from vae_experiments.pipeline.runner import stream
from vae_experiments.pipeline.second_video import clip_of
from vae_experiments.pipeline.soundtracks import chosen_song
from vae_experiments.runtime.device import Device, give_threads_back
from vae_experiments.runtime.memory import forget_peak_memory, peak_memory_bytes
from vae_experiments.runtime.progress import Progress, announce, waiting
from vae_experiments.runtime.provenance import provenance, version_of
from vae_experiments.runtime.stopwatch import Stopwatch
from vae_experiments.runtime.streams import BackgroundWriter
from vae_experiments.sources import Content, MovingCircle
from vae_experiments.writers import chain_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vae_experiments.manipulations import ChainStep, Clip
    from vae_experiments.models import Autoencoder, Model
    from vae_experiments.pipeline.calibration import Calibration
    from vae_experiments.runtime.device import DeviceChoice
    from vae_experiments.sources import Source, SourceInfo

log = logging.getLogger(__name__)
CACHED = "cached"


class Run(Option, group="run", single=True):
    """Holds the short settings that people sweep."""

    seed: int = setting("seed of every random draw", default=0, minimum=0)
    batch_size: int = setting("how many go through the network at once", default=8, minimum=1)
    timed: bool = setting("measure speed: warm up first, and take nothing from the cache", default=False)

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
    manipulations: Sequence[ChainStep] = field(default_factory=lambda: [Noise()])
    model: Model = field(default_factory=Bundled)
    device: Device = field(default_factory=Device)
    output: Output = field(default_factory=Output)
    cache: Cache = field(default_factory=Cache)
    target: Target = field(default_factory=Target)
    decoder: Model | None = None
    """Decodes in place of the model; it must take latents of the same geometry."""
    batch_size: int = 8
    timed: bool = False
    """Whether to measure speed: warm up first, and take nothing from the cache."""
    seed: int = 0
    """Written down with the result; each part that draws at random has a seed of its own."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where another video lies that a manipulation knows by a name that is not its path."""
    command: str = ""
    """Written down with the result: what to type for this run, where it is not what started Python."""
    source_digest_before: str = ""
    """Of the run that this one repeats: a source of another content gets a warning."""

    def run(self, folder: Path) -> Result:
        """Run into a folder and say what came out.

        Raises:
            VaeExperimentsError: one sentence for a person; no half-written file is left.
        """
        announce("torch", "diffusers")
        with reserved(folder, digest_of(repr(self)), WRITTEN):
            try:
                return self._run(folder)
            finally:
                give_threads_back()

    def _run(self, folder: Path) -> Result:
        watch = Stopwatch()
        with waiting("reading the source"):
            started = self._provenance()
            self.source.look_over()  # a wrong file is told of before what takes longer
        chosen = self.device.choose()
        forget_peak_memory(chosen.device)
        with waiting("loading the model"):
            autoencoder = load_pair(self.model, self.decoder, chosen)
        with waiting("reading the source"):
            fit = replace(self, source=fitted(self.source, autoencoder))
        return fit._through(autoencoder, folder, watch, started)

    def _through(
        self, autoencoder: Autoencoder, folder: Path, watch: Stopwatch, started: dict[str, Any]
    ) -> Result:
        """Take the source through a model that is there, into a folder."""
        with waiting("reading the source"):
            info = self._checked_info(autoencoder)
            clip = self._checked_clip(autoencoder)
            song = chosen_song(self.output.sound, clip, info)
        self._introduce(info, autoencoder)
        content = self._content()
        run_cache = self._run_cache(autoencoder, content)
        clip = with_kept_flows(clip, None if self.timed else self.cache.store(), content)
        if run_cache.latents.found and self.source.has_frames:
            log.info("latents: encoded before, taken from the cache")
        if self.timed:
            self._warm_up(autoencoder)
        found = self._calibrated(autoencoder, clip, run_cache, watch)
        links = found.links if found else self.manipulations
        speed, moving = _sound_speed(links, info), MovingSettings.of(links, clip)
        raw_form = RawForm(autoencoder.normalisation.undo, is_video=autoencoder.time_stride > 1)
        changes_length, has_original = lengths_differ(links), self.source.has_frames
        kept = None if song else run_cache.videos  # what is kept has the sound of the source
        what = (info, self._names(), changes_length, speed, has_original, raw_form, moving, song, kept)
        outputs = RunFolder(folder, self.output, *what)
        steps = stream(self.source, autoencoder, links, clip, self.batch_size, watch, outputs.see, run_cache)
        with outputs, Progress(info.frames) as progress, BackgroundWriter(outputs.take) as behind:
            watch.switch("write")
            for step in steps:
                behind.put(step)
                progress.add(step.frames)
            read = self._read(content, clip)
        watch.switch("finish")
        outputs.keep()
        metrics = outputs.metrics() | _strides(autoencoder) | self._models()
        metrics |= self._measured(watch, autoencoder.chosen, outputs, run_cache)
        metrics |= {"target": found.summary()} if found else {}
        outputs.finish(metrics, started | read | self._used(autoencoder, found), self._title())
        self._conclude(outputs, metrics)
        outputs.seal()
        return Result(folder, metrics)

    def _warm_up(self, autoencoder: Autoencoder) -> None:
        """Send one batch there and back: what a network does once, at its first call, is not its speed."""
        if isinstance(self.source, Latents):
            latents = iter([next(self.source.latents(autoencoder))])
        else:
            latents = autoencoder.encode([next(iter(self.source.chunks(self.batch_size)))])
        for _ in autoencoder.decode(latents, self.source.info.size):
            pass

    def _calibrated(
        self, autoencoder: Autoencoder, clip: Clip, run_cache: RunCache, watch: Stopwatch
    ) -> Calibration | None:
        """Find the strength that lies at the target, if there is one."""
        self.target.check(self.manipulations)
        if self.target.psnr_db is None:
            return None
        if not self.source.has_frames:
            raise self.target.miss("latents have no original to compare with", "leave target.psnr_db out")
        before = watch.switch("target")
        log.info("target: searching the strength that lies at %g dB", self.target.psnr_db)
        sample = Sample(
            self.source, autoencoder, clip, self.batch_size, run_cache.latents, self.target.frames
        )
        found = calibrated(self.target, self.manipulations, sample)
        log.info("target: %s", found)
        run_cache.latents = replace(run_cache.latents)  # which looks again whether they are kept
        if not run_cache.latents.found:
            log.info("target: the run encodes again, since the cache is off")
        watch.switch(before)
        return found

    def _names(self) -> list[str]:
        return [manipulation.name for manipulation in self.manipulations]

    def _title(self) -> str:
        return f"{self.source.title()} with {chain_label(self._names())}"

    def _checked_info(self, autoencoder: Autoencoder) -> SourceInfo:
        info, stride = self.source.info, autoencoder.stride
        if min(info.size) < stride:
            raise SourceError(
                f"source: a frame of {info.size} is smaller than the model needs ({stride}x{stride})",
                "set source.size, for example source.size=256",
            )
        return info

    def _checked_clip(self, autoencoder: Autoencoder) -> Clip:
        """Tell every manipulation, and the formats, of the clip before anything is written."""
        given = clip_of(self.source, autoencoder, self.batch_size, self.places, self.cache.store())
        frames = checked(self.manipulations, given).frames
        self.output.check(self.source.info, frames, videos=3 if self.manipulations else 2)
        return given

    def _introduce(self, info: SourceInfo, autoencoder: Autoencoder) -> None:
        count = "1 frame" if info.frames == 1 else f"{info.frames} frames"
        log.info("device: %s", autoencoder.chosen)
        if self.decoder:
            log.info("decoder: %s decodes what %s encodes", self.decoder.title(), self.model.title())
        tiling = (self.decoder or self.model).tiling
        log.info("tiling: %s, %s", tiling, autoencoder.tiles_of(info.size)["decode"])
        log.info("source: %s, %s of %s at %s", self.source.title(), count, info.size, info.pace)
        for remark in info.remarks:
            log.warning("source: %s", remark)
        if lengths_differ(self.manipulations):
            log.info("the length changes: frames of the same number are compared, as far as both videos go")
            if info.sound and _sound_speed(self.manipulations, info) is None:
                log.info("sound: left out of the changed video and of the comparison")
            elif info.sound:
                log.info("sound: at the speed of the changed video there, left out of the comparison")

    def _conclude(self, outputs: RunFolder, metrics: dict[str, Any]) -> None:
        for name in outputs.fidelity:
            if "psnr_db" in metrics[name]:
                found = metrics[name]["psnr_db"]
                log.info("%s: %s", outputs.label(name), "identical" if found is None else f"{found:.2f} dB")
        log.info("%.1f s, in %s", metrics["timing"]["total_seconds"], outputs.folder)

    def _measured(
        self, watch: Stopwatch, chosen: DeviceChoice, outputs: RunFolder, run_cache: RunCache
    ) -> dict[str, Any]:
        """Return the numbers that were measured; what came out of the cache is said to be, not flattered."""
        encoding, decoding, changed = (
            watch.seconds(stage) for stage in ("encode", "decode", "decode changed")
        )
        streamed = encoding + decoding + changed + watch.seconds("change") + watch.seconds("write")
        latents_cached, frames_cached = (
            run_cache.latents.found,
            run_cache.frames.found and bool(self.manipulations),
        )
        is_cached = latents_cached or frames_cached or bool(outputs.taken)
        return {
            "timing": {
                "encode_seconds": CACHED if latents_cached else encoding,
                "change_seconds": watch.seconds("change"),
                "decode_seconds": CACHED if frames_cached else decoding,
                "decode_changed_seconds": changed,
                "total_seconds": watch.total_seconds(),
                "frames_per_second": CACHED if is_cached else outputs.frames / streamed,
                **({} if self.target.psnr_db is None else {"target_seconds": watch.seconds("target")}),
            },
            "peak_memory_bytes": peak_memory_bytes(chosen.device),
            "batch_size": self.batch_size,
            "device": chosen.device.type,
            "seed": self.seed,
        }

    def _content(self) -> Content | None:
        """Take the source's digest, the one time that a run does, where anybody wants to know it."""
        is_kept = self.cache.enabled and not self.timed
        if not (is_kept or self._is_written_down or self.source_digest_before):
            return None
        content = Content.of(self.source)
        if self.source_digest_before not in ("", content.digest):
            log.warning(
                "source: other content than in the run that is repeated: digest %s now, %s in its provenance.json",
                content.digest,
                self.source_digest_before,
            )
        return content

    def _run_cache(self, autoencoder: Autoencoder, content: Content | None) -> RunCache:
        """Open the cache of all that decides the latents, and of nothing else."""
        store, run_cache = None if self.timed else self.cache.store(), RunCache()
        if store is not None and content is not None:
            what = self._what_decides(autoencoder, content)

            def still() -> bool:
                return content.is_there_still() and self._what_decides(autoencoder, content) == what

            run_cache = RunCache.of(store, what, still)
        if isinstance(self.source, Latents):
            run_cache.latents = GivenLatents(self.source, autoencoder)
        return run_cache

    def _what_decides(
        self, autoencoder: Autoencoder, content: Content
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return what decides the latents, what they are decoded to, and the files of that, as they are computed at present: there may be too little memory for what was asked for."""
        decoder, tiling = autoencoder.decoder, autoencoder.tiles_of(self.source.info.size)
        encoding = {
            "source": content.digest,
            "weights": autoencoder.weights_digest,
            "seed": self.model.seed if autoencoder.is_sampled else None,
            "numbers": autoencoder.chosen.numbers,
            "tiling": tiling["encode"],
            "plugins": [foreign_settings(option) for option in (self.source, self.model)],
            "versions": [version_of(package) for package in ("torch", "diffusers", "av")],
        }
        decoding = {
            "weights": decoder.weights_digest,
            "numbers": decoder.chosen.numbers,
            "tiling": tiling["decode"],
            "plugins": foreign_settings(self.decoder or self.model),
        }
        writing = {
            "format": VIDEOS_FORMAT,
            "metrics": self.output.metrics,
            "formats": self.output.formats,
            "versions": [version_of(package) for package in ("av", "imageio-ffmpeg", "pillow", "numpy")],
        }
        return encoding, decoding, writing

    def _models(self) -> dict[str, str]:
        """Name both models where there are two."""
        return {"model": self.model.title(), "decoder": self.decoder.title()} if self.decoder else {}

    @property
    def _is_written_down(self) -> bool:
        return self.output.provenance or self.output.report

    def _provenance(self) -> dict[str, Any]:
        if not self._is_written_down:
            return {}
        return provenance() | ({"command": self.command} if self.command else {})

    def _read(self, content: Content | None, clip: Clip) -> dict[str, Any]:
        """Return the digests of all that was read, which must still be there as it was when they were taken.

        Raises:
            SourceError: it is not, and frames may be of one content and of the other.
        """
        if content:
            content.check()
        digests = clip.digests()
        return {
            "source_digest": content.digest if content else None,
            **({"other_videos_digests": dict(digests)} if digests else {}),
        }

    def _used(self, autoencoder: Autoencoder, found: Calibration | None) -> dict[str, Any]:
        import torch

        links = found.links if found else self.manipulations
        return {
            "seed": self.seed,
            "device": str(autoencoder.chosen),
            "threads": torch.get_num_threads(),
            "weights_digest": autoencoder.weights_digest,
            **self._models(),
            **({"decoder_weights_digest": autoencoder.decoder.weights_digest} if self.decoder else {}),
            "tiling": {"asked_for": str(self.model.tiling), **autoencoder.tiles_of(self.source.info.size)},
            "manipulations": {link.name: str(link) for link in links},
            **({"target": str(found)} if found else {}),
        }


def _sound_speed(links: Sequence[ChainStep], info: SourceInfo) -> float | None:
    """Return how fast sound is played to follow a chain; None where frames would stray from it by more than one."""
    strays = any(abs(time * info.fps - number) > 1 for number, time in enumerate(info.uneven))
    return None if strays else playing_speed(links)


def _strides(autoencoder: Autoencoder) -> dict[str, int]:
    """Return what a latent stands for, for whoever reads the latents of the run later."""
    return {
        "stride": autoencoder.stride,
        "time_stride": autoencoder.time_stride,
        "first_frames": autoencoder.first_frames,
    }
