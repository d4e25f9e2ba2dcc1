"""What the adapters of diffusers' networks have in common: device, normalisation, posterior, padding."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from vae_experiments.errors import ModelError
from vae_experiments.models.autoencoder import Autoencoder
from vae_experiments.models.normalisation import Normalisation
from vae_experiments.randomness import normal_frames
from vae_experiments.tensors import check_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import torch
    from torch import Tensor

    from vae_experiments.device import Chosen
    from vae_experiments.models.model import Posterior
    from vae_experiments.tensors import Frames, Latents, Size

    Call = Callable[[Tensor, int], Tensor]
    """Takes the next batch, time first, and the number of its first latent."""

PROBE_SIDE = 64
ENCODING_PARTS = ("encoder", "quant_conv")
"""What diffusers calls the parts of a network that decoding does without."""


class AnyDialect(Protocol):
    """What must be known of every class, whatever else its adapter wants to know."""

    @property
    def has_posterior(self) -> bool:
        """Tell whether the encoder gives a distribution and not one answer."""


class Adapter(Autoencoder):
    """Takes a clip through a network of diffusers, group by group, on the device that was chosen.

    A subclass says how frames are grouped and how one group is encoded and decoded.
    """

    dialects: ClassVar[Mapping[str, AnyDialect]]
    """The diffusers classes that this adapter speaks to, by name."""

    def __init__(self, network: Any, folder: Path, chosen: Chosen, posterior: Posterior, seed: int) -> None:
        self.dialect = self.dialects[type(network).__name__]
        if posterior.name == "sample" and not self.dialect.has_posterior:
            raise ModelError(
                f"model.posterior=sample: {type(network).__name__} has no posterior, its latents are exact",
                "use model.posterior=mode",
            )
        self.chosen = chosen
        self.network = (
            network.to(chosen.device, memory_format=self.memory_format).eval().requires_grad_(False)
        )
        self.takes_spread = False
        self.seed = seed if posterior.name == "sample" else None
        self.normalisation = Normalisation.of(network, folder)
        self.stride, self.time_stride, self.latent_channels = self._probed(folder)
        self.normalisation.check(self.latent_channels, folder)

    def encode(self, chunks: Iterable[Frames]) -> Iterator[Latents]:
        """Encode group after group; nothing is kept of a clip but what the network itself remembers."""
        call, frame, latent = self._encoder(), 0, 0
        for frames in self._frame_groups(chunks):
            latents = self.normalisation.apply(self._through(call, self._padded(frames), latent))
            check_finite(latents, "latents", frame)
            yield latents
            frame += len(frames)
            latent += len(latents)

    def decode(self, chunks: Iterable[Latents], size: Size) -> Iterator[Frames]:
        """Decode group after group and cut off the rows and columns that were padded before encoding."""
        call, frame, latent = self._decoder(), 0, 0
        for latents in self._latent_groups(chunks):
            frames = self._through(call, self.normalisation.undo(latents), latent)
            check_finite(frames, "decoded frames", frame)
            yield frames[:, :, : size.height, : size.width]
            frame += len(frames)
            latent += len(latents)

    def spreads(self, chunks: Iterable[Frames]) -> Iterator[Latents]:
        """Encode once more and keep the width of the posterior instead of its mode."""
        twin = copy.copy(self)
        twin.takes_spread = True
        for latents in twin.encode(chunks):
            nothing = self.normalisation.apply(latents.new_zeros(latents.shape))
            yield latents - nothing if self.dialect.has_posterior else nothing - nothing

    def bent(self, bend: Callable[[Mapping[str, Tensor]], None]) -> Adapter:
        """Copy the decoder, share the encoder, and hand the copy's weights to ``bend``."""
        twin = copy.copy(self)
        encoding = {id(part): part for name, part in self.network.named_children() if name in ENCODING_PARTS}
        twin.network = copy.deepcopy(self.network, encoding)
        weights = twin.network.named_parameters()
        bend({name: weight for name, weight in weights if name.split(".")[0] not in ENCODING_PARTS})
        return twin

    @property
    def memory_format(self) -> torch.memory_format:
        """Say how tensors lie in memory where the network runs."""
        return self.chosen.memory_format

    @abstractmethod
    def _encoder(self) -> Call:
        """Begin a clip: give what turns frames ``T 3 H W`` into raw latents, one group after the other."""

    @abstractmethod
    def _decoder(self) -> Call:
        """Begin a clip: give what turns raw latents into frames, one group after the other."""

    @abstractmethod
    def _frame_groups(self, chunks: Iterable[Frames]) -> Iterator[Frames]:
        """Cut a clip into the groups of frames that are encoded together."""

    @abstractmethod
    def _latent_groups(self, chunks: Iterable[Latents]) -> Iterator[Latents]:
        """Cut latents into the groups that are decoded together."""

    def _batches(self, group: Tensor) -> Sequence[Tensor]:
        """Cut a group into what goes through the network at once."""
        return [group]

    def _through(self, call: Call, group: Tensor, first: int) -> Tensor:
        """Send a group, whose first latent has the number ``first``, through the network and back."""
        import torch

        results: list[Tensor] = []
        with torch.inference_mode():
            for batch in self._batches(group):
                moved = batch.to(self.chosen.device, self.chosen.dtype, memory_format=self.memory_format)
                results.append(call(moved, first).to("cpu", torch.float32))
                first += len(batch)
        # A tensor made under inference_mode cannot be changed or trained on later; this copy can.
        return torch.cat(results)

    def _taken(self, distribution: Any, first: int) -> Tensor:
        """Take the mode of a posterior ``T C h w``, or the sample that belongs to these latents' numbers."""
        if self.takes_spread:
            spread: Tensor = distribution.std
            return spread
        if self.seed is None:
            mode: Tensor = distribution.mode()
            return mode
        noise = normal_frames(first, distribution.mean.shape, self.seed, "posterior")
        sample: Tensor = distribution.mean + distribution.std * noise.to(distribution.mean)
        return sample

    def _padded(self, frames: Frames) -> Frames:
        """Repeat the last row and column up to a size that the network takes."""
        from torch.nn.functional import pad

        height, width = frames.shape[-2:]
        below, right = -height % self.stride, -width % self.stride
        return pad(frames, (0, right, 0, below), mode="replicate") if below or right else frames

    def _probed(self, folder: Path) -> tuple[int, int, int]:
        """Ask the network itself for its strides and its channels: configs of old checkpoints lie.

        Raises:
            ModelError: it takes no frames of three channels.
        """
        import torch

        try:
            latents = self._through(self._encoder(), torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE), 0)
            return PROBE_SIDE // latents.shape[-1], self._probed_time_stride(latents), latents.shape[1]
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"model: {type(self.network).__name__} in {folder} cannot encode an RGB frame "
                f"({str(error).splitlines()[0][:120]})",
                "give an autoencoder of RGB pictures or video",
            ) from error

    @abstractmethod
    def _probed_time_stride(self, latents: Latents) -> int:
        """Find out for how many frames a latent stands, given one raw latent of the right shape."""
