"""Flows of a clip: of its own frames, kept in the cache beside its latents, and of other videos'."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vae_experiments.cache import CachedStream
from vae_experiments.files import digest_of
from vae_experiments.sources.optical_flow import check_flow, flow_version, flows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor

    from vae_experiments.cache import Store
    from vae_experiments.manipulations import Clip
    from vae_experiments.sources import Content
    from vae_experiments.tensors import Frames

FORMAT = 1
"""Counted up when this program measures flow differently."""


@dataclass(frozen=True)
class MeasuredFlows:
    """Measures flow between the first frames of latents."""

    clip: Clip
    own: Callable[[], Iterator[Frames]]
    other: Callable[[str], Iterator[Frames]]
    cached: Callable[..., CachedStream] = lambda *_: CachedStream()
    """Where the flow of the source's own frames is kept, by all that it depends on beside them."""

    def check(self, setting: str, value: object) -> None:
        """Look whether flow can be measured.

        Raises:
            SettingError: the library is not installed.
        """
        check_flow(setting, value)

    def of(self, path: str, cells: tuple[int, int], from_first: bool) -> Iterator[Tensor]:
        """Return the flow in chunks ``T 4 h w``, as ``FlowReader`` says."""
        frames = self.other(path) if path else self.own()
        alone = self.clip.has_single_frame_first_latent if from_first else 0
        measured = self._measured(frames, cells, from_first, alone)
        if path:
            return measured
        geometry = (self.clip.stride, self.clip.time_stride, self.clip.first_frames, cells)
        return self.cached(FORMAT, flow_version(), from_first, geometry).through(measured)

    def _measured(
        self, frames: Iterable[Frames], cells: tuple[int, int], from_first: bool, alone: int
    ) -> Iterator[Tensor]:
        import torch

        if alone:
            yield torch.zeros(1, 4, *cells)
        for flow in flows(self._of_latents(frames, alone), self.clip.stride, cells, from_first):
            yield flow[None]

    def _of_latents(self, frames: Iterable[Frames], skipped: int) -> Iterator[Tensor]:
        """Take of all frames the first one that each latent stands for, but for the first latents."""
        number, latent = 0, skipped
        for chunk in frames:
            for frame in chunk:
                if number == self.clip.frame(latent):
                    yield frame
                    latent += 1
                number += 1


def with_kept_flows(clip: Clip, store: Store | None, content: Content | None) -> Clip:
    """Return the clip with the flow of its source taken from the cache, and kept there."""
    if store is None or content is None or not isinstance(clip.flows, MeasuredFlows):
        return clip
    there, given = store, content

    def cached(*what: object) -> CachedStream:
        name = f"{digest_of('flow', given.digest, *what)[:40]}-flow"
        return CachedStream(there, name, given.is_there_still)

    return replace(clip, flows=replace(clip.flows, cached=cached))
