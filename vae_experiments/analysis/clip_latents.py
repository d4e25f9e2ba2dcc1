"""What is analysed: the latents of one clip, encoded now or saved by a run."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_experiments.cache.latent_files import load_latents
from vae_experiments.errors import NumbersError, SourceError
from vae_experiments.files import read_json
from vae_experiments.manipulations import Clip
from vae_experiments.pipeline.latent_source import uneven_times
from vae_experiments.pipeline.run_folder import FINISHED
from vae_experiments.pipeline.second_video import described
from vae_experiments.runtime.progress import Progress
from vae_experiments.runtime.streams import prefetch
from vae_experiments.sources import SourceInfo
from vae_experiments.tensors import Size, check_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vae_experiments.analysis.settings import Analysis
    from vae_experiments.models import Autoencoder
    from vae_experiments.sources import Source
    from vae_experiments.tensors import Frames, Latents

log = logging.getLogger(__name__)
STRIDES = ("stride", "time_stride", "first_frames")
DEDUCED = (
    "The strides, {stride} in space and {time_stride} in time, are worked out from the run's numbers: "
    "an older version did not write them down."
)
NTSC = 1001
"""The largest denominator of the rates in use, such as 30000/1001."""


@dataclass(frozen=True)
class Subject:
    """The latents of a clip, all of them, and what must be known of the clip to read numbers off them."""

    title: str
    latents: Latents
    """``T C h w``."""
    clip: Clip
    size: Size
    fps: Fraction
    """Of the frames; ``clip.rate_hz`` is the rate of the latents."""
    remarks: tuple[str, ...] = ()
    """What a person should know before reading the numbers, a sentence each."""

    @property
    def first_even(self) -> int:
        """Number the first latent that stands for as many frames as those after it: 0, or 1 in a causal model."""
        return self.clip.has_single_frame_first_latent

    @property
    def even(self) -> Latents:
        """The latents that stand for equally many frames, and so are evenly spaced in time."""
        return self.latents[self.first_even :]

    def seconds(self, latent: int) -> float:
        """Return when the first frame that a latent stands for is shown."""
        return self.clip.seconds(latent)


def encoded(source: Source, autoencoder: Autoencoder, batch_size: int, most: int | None = None) -> Subject:
    """Encode a source chunk by chunk, and hold its latents but never its frames.

    Args:
        source: read once.
        autoencoder: what encodes it.
        batch_size: frames in a chunk.
        most: stop after so many latents; all if left out.

    Raises:
        NumbersError: the source gave no frames.
        SourceError: it cannot be read.
    """
    import torch

    info, taken, count = source.info, [], 0
    with Progress(info.frames) as progress:
        frames = _counted(prefetch(source.chunks(batch_size)), progress)
        for latents in autoencoder.encode(frames):
            taken.append(latents)
            count += len(latents)
            if most is not None and count >= most:
                break
    if not count:
        raise NumbersError("the source gave no frames", "give a source with at least one frame")
    # What is said of the sound does not matter to latents.
    remarks = tuple(remark for remark in info.remarks if not remark.startswith("the sound"))
    # A network leaves channels last in memory; sums in another order would differ in their last bits.
    held = torch.cat(taken)[:most].contiguous()
    return Subject(source.title(), held, described(info, autoencoder), info.size, info.fps, remarks)


def _counted(chunks: Iterator[Frames], progress: Progress) -> Iterator[Frames]:
    for frames in chunks:
        progress.add(len(frames))
        yield frames


def saved(analysis: Analysis) -> Subject:
    """Read the latents that a run saved, and from its numbers what they stand for.

    Raises:
        SourceError: the folder is missing, or holds no latents, or what it holds is damaged.
        NumbersError: a latent is not finite.
    """
    latents, run = _latents_of(analysis), _run_of(analysis)
    metrics = _metrics_of(run, analysis)
    size, fps = Size(metrics["width"], metrics["height"]), Fraction(metrics["fps"]).limit_denominator(NTSC)
    strides, remarks = {name: metrics[name] for name in STRIDES if name in metrics}, tuple[str, ...]()
    if len(strides) < len(STRIDES):
        strides = _deduced_strides(metrics)
        remarks = (DEDUCED.format(**strides),)
    shape = metrics["latents"]["shape"]
    known = Clip(
        float(fps),
        metrics["frames"],
        shape[1],
        **strides,
        begins=_begins_of(run, size, fps) if len(latents) == shape[0] else None,
    )
    title = f"{run.name} ({analysis.latents})"
    return Subject(title, latents, known.of_length(len(latents)), size, fps, remarks)


def _deduced_strides(metrics: Mapping[str, Any]) -> dict[str, int]:
    """Work out the strides of a run that did not write them down.

    They follow from how many frames and pixels became how many latents and cells, since the strides of
    autoencoders are powers of two.
    """
    count, _, height, width = metrics["latents"]["shape"]
    return {
        "stride": deduced_stride((metrics["height"], height), (metrics["width"], width)),
        "time_stride": deduced_stride((metrics["frames"] - 1, count - 1)),
        "first_frames": 1,
    }


def deduced_stride(*lengths: tuple[int, int]) -> int:
    """Find the stride by which each of several lengths became so many cells: ``ceil(length / stride)``.

    Several may fit: the smallest power of two among them is taken, or the smallest where there is none.
    From three cells on there is one power of two at most.
    """
    known = [(length, cells) for length, cells in lengths if cells > 0]
    smallest = max((-(-length // cells) for length, cells in known), default=1)
    power = 1 << (smallest - 1).bit_length()
    return power if all(-(-length // power) == cells for length, cells in known) else smallest


def _latents_of(analysis: Analysis) -> Latents:
    if not Path(analysis.folder).is_dir():
        raise analysis.error_for("folder", "there is no such folder", "give the folder of a run")
    try:
        latents = load_latents(analysis.folder, analysis.latents.value)
    except SourceError as error:
        raise SourceError(f"analysis.folder={analysis.folder}: {error.problem}", error.hint) from error
    except Exception as error:  # safetensors has errors of its own for a damaged file
        raise _damaged(analysis, error) from error
    check_finite(latents, "latents", each="latent")
    return latents


def _run_of(analysis: Analysis) -> Path:
    """Find the folder with the run's own numbers: the one that was named, or the one around it."""
    place = Path(analysis.folder).resolve()
    run = next((folder for folder in (place, place.parent) if (folder / FINISHED).is_file()), None)
    if run is None:
        problem = f"analysis.folder={analysis.folder}: no {FINISHED} beside the latents"
        raise SourceError(problem, "give the folder of a finished run")
    return run


def _metrics_of(run: Path, analysis: Analysis) -> dict[str, Any]:
    try:
        metrics = read_json(run / FINISHED)
        needed = {name: metrics[name] for name in ("width", "height", "fps", "frames")}
        needed |= {name: int(metrics[name]) for name in STRIDES if name in metrics}
        return needed | {"latents": {"shape": [int(number) for number in metrics["latents"]["shape"]]}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(analysis, error) from error


def _begins_of(run: Path, size: Size, fps: Fraction) -> Callable[[int], Fraction] | None:
    """Return when each frame began, where the run wrote a table and frames last differently."""
    times = uneven_times(run, fps)
    return SourceInfo(size, times, len(times) / fps).begins if times else None


def _damaged(analysis: Analysis, error: Exception) -> SourceError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return SourceError(
        f"analysis.folder={analysis.folder}: cannot be read ({reason})", "run again with output.latents=true"
    )
