"""The contract of a manipulation: latents in, latents out."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from vae_experiments.options import Option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vae_experiments.tensors import Latents


class Manipulation(Option, family="manipulation"):
    """Changes normalised latents ``T C h w``.

    A subclass writes ``__call__`` for a chunk, or ``stream`` where it must remember earlier
    chunks. The chunk size never changes the result, and the input is never modified.
    """

    holds_clip: ClassVar[bool] = False
    """Whether ``stream`` reads the whole clip (its latents, never its frames) before it gives anything."""

    @property
    def name(self) -> str:
        """What it was called in the chain: its kind, or the name of a second one of that kind."""
        return getattr(self, "_name", str(self.kind))

    def named(self, name: str) -> Manipulation:
        """Give it the name that it was chosen by."""
        self._name = name
        return self

    def address(self) -> str:
        """A manipulation's settings stand under its own name: ``noise.scale``."""
        return self.name

    def __call__(self, latents: Latents, at: int) -> Latents:
        """Change one chunk, whose first frame has the number ``at``; who needs the clip overrides ``stream`` alone."""
        raise NotImplementedError

    def stream(self, chunks: Iterable[Latents]) -> Iterator[Latents]:
        """Change a whole clip, chunk by chunk."""
        at = 0
        for latents in chunks:
            yield self(latents, at)
            at += len(latents)


def chain(manipulations: Sequence[Manipulation], chunks: Iterable[Latents]) -> Iterator[Latents]:
    """Send latents through manipulations in the order given."""
    for manipulation in manipulations:
        chunks = manipulation.stream(chunks)
    return iter(chunks)
