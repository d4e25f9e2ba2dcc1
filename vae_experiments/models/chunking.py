"""Cutting a clip into the groups that a temporal network takes at once: in step, filled up, with context.

Everything is counted in latents. ``TimeCompression`` says how many frames these stand for; for latents
themselves it is ``EACH``, so that the same cut serves encoding and decoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from vae_experiments.tensors import Joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

Counts: TypeAlias = "range | tuple[int, ...]"
"""Lengths that a network takes, in latents, from the shortest to the longest."""


@dataclass(frozen=True)
class TimeCompression:
    """Says how many frames latents stand for: ``first`` of them, then ``stride`` each."""

    first: int
    stride: int

    def frames(self, latents: int, fresh: bool = True) -> int:
        """Count the frames of so many latents; ``fresh`` where the network takes them for a clip's first."""
        if not fresh or latents == 0:
            return latents * self.stride
        return self.first + (latents - 1) * self.stride

    def latents(self, frames: int, fresh: bool = True) -> int:
        """Count the latents that so many frames need, the last of them perhaps not filled."""
        alone = self.first if fresh else 0
        return int(fresh) + max(0, -(-(frames - alone) // self.stride))


EACH = TimeCompression(1, 1)


@dataclass(frozen=True)
class ChunkPlan:
    """Says how one half of a network takes a clip: with a memory, or in windows that overlap.

    A network with a memory has no overlap: each group continues where the last one ended. Without one
    every window is a clip of its own, of which the first ``overlap`` latents were in the one before:
    of these the last ``fade`` pass from one window to the other, and those before them are context,
    computed and thrown away.
    """

    first: Counts
    """Legal lengths of the first group; the longest is taken as long as there are frames."""
    then: Counts
    """Legal lengths of every later group, overlap included."""
    overlap: int = 0
    fade: int = 0
    ahead: int = 0
    """How many latents a decoder with a memory looks ahead: they end a group of the greatest length, and
    begin the next one."""


class MismatchError(Exception):
    """Says that a network gave another number of results than its config promises."""


class Chunk(NamedTuple):
    """What goes through the network at once, and which of its results count, in latents."""

    inputs: Tensor
    number: int
    """The number in the clip of the group's first latent."""
    length: int
    """How many latents it holds, what fills it up included."""
    skip: int
    """How many of them are context."""
    end: int
    """How many of them, from the first, are the clip's own."""
    fresh: bool = True
    """Whether the network takes it for the beginning of a clip."""

    def kept(self, results: Tensor, ratio: TimeCompression) -> Tensor:
        """Cut off the context and what filled the group up.

        Raises:
            MismatchError: the network gave more results, or less.
        """
        counts = (self.skip, self.end, self.length)
        start, end, wanted = (ratio.frames(count, self.fresh) for count in counts)
        if len(results) != wanted:
            raise MismatchError(f"{wanted} wanted of {self.length} latents, {len(results)} came")
        return results[start:end]


def whole(chunks: Iterable[Tensor]) -> Iterator[Chunk]:
    """Take the chunks as they come, where what a frame becomes does not depend on its neighbours."""
    number = 0
    for chunk in chunks:
        yield Chunk(chunk, number, len(chunk), 0, len(chunk))
        number += len(chunk)


def grouped(chunks: Iterable[Tensor], plan: ChunkPlan, ratio: TimeCompression) -> Iterator[Chunk]:
    """Cut a clip into groups, and read no further than the next one needs.

    The last group is filled up to a legal length by repeating the clip's last frame or latent.
    """
    stream, number, skip, fresh = Joined(chunks), 0, 0, True
    counts, step = plan.first, (plan.then[-1] - plan.overlap - plan.ahead) * ratio.stride
    held = stream.take(ratio.frames(counts[-1]))
    while held is not None:
        given = ratio.latents(len(held), fresh)
        length = next(legal for legal in counts if legal >= given)
        ahead = plan.ahead if given == counts[-1] else 0
        end = given - ahead
        yield Chunk(_filled(held, ratio.frames(length, fresh)), number, length, skip, end, fresh)
        more = stream.take(step)
        number += end - plan.overlap
        again = ratio.frames(plan.overlap) if plan.overlap else ahead * ratio.stride
        held = _joined(held, again, more) if more is not None or ahead else None
        counts, skip, fresh = plan.then, plan.overlap - plan.fade, plan.overlap > 0


def crossfade(parts: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """Let the last ``count`` results of each part pass linearly into the first of the next, which are the same ones.

    This is how diffusers blends its tiles in time: the first of them is wholly the earlier part's.
    """
    import torch

    held = None
    for part in parts:
        if held is not None:
            weight = (torch.arange(count) / count).reshape(-1, 1, 1, 1)
            part = torch.cat([held * (1 - weight) + part[:count] * weight, part[count:]])
        done = max(0, len(part) - count)
        if done:
            yield part[:done]
        held = part[done:] if count else None
    if held is not None:
        yield held


def _joined(held: Tensor, again: int, more: Tensor | None) -> Tensor:
    """Put the last ``again`` frames or latents in front of what comes next, if anything does."""
    import torch

    last = held[len(held) - again :]
    return last if more is None else torch.cat([last, more])


def _filled(inputs: Tensor, count: int) -> Tensor:
    """Repeat the last frame or latent until there are ``count``."""
    import torch

    missing = count - len(inputs)
    return torch.cat([inputs, inputs[-1:].expand(missing, -1, -1, -1)]) if missing else inputs
