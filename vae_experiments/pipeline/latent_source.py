"""Latents as a source: a run that begins in the middle, with what another run or ComfyUI left, and has no original.

The latents of a run's folder are taken as they are, at the frames' number, size and times that its
metrics.json and metrics.csv tell. A ``.latent`` is raw: it is brought to unit variance as the model's own are.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.cache import CachedStream
from vae_experiments.cache.comfyui_latent import SUFFIX, LatentFile
from vae_experiments.cache.latent_files import INDEX, Which, checked_chunks, stream_digest
from vae_experiments.files import digest, digest_of, read_json
from vae_experiments.options import setting
from vae_experiments.pipeline.run_folder import FINISHED, LATENTS, RECONSTRUCTED, TABLE
from vae_experiments.sources import Source, SourceInfo
from vae_experiments.sources.frame_rate import FPS_HELP, FPS_RULE, parse_fps
from vae_experiments.sources.paths import locate, refuse, stamp
from vae_experiments.sources.source import SIZE_RULE
from vae_experiments.tensors import Size, check_finite, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from vae_experiments.errors import SourceError
    from vae_experiments.models import Autoencoder

USUAL_FPS = "24"
STRIDES = ("stride", "time_stride", "first_frames")
_FINEST_RATE = 10**6
_ROUNDED = Fraction(1, 100_000)
"""Seconds that a table of times, and a rate with few digits, may be off."""


class Latents(Source):
    """Begins with latents: those of a run's folder, or ComfyUI's .latent; nothing is encoded."""

    has_frames = False

    path: str = setting("a run's folder, its latents folder, or a .latent", default=dataclasses.MISSING)
    stream: Which = setting("which latents of a folder: encoded or changed", default=Which.encoded)
    fps: str | None = setting(f"{FPS_HELP}; the run's own, or {USUAL_FPS}, if left out", default=None)
    size: str | None = setting(
        "width and height that are kept of what is decoded, from the top left corner; the run's own, or all, "
        "if left out",
        default=None,
        unit="pixels",
    )
    frames: int | None = setting("how many frames at most; all if left out", default=None, minimum=1)

    def __post_init__(self) -> None:
        """Check every value; the file itself is looked at later."""
        super().__post_init__()
        for name, parse, rule in (("size", parse_size, SIZE_RULE), ("fps", parse_fps, FPS_RULE)):
            if getattr(self, name) is not None:
                self.parsed(name, parse, rule)

    @property
    def info(self) -> SourceInfo:
        """What will come, once it was fitted to a model.

        Raises:
            SourceError: it was not, since frames were wanted.
        """
        if self.size is None or self.fps is None or self.frames is None:
            raise self._without_frames()
        size, fps = self.parsed("size", parse_size, SIZE_RULE), self.parsed("fps", parse_fps, FPS_RULE)
        times = self._times()
        if not times:
            return SourceInfo.steady(size, fps, self.frames)
        end = times[self.frames] if self.frames < len(times) else len(times) / fps
        return SourceInfo(size, times[: self.frames], end)

    def chunks(self, _count: int) -> Iterator[Tensor]:
        """Refuse to give frames, to whoever really asks for the first one.

        Raises:
            SourceError: always.
        """
        raise self._without_frames()
        yield

    def look_over(self) -> None:
        """Look whether latents are there.

        Raises:
            SourceError: they are not.
        """
        self._stored()

    def title(self) -> str:
        """Name the file or the folder."""
        path = locate(self.path)
        return f"{'' if path.is_file() else f'{self.stream} '}latents of {path.resolve().name}"

    def digest(self) -> str:
        """Identify the latents by the bytes of their files, and what they stand for by the settings."""
        place = self._place()
        content = digest(place) if place.is_file() else stream_digest(place, str(self.stream.value))
        times = [str(time) for time in self._times()]
        return digest_of("latents", self.size, self.fps, self.frames, content, *([times] if times else []))

    def state(self) -> object:
        """Whether any file was changed, by the names, sizes and times of all."""
        return stamp(self._place())

    def fitted(self, autoencoder: Autoencoder) -> Latents:
        """Return the same with its size, its rate and its number of frames, which take a model to be known.

        Raises:
            SourceError: the latents are not such as this model gives, or less than the settings ask for.
        """
        stored = self._stored()
        self._check_model(stored, autoencoder)
        count, _, height, width = stored.shape
        whole = Size(width * autoencoder.stride, height * autoencoder.stride)
        size = self.parsed("size", parse_size, SIZE_RULE) if self.size else stored.size or whole
        if size.width > whole.width or size.height > whole.height:
            problem = f"these latents are frames of {whole}, and {size} is larger"
            raise refuse(self.path, problem, "set source.size to no more than that")
        most = autoencoder.first_frames + (count - 1) * autoencoder.time_stride
        frames = min(stored.frames or most, self.frames or most, most)
        return dataclasses.replace(
            self, size=str(size), fps=self.fps or stored.fps or USUAL_FPS, frames=frames
        )

    def latents(self, autoencoder: Autoencoder) -> Iterator[Tensor]:
        """Yield normalised latents ``T C h w``, those of the frames that are wanted.

        Raises:
            SourceError: a file is not what was written.
            NumbersError: a value is not finite.
        """
        assert self.frames is not None, "not fitted to a model"
        later = max(0, self.frames - autoencoder.first_frames)
        wanted, number, place = 1 + math.ceil(later / autoencoder.time_stride), 0, self._place()
        for chunk in self._read(place):
            latents = chunk[: wanted - number]
            if place.is_file():
                latents = autoencoder.normalisation.apply(latents, number).contiguous()
            check_finite(latents, "latents", number, each="latent")
            if len(latents):
                yield latents
            number += len(latents)

    def _times(self) -> tuple[Fraction, ...]:
        """Return when each frame of the run began; nothing where all lasted equally long, or another rate was typed."""
        place = self._place()
        if place.is_file() or not (place.parent / FINISHED).is_file():
            return ()
        run = Stored.of_run((), read_json(place.parent / FINISHED), self.stream)
        times = uneven_times(place.parent, Fraction(str(run.fps))) if self.fps == run.fps else ()
        return times if len(times) == run.frames else ()

    def _without_frames(self) -> SourceError:
        return refuse(self.path, "latents have no source frames, which are wanted here", "give a video")

    def _check_model(self, stored: Stored, autoencoder: Autoencoder) -> None:
        channels, mine = stored.shape[1], autoencoder.latent_channels
        hint = "choose the model that made them, as model=sd"
        if channels != mine:
            problem = f"these latents have {channels} channels, and the model's have {mine}"
            raise refuse(self.path, problem, hint)
        for name in STRIDES:
            if stored.strides.get(name, ours := getattr(autoencoder, name)) != ours:
                problem = f"these latents are of a model with {name} {stored.strides[name]}, and this one's is {ours}"
                raise refuse(self.path, problem, hint)
        if stored.is_batch and autoencoder.time_stride > 1:
            problem = f"a batch of {stored.shape[0]} pictures is no clip of a model that compresses time"
            raise refuse(self.path, problem, hint)

    def _place(self) -> Path:
        """Find the ``.latent``, or the folder in which the files of latents lie."""
        path = locate(self.path)
        if path.is_file() or (path / INDEX).is_file():
            return path
        if (path / LATENTS / INDEX).is_file():
            return path / LATENTS
        raise refuse(path, "no latents are there", "give a run that had output.latents=true, or a .latent")

    def _stored(self) -> Stored:
        """Look at what is there.

        Raises:
            SourceError: it is no file of latents, or its number, size or rate cannot be told.
        """
        place = self._place()
        try:
            if place.is_file():
                file = LatentFile.open(place)
                return Stored(file.shape, is_batch=not file.is_video and file.shape[0] > 1)
            shapes = [chunk.shape for chunk in checked_chunks(place, str(self.stream.value))]
            shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
            finished = place.parent / FINISHED
            run = read_json(finished) if finished.is_file() else {}
            return Stored.of_run(shape, run, self.stream) if run else Stored(shape)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            hint = f"give a folder that a run finished, or a {SUFFIX}"
            raise refuse(place, f"cannot be read as latents ({error})", hint) from error

    def _read(self, place: Path) -> Iterator[Tensor]:
        try:
            if place.is_file():
                yield from LatentFile.open(place).chunks()
            else:
                yield from checked_chunks(place, str(self.stream.value))
        except (OSError, ValueError) as error:
            raise refuse(place, f"cannot be read as latents ({error})", "give what a run finished") from error


class Stored(NamedTuple):
    """What lies in a file or folder of latents."""

    shape: tuple[int, ...]
    """``T C h w``."""
    frames: int | None = None
    size: Size | None = None
    fps: str | None = None
    strides: Mapping[str, int] = {}
    is_batch: bool = False
    """Whether they are pictures of which nothing says that they follow each other."""

    @classmethod
    def of_run(cls, shape: tuple[int, ...], metrics: Mapping[str, Any], stream: Which) -> Stored:
        """Read what they stand for out of the numbers of the run."""
        changed = next((name for name in metrics if name.startswith(f"{RECONSTRUCTED}_with_")), RECONSTRUCTED)
        own = metrics[changed].get("frames") if stream is Which.changed else None
        frames = int(own or metrics["frames"])
        fps = Fraction(metrics["fps"]).limit_denominator(_FINEST_RATE)
        size = Size(int(metrics["width"]), int(metrics["height"]))
        strides = {name: metrics[name] for name in STRIDES if name in metrics}
        return cls(shape, frames, size, str(fps), strides)


def uneven_times(run: Path, fps: Fraction) -> tuple[Fraction, ...]:
    """Return when each frame of a run began, where its table says that they did not last equally long."""
    try:
        with (run / TABLE).open(newline="", encoding="utf-8") as table:
            times = tuple(Fraction(row["seconds"]) for row in csv.DictReader(table))
    except (OSError, KeyError, ValueError):  # no table, or an older one, or a person's own
        return ()
    is_steady = all(abs(time - number / fps) < _ROUNDED for number, time in enumerate(times))
    return () if is_steady else times


class GivenLatents(CachedStream):
    """Stands where a run looks for latents that were encoded before: there they are."""

    def __init__(self, source: Latents, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.source, self.autoencoder, self.found = source, autoencoder, True

    def through(self, _chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield them; ``chunks`` are not even begun."""
        return self.source.latents(self.autoencoder)


def fitted(source: Source, autoencoder: Autoencoder) -> Source:
    """Return a source as a model sees it: of latents only the model tells how large and how long they are."""
    return source.fitted(autoencoder) if isinstance(source, Latents) else source
