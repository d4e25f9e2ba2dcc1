"""The contract of a manipulation: latents in, latents out."""

from __future__ import annotations

import copy
import logging
import math
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import Self

from vae_experiments.manipulations.frame_range import RANGES, FrameRange
from vae_experiments.manipulations.masks import MASKS, Mask
from vae_experiments.options import Option, Scheduled, dotted, setting
from vae_experiments.runtime.streams import tee
from vae_experiments.schedules import UnheardError, parse_schedule
from vae_experiments.tensors import Joined, numbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents

log = logging.getLogger(__name__)


class ChainStep(Option, group="manipulation"):
    """One place in a chain of manipulations; ``Manipulation`` is what most of them are.

    A step of a chain may change the length of the clip, or the decoder instead of the latents.
    """

    needs_whole_clip: ClassVar[bool] = False
    """Whether it reads the whole clip (its latents, never its frames) before it gives anything."""
    gallery_values: ClassVar[tuple[str, tuple[object, ...]]] = ("strength", (0.25, 0.5, 1))
    """The setting, and three values of it from weak to strong, that show in the gallery what it does."""
    changes_length: ClassVar[bool] = False
    """Whether the clip may have another number of latents afterwards."""

    @property
    def name(self) -> str:
        """What it was called in the chain: its kind, or the name of a second one of that kind."""
        return getattr(self, "_name", str(self.kind))

    @property
    def purpose(self) -> str:
        """What its draws are for: a second noise in a chain draws its own, though the seed be the same."""
        return self.name.replace("_", " ")

    @property
    def playing_speed(self) -> float | None:
        """How many times as fast the clip plays afterwards; None where that is not one number."""
        return None if self.changes_length else 1.0

    def named(self, name: str) -> Self:
        """Give it the name that it was chosen by."""
        self._name = name
        return self

    def address(self) -> str:
        """A manipulation's settings stand under its own name: ``noise.scale``."""
        return self.name

    def check(self, clip: Clip) -> None:
        """Look, before anything is written, at what only a clip can tell to be wrong.

        Raises:
            VaeExperimentsError: a sentence for a person.
        """

    def holds(self, clip: Clip) -> bool:
        """Whether it reads all of this clip before it gives anything."""
        return self.needs_whole_clip or (clip.latents is None and self._needs_length())

    def after(self, clip: Clip) -> Clip:
        """Return what the clip is like afterwards."""
        return clip

    def apply(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Change a whole clip, chunk by chunk, as it is done in a chain."""
        return self.stream(chunks, clip)

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Change a whole clip, chunk by chunk; the chunks that come out need not answer those that go in."""
        raise NotImplementedError

    def bend(self, weights: Mapping[str, Tensor]) -> None:
        """Change the weights of a decoder, in place; few steps do."""

    @property
    def bends_decoder(self) -> bool:
        """Whether it changes the decoder's weights."""
        return type(self).bend is not ChainStep.bend

    def during(self, first: int, count: int, clip: Clip) -> Self:
        """Return itself as it is for ``count`` latents from number ``first``: schedules become numbers.

        A scheduled setting is then a tensor ``T 1 1 1``, and a constant one stays the number it is.
        """
        moving = self._schedules()
        if not moving:
            return self
        import torch

        now = copy.copy(self)
        for name in moving:
            values = self.values(name, clip, range(first, first + count))
            setattr(now, name, torch.tensor(values).reshape(-1, 1, 1, 1))
        return now

    def values(self, name: str, clip: Clip, latents: Iterable[int]) -> list[float]:
        """Return what a scheduled setting is for some latents of a clip, by their numbers.

        Raises:
            SettingError: a value breaks its rule, or there is nothing to listen to.
        """
        schedule = parse_schedule(getattr(self, name))
        rule = next(rule for each, _, rule in self.settings() if each == name)
        found = []
        for moment in map(clip.seconds, latents):
            try:
                value = rule.unrounded(schedule.at(moment, clip.timeline))
            except UnheardError as error:
                raise self.error_for(name, str(error), error.hint) from None
            if not (math.isfinite(value) and rule.admits(value)):
                bounds = f"must be {rule}" if str(rule) else "must be a finite number"
                hint = "keep it between them with clamp(..., low, high)"
                raise self.error_for(name, f"{bounds}, and is {value:.4g} at {moment:.3g} s", hint)
            found.append(value)
        return found

    def curves(self, clip: Clip) -> dict[str, list[float]]:
        """Return what each scheduled setting is for every latent of a clip whose length is known, by its address.

        Raises:
            SettingError: a value breaks its rule, or there is nothing to listen to.
        """
        assert clip.latents is not None, "a clip of unknown length has no curves"
        count = clip.latents
        return {
            dotted(self.address(), name): self.values(name, clip, range(count)) for name in self._schedules()
        }

    def sounds(self) -> set[str]:
        """Name the files whose sound its settings listen to; the empty name is the source's own."""
        nodes = [node for text in self._schedules().values() for node in parse_schedule(text).nodes]
        return {getattr(node, "path", "") for node in nodes if getattr(node, "hears_sound", False)}

    def check_files(self, clip: Clip) -> None:
        """Look over the files that expressions name.

        Raises:
            VaeExperimentsError: one is not there.
        """
        for name, text in self._schedules().items():
            self._check_files(name, parse_schedule(text).files, clip)

    def _check_files(self, name: str, files: Iterable[str], clip: Clip) -> None:
        for file in files:
            if clip.check_file:
                clip.check_file(file, dotted(self.address(), name))

    def _schedules(self) -> dict[str, str]:
        values = ((name, getattr(self, name)) for name in self.scheduled())
        return {name: value for name, value in values if isinstance(value, str)}

    def _needs_length(self) -> bool:
        return any(parse_schedule(text).needs_length for text in self._schedules().values())


class Manipulation(ChainStep, group="manipulation"):
    """Changes normalised latents ``T C h w``, as many as there are.

    A subclass writes ``__call__`` for a chunk, or ``stream`` where it must remember earlier chunks.
    The chunk size never changes the result, and the input is never modified. Inside them a scheduled
    setting is the number of the moment. What comes out is mixed with what went in: by ``strength``,
    and in the ``frames``, ``channels`` and ``mask`` that were chosen.
    """

    strength: Scheduled = setting(
        "mix of the latents as they were (0) and changed (1)",
        default=1.0,
        minimum=0,
        maximum=1,
        for_every_kind=True,
    )
    frames: str = setting(
        f"which frames to change, {RANGES}; all if left out", default="", for_every_kind=True
    )
    channels: list[int] = setting(
        "latent channels to change; none named means all", default=[], minimum=0, for_every_kind=True
    )
    mask: str = setting(f"where to change: {MASKS}", default="", for_every_kind=True)

    second_videos: ClassVar[tuple[str, ...]] = ()
    """The settings that name another video, a file or a pattern."""

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            FrameRange.read(self.frames)
        except ValueError as error:
            hint = f"write {RANGES}" + (", in quotes where it is a yaml" if self.frames.isdigit() else "")
            raise self.error_for("frames", str(error), hint) from None
        try:
            Mask.read(self.mask)
        except ValueError as error:
            raise self.error_for("mask", str(error), f"write {MASKS}") from None

    def _needs_length(self) -> bool:
        ranges, mask = FrameRange.read(self.frames), Mask.read(self.mask)
        return super()._needs_length() or ranges.needs_length or mask.needs_length

    def check(self, clip: Clip) -> None:
        """Look at the channels, which the model decides, and at other videos."""
        if clip.channels is not None:
            self._check_channels(clip.channels)
        if clip.latents is not None and not FrameRange.read(self.frames).over(0, clip.latents, clip).any():
            raise self.error_for("frames", f"none of the clip's {clip.frames} frames", f"write {RANGES}")
        mask = Mask.read(self.mask)
        paths = [("mask", path) for path in mask.paths]
        paths += [(name, getattr(self, name)) for name in self.second_videos]
        for name, path in paths:
            if clip.check_path:
                clip.check_path(path, f"{self.address()}.{name}")
        self._check_files("mask", mask.files, clip)
        try:
            mask.check(clip)
        except UnheardError as error:
            raise self.error_for("mask", str(error), error.hint) from None

    def _check_channels(self, count: int) -> None:
        if max(self.channels, default=-1) >= count:
            rule = f"the model has {count} channels"
            raise self.error_for("channels", rule, f"name some of 0 to {count - 1}")

    def __call__(self, latents: Latents, at: int) -> Latents:
        """Change one chunk, whose first latent has the number ``at``; who needs more overrides ``stream``."""
        raise NotImplementedError

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Change a whole clip, chunk by chunk."""
        for at, latents in numbered(chunks):
            yield self.during(at, len(latents), clip)(latents, at)

    def apply(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Change a whole clip and mix what comes out with what went in."""
        if clip.latents is None and self._needs_length():
            chunks = list(chunks)
            clip = clip.of_length(sum(map(len, chunks)))
        if self.strength == 1 and not (self.frames or self.channels or self.mask):
            yield from self.stream(chunks, clip)
            return
        dry, given = tee(chunks)
        changed, mask = Joined(self.stream(given, clip)), Mask.read(self.mask).over(clip)
        for at, latents in numbered(dry):
            wet = changed.take(len(latents))
            assert wet is not None, f"{self.name} gave too few latents"
            share = self._share(latents, at, clip) * mask(latents, at)
            yield latents.lerp(wet, share.expand_as(latents))

    def _share(self, latents: Latents, at: int, clip: Clip) -> Latents:
        """Return how much of each latent, and of which channels, comes changed: ``T C 1 1``."""
        import torch

        count, channels = latents.shape[:2]
        share = torch.ones(count, channels, 1, 1) * self.during(at, count, clip).strength
        if self.channels:
            self._check_channels(channels)
            share[:, [channel for channel in range(channels) if channel not in self.channels]] = 0
        return share * FrameRange.read(self.frames).over(at, count, clip)


class WholeClip(Manipulation, group="manipulation"):
    """A manipulation that must see all latents of a clip: it holds them, and never a frame.

    One that ``keeps_first_latent`` works on all latents of a temporal model but the first, which stands for
    one frame where the others stand for several, and which stays where and as it is.
    """

    needs_whole_clip: ClassVar[bool] = True
    keeps_first_latent: ClassVar[bool] = False

    def whole(self, latents: Latents, clip: Clip) -> Latents:
        """Change the whole clip ``T C h w`` at once, at least one latent."""
        raise NotImplementedError

    def stream(self, chunks: Iterable[Latents], clip: Clip) -> Iterator[Latents]:
        """Wait for all of the clip and change it."""
        import torch

        latents = torch.cat(list(chunks))
        clip = clip.of_length(len(latents))
        alone = clip.has_single_frame_first_latent if self.keeps_first_latent else 0
        if alone:
            yield latents[:1]
            log.info("%s: the first latent stands for one frame and stays as it is", self.name)
        if len(latents) > alone:
            yield self.during(alone, len(latents) - alone, clip).whole(latents[alone:], clip)
