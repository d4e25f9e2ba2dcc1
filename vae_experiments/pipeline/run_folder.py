"""The run folder: what a run leaves behind, each file whole or absent, their digests last."""

from __future__ import annotations

import functools
import logging
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_experiments.cache import KeptFiles
from vae_experiments.cache.latent_files import CHANGED, ENCODED, LatentFolder
from vae_experiments.errors import SettingError, closest
from vae_experiments.files import SUMS, write_json, write_sums, write_text
from vae_experiments.manipulations import joined_names
from vae_experiments.metrics import (
    DEFAULT_METRICS,
    METRICS,
    Fidelity,
    LatentStatistics,
    as_table,
    check_metrics,
    psnr_db,
)
from vae_experiments.metrics.latent_statistics import REACH
from vae_experiments.options import Option, setting
from vae_experiments.pipeline.folder_lock import FAILURE
from vae_experiments.pipeline.moving_settings import PICTURE, MovingSettings
from vae_experiments.pipeline.soundtracks import Soundtracks
from vae_experiments.runtime.progress import waiting
from vae_experiments.tensors import in_common, to_pixels
from vae_experiments.writers import (
    FORMATS,
    Comparison,
    LatentPicture,
    OutputClock,
    open_mp4,
    plot_latents,
    plot_metrics,
    write_page,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from fractions import Fraction

    from vae_experiments.cache.comfyui_latent import RawForm
    from vae_experiments.pipeline.runner import Step
    from vae_experiments.sources import SourceInfo
    from vae_experiments.tensors import Latents, Size
    from vae_experiments.writers import Copy, VideoFile

log = logging.getLogger(__name__)
FINISHED, TABLE = "metrics.json", "metrics.csv"
ORIGINAL, RECONSTRUCTED, COMPARISON = "original", "reconstructed", "comparison"
LATENTS = "latents"
PICTURES = {"Latents": "latents.png", "Settings over time": PICTURE, "Over time": "metrics.png"}
"""Of the report, by their titles."""
WRITTEN = (
    *("original.mp4", "reconstructed.mp4", "reconstructed_with_*.mp4", "comparison.mp4", LATENTS),
    *("metrics.json", "metrics.csv", "metrics.png", "latents.png", PICTURE, "provenance.json", "report.html"),
    *(SUMS, FAILURE),
    *(
        f"{name}{kind.suffix}"
        for kind in FORMATS.values()
        for name in (RECONSTRUCTED, f"{RECONSTRUCTED}_with_*")
    ),
    *(f"{COMPARISON}{kind.suffix}" for kind in FORMATS.values() if kind.takes_comparison),
)
"""Every name that some run writes into its folder, as patterns."""


class Output(Option, group="output", single=True):
    """Chooses the files of the run folder; the videos and metrics.json are always there."""

    comparison: bool = setting("comparison.mp4, the videos side by side", default=True)
    table: bool = setting("metrics.csv, one row a frame", default=True)
    pictures: bool = setting("latents.png, metrics.png and settings.png", default=True)
    report: bool = setting("report.html, all of it on one page", default=True)
    provenance: bool = setting("provenance.json, all that it takes to repeat the run", default=True)
    latents: bool = setting(
        "latents/, the encoded and the changed latents, as ComfyUI's .latent too", default=False
    )
    metrics: list[str] = setting(
        f"the numbers that say how far a video is from the original: {', '.join(METRICS)}",
        default=list(DEFAULT_METRICS),
    )
    sound: str = setting("a file whose sound is laid under the videos in place of the source's", default="")
    formats: list[str] = setting(
        f"what the decoded videos are written as beside mp4: {', '.join(FORMATS)}", default=[]
    )

    def __post_init__(self) -> None:
        """Check the names of the metrics and of the formats; see the base class."""
        super().__post_init__()
        check_metrics(self.metrics)
        for name in self.formats:
            if name not in FORMATS:
                raise self._refusal(f"there is no {name}", closest(str(name), FORMATS))

    def check(self, info: SourceInfo, frames: int | None, videos: int) -> None:
        """Look, before any work, whether the clip fits the metrics and the formats that were asked for.

        Args:
            info: of the source.
            frames: how many the changed video has, as far as that is known.
            videos: how many there are beside each other in the comparison.

        Raises:
            SettingError: it is too small for a metric, or too long or too large for a format.
        """
        check_metrics(self.metrics, info.size)
        if not self.formats:
            return
        longest, sizes = max(info.frames, frames or 0), [info.size] * (videos - 1)
        if self.comparison:
            sizes.append(Comparison(info.size, [""] * videos).size)
        largest = max(sizes, key=max)
        held_bytes = sum(size.width * size.height * 3 * longest for size in sizes)
        clock = OutputClock(info.fps, info.uneven)
        for name in self.formats:
            if problem := FORMATS[name].obstacle(largest, clock, longest, held_bytes):
                hint = "set source.frames or source.size, or take png, which has no limit"
                raise self._refusal(problem, hint)

    def _refusal(self, rule: str, hint: str) -> SettingError:
        return SettingError("output.formats", f"[{','.join(map(str, self.formats))}]", rule, hint)


class RunFolder:
    """Takes the chunks of a run as they come and writes videos, numbers and pictures of them.

    A context manager: the videos appear when the block ends without an error. ``finish`` then
    writes the rest. Where lengths differ, ``speed`` is how fast the sound of the changed video is played;
    None leaves it out.
    """

    def __init__(
        self,
        folder: Path,
        wants: Output,
        info: SourceInfo,
        names: Sequence[str],
        lengths_differ: bool = False,
        speed: float | None = None,
        has_original: bool = True,
        raw_form: RawForm | None = None,
        settings: MovingSettings | None = None,
        song: Path | None = None,
        kept: KeptFiles | None = None,
    ) -> None:
        self.folder, self.wants, self.info = folder, wants, info
        self.lengths_differ, self.speed, self._raw_form = lengths_differ, speed, raw_form
        self.settings, self._soundtracks = settings or MovingSettings(), Soundtracks(info, song)
        self.changed_name = f"{RECONSTRUCTED}_with_{joined_names(names)}" if names else None
        self._changed_label = f"{RECONSTRUCTED} with {' + '.join(names).replace('_', ' ')}"
        self._shown = [name for name in (ORIGINAL, RECONSTRUCTED, self.changed_name) if name]
        if not has_original:
            self._shown.remove(ORIGINAL)
        self.reference = self._shown[0]
        self.fidelity = {name: Fidelity(wants.metrics, info.fps) for name in self._shown[1:]}
        self.latents = {ENCODED: LatentStatistics()} | ({CHANGED: LatentStatistics()} if names else {})
        self.frames = 0
        # Several videos carry the same sound, and meet the same in it.
        self._say_once = functools.cache(log.warning)
        self._videos: dict[str, VideoFile] = {}
        self._copies: dict[str, list[Copy]] = {}
        self._kept = kept if kept and names else KeptFiles()
        self.taken: list[str] = []
        """Files that another run made of the same frames."""
        self._latent_folder: LatentFolder | None = None
        self._squared_change, self._values = 0.0, 0

    def label(self, name: str) -> str:
        """Name a video for a person: ``reconstructed with motion gain + noise``."""
        return self._changed_label if name == self.changed_name else name

    def __enter__(self) -> RunFolder:
        with ExitStack() as opened:
            sounds, fps = self._sounds(opened), self.info.fps
            sizes = dict.fromkeys(self._shown, self.info.size)
            if self.wants.comparison:
                self._comparison = Comparison(self.info.size, [self.label(name) for name in self._shown])
                sizes[COMPARISON] = self._comparison.size
            if given := opened.enter_context(self._kept.copied_into(self.folder)):
                self.taken = given["files"]
                for name, numbers in given["fidelity"].items():
                    self.fidelity[name].take_kept(numbers)
            for name, size in sizes.items():
                if f"{name}.mp4" in self.taken:
                    continue
                path, times = self.folder / f"{name}.mp4", self._times(name)
                video = open_mp4(path, size, fps, sounds[name], times, self._say_once)
                self._videos[name] = opened.enter_context(video)
                copies = self._open_copies(name, size, sounds[name])
                self._copies[name] = [opened.enter_context(copy) for copy in copies]
            for fidelity in self.fidelity.values():
                opened.enter_context(fidelity)
            if self.wants.latents:
                self._latent_folder = opened.enter_context(
                    LatentFolder(self.folder / LATENTS, self._raw_form)
                )
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._opened.__exit__(*failure)

    def take(self, step: Step) -> None:
        """Write and measure the next chunk of every video."""
        names = (ORIGINAL, RECONSTRUCTED, self.changed_name or "")
        chunks = zip(names, (step.original, step.reconstructed, step.changed), strict=True)
        pixels = {name: to_pixels(frames) for name, frames in chunks if frames is not None}
        for name, fidelity in self.fidelity.items():
            if name in self._videos:
                fidelity.update(*in_common(pixels, self.reference, name))
        if self.changed_name:
            untouched, changed = in_common(pixels, RECONSTRUCTED, self.changed_name)
            self._squared_change += float(((untouched.astype("int32") - changed) ** 2).sum())
            self._values += changed.size
        if self.wants.comparison:
            pixels[COMPARISON] = self._comparison.lay_out([pixels.get(name) for name in self._shown])
        for name, video in self._videos.items():
            if name in pixels:
                video.write(pixels[name])
                for copy in self._copies[name]:
                    copy.write(pixels[name])
        self.frames += step.frames

    def see(self, name: str, latents: Latents) -> None:
        """Measure, and keep if asked to, the encoded or the changed latents as they go by."""
        self.latents[name].update(latents)
        if self._latent_folder:
            self._latent_folder.write(name, latents)

    def metrics(self) -> dict[str, Any]:
        """Return the numbers of metrics.json that come from frames and latents."""
        numbers: dict[str, Any] = {
            "frames": self.frames,
            "width": self.info.size.width,
            "height": self.info.size.height,
            # Of what came, which may be less than was announced.
            "fps": float(self.frames / (self.info.begins(self.frames) or self.frames / self.info.fps)),
            "latents": self.latents[ENCODED].summary(),
        }
        if CHANGED in self.latents:
            numbers["changed_latents"] = self.latents[CHANGED].summary()
        if self.reference != ORIGINAL:
            nothing = dict.fromkeys(METRICS[name].key for name in self.wants.metrics)
            numbers |= {ORIGINAL: None, RECONSTRUCTED: {**nothing, "identical": False}}
        numbers |= {name: fidelity.summary() for name, fidelity in self.fidelity.items()}
        if self.changed_name:
            change = psnr_db(self._squared_change / max(self._values, 1))
            numbers[self.changed_name]["psnr_db_against_reconstructed"] = change
            if self.lengths_differ:
                # Frame by number, as far as both go.
                numbers[self.changed_name]["frames"] = self._videos[self.changed_name].frames
        return numbers

    def keep(self) -> None:
        """Keep what every run on these frames would write and measure alike, for the next one."""
        if self.taken:
            return
        untouched = [name for name in (ORIGINAL, RECONSTRUCTED) if name in self._videos]
        files = [*(f"{name}.mp4" for name in untouched), *self._copied(*untouched)]
        measured = {name: self.fidelity[name].kept() for name in untouched if name in self.fidelity}
        self._kept.keep(self.folder, files, {"files": files, "fidelity": measured})

    def finish(self, metrics: Mapping[str, Any], provenance: Mapping[str, Any], title: str) -> None:
        """Write all that is not a video."""
        if self.wants.table:
            write_text(
                self.folder / TABLE,
                as_table(self.fidelity, self.frames, self.info.begins, self.settings.curves),
            )
        if self.wants.pictures:
            self._draw()
        if self.wants.provenance:
            write_json(self.folder / "provenance.json", provenance)
        if self.wants.report:
            self._report(metrics, provenance, title)
        write_json(self.folder / FINISHED, metrics)

    def seal(self) -> None:
        """Write the digests of what this run wrote, which say that it is finished; its log ends here."""
        for log in self._logs():
            log.setLevel(logging.CRITICAL + 1)
            log.flush()
        latents = [f"{LATENTS}/{name}" for name in self._latent_folder.names] if self._latent_folder else []
        copies = self._copied(*self._copies)
        configs = [path.relative_to(self.folder).as_posix() for path in self.folder.glob(".hydra/*.yaml")]
        write_sums(self.folder, [*self._files(), *self.taken, *latents, *copies, *configs], FINISHED)

    def _copied(self, *names: str) -> list[str]:
        return [file for name in names for copy in self._copies[name] for file in copy.files]

    def _logs(self) -> list[logging.FileHandler]:
        """Find the log that Hydra opened in this folder."""
        files = [handler for handler in logging.root.handlers if isinstance(handler, logging.FileHandler)]
        here = [log for log in files if Path(log.baseFilename).parent.resolve() == self.folder.resolve()]
        return [log for log in here if Path(log.baseFilename).exists()]

    def _files(self) -> list[str]:
        """Name the files of this run, but for those in folders of their own."""
        wants = self.wants
        others = {FINISHED: True, TABLE: wants.table, "report.html": wants.report}
        others |= {"metrics.png": wants.pictures and bool(self.fidelity), "latents.png": wants.pictures}
        others[PICTURE] = wants.pictures and bool(self.settings.curves)
        others["provenance.json"] = wants.provenance
        logs = [Path(log.baseFilename).name for log in self._logs()]
        return [*(f"{name}.mp4" for name in self._videos), *logs, *(name for name in others if others[name])]

    def _sounds(self, opened: ExitStack) -> Mapping[str | None, Path | None]:
        """Return the file with the sound of each video; one that is cut for them lasts until they are written."""
        with waiting("cutting the sound"):
            sound = opened.enter_context(self._soundtracks.lend(self.folder, 1.0, self._say_once))
            sounds = dict.fromkeys([ORIGINAL, RECONSTRUCTED, self.changed_name, COMPARISON], sound)
            if self.lengths_differ:
                lend = partial(self._soundtracks.lend, self.folder, say=self._say_once)
                at_speed = lend(speed=self.speed) if self.speed else nullcontext(None)
                sounds |= {self.changed_name: opened.enter_context(at_speed), COMPARISON: None}
        return sounds

    def _open_copies(
        self, name: str, size: Size, sound: Path | None
    ) -> Iterator[AbstractContextManager[Copy]]:
        """Open a video in the other formats that were asked for."""
        clock = OutputClock(self.info.fps, self._times(name))
        for kind in (FORMATS[chosen] for chosen in dict.fromkeys(self.wants.formats)):
            if name != ORIGINAL and (name != COMPARISON or kind.takes_comparison):
                yield kind.open(self.folder / f"{name}{kind.suffix}", size, clock, self._say_once, sound)

    def _times(self, name: str) -> Sequence[Fraction]:
        """Return when the frames of a video begin, where they last differently; see ``open_mp4``.

        A video of another length has no times of its own: it plays at the mean rate.
        """
        has_own_length = self.lengths_differ and name == self.changed_name
        return () if has_own_length else self.info.uneven

    def _draw(self) -> None:
        if self.settings.curves:
            self.settings.draw(self.folder / PICTURE)
        curves = {self.label(name): fidelity.columns for name, fidelity in self.fidelity.items()}
        if curves:
            plot_metrics(self.folder / "metrics.png", curves)
        pictures = {
            name: LatentPicture(seen.first, seen.density(), REACH)
            for name, seen in self.latents.items()
            if seen.first is not None
        }
        plot_latents(self.folder / "latents.png", pictures)

    def _report(self, metrics: Mapping[str, Any], provenance: Mapping[str, Any], title: str) -> None:
        memory = metrics["peak_memory_bytes"]
        copies = {copy.path.name for copies in self._copies.values() for copy in copies}
        copies |= {file.partition("/")[0] for file in self.taken}
        encoding, decoding = (
            seconds if isinstance(seconds := metrics["timing"][name], str) else f"{seconds:.2f} s"
            for name in ("encode_seconds", "decode_seconds")
        )
        write_page(
            self.folder / "report.html",
            "run_report.html",
            title=title,
            subtitle=f"{self.frames} frames of {self.info.size} at {self.info.pace}, on {metrics['device']}",
            videos={self.label(name): f"{name}.mp4" for name in self._shown},
            scores={self.label(name): metrics[name] for name in self.fidelity},
            metrics=[METRICS[name] for name in self.wants.metrics],
            reference=self.reference,
            pictures={title: name for title, name in PICTURES.items() if name in self._files()},
            facts={
                "latents": "T {} x C {} x {} x {}".format(*metrics["latents"]["shape"]),
                "mean of the latents": f"{metrics['latents']['mean']:.3f}",
                "their standard deviation": f"{metrics['latents']['std']:.3f}",
                "encoding": encoding,
                "decoding": decoding,
                "peak memory": f"{memory / 10**6:.0f} MB" if memory else "not told by this system",
                "batch size": metrics["batch_size"],
                "seed": metrics["seed"],
                "device": provenance["device"],
                "weights": str(provenance["weights_digest"])[:16],
                **_of_two_models(provenance),
                "git commit": str(provenance["git_commit"])[:12],
                **({"target": provenance["target"]} if "target" in provenance else {}),
                **provenance["manipulations"],
            },
            files=sorted([*self._files(), SUMS, *copies, *([LATENTS] if self.wants.latents else [])]),
            command=str(provenance["command"]),
        )


def _of_two_models(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return what the page says of a run that decodes with another model."""
    if "decoder" not in provenance:
        return {}
    decoder = f"{provenance['decoder']}, weights {str(provenance['decoder_weights_digest'])[:16]}"
    return {"model": str(provenance["model"]), "decoder": decoder}
