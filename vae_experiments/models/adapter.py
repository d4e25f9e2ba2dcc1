"""What the adapters of diffusers' networks have in common: device, normalisation, posterior, padding."""

from __future__ import annotations

import copy
import re
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from vae_experiments.errors import ModelError
from vae_experiments.models.autoencoder import Autoencoder
from vae_experiments.models.chunking import EACH, MismatchError, TimeCompression
from vae_experiments.models.execution import HALVES, BatchExecutor
from vae_experiments.models.normalisation import Normalisation
from vae_experiments.models.tiling import Tiles, Tiling, tile_cells
from vae_experiments.runtime.seeding import normal_frames
from vae_experiments.tensors import Size, check_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from vae_experiments.models.chunking import Chunk
    from vae_experiments.models.tiling import Call
    from vae_experiments.runtime.device import DeviceChoice
    from vae_experiments.tensors import Frames, Latents


PROBE_SIDES = (64, 128, 256, 512)
"""Of the frames by which a network is asked for its stride, which is 128 at most in diffusers."""
ENCODING_PARTS = ("encoder", "quant_conv")
"""What diffusers calls the parts of a network that decoding does without."""


class NetworkSpec(Protocol):
    """What must be known of every class, whatever else its adapter wants to know."""

    @property
    def least_cells(self) -> int:
        """The smallest height and width, in latent cells, that the network takes."""

    @property
    def has_posterior(self) -> Callable[[Any], bool]:
        """Whether the encoder of a network gives a distribution and not one answer."""

    def ratio(self, network: Any) -> TimeCompression:
        """Return how many frames latents stand for."""


class Adapter(Autoencoder):
    """Takes a clip through a network of diffusers, group by group, on the device that was chosen.

    A subclass says how frames are grouped and how one group is encoded and decoded.
    """

    specs: ClassVar[Mapping[str, NetworkSpec]]
    """The diffusers classes that this adapter speaks to, by name."""
    is_framewise: ClassVar[bool] = False
    """Whether each frame goes through the network by itself."""

    def __init__(
        self,
        network: Any,
        folder: Path,
        chosen: DeviceChoice,
        sample_seed: int | None = None,
        tiling: Tiling = Tiling.auto,
        tile: int = 512,
    ) -> None:
        """Prepare a network; ``probe`` comes next.

        Args:
            network: of a class of diffusers that ``specs`` has.
            folder: where it was read from.
            chosen: the device and its dtype.
            sample_seed: of samples of the posterior; None takes its mode.
            tiling: whether frames go through whole.
            tile: side of a tile, in pixels.

        Raises:
            ModelError: it has no posterior to sample.
        """
        self.spec = self.spec_of(network)
        self.has_posterior = self.spec.has_posterior(network)
        self.is_sampled = sample_seed is not None
        if self.is_sampled and not self.has_posterior:
            raise ModelError(
                f"model.posterior=sample: {type(network).__name__} has no posterior, its latents are exact",
                "use model.posterior=mode",
            )
        self.ratio = self.spec.ratio(network)
        self.first_frames, self.time_stride = self.ratio.first, self.ratio.stride
        self.executor = BatchExecutor(network, chosen, self.is_framewise, tiling, tile)
        self.folder, self.seed, self.takes_posterior_std = folder, sample_seed, False
        self.normalisation = Normalisation.none()

    def probe(self) -> None:
        """Ask the network itself for its stride and its channels, since configs of old checkpoints lie.

        Raises:
            ModelError: it takes no frames of three channels, or none at all, or a latent stands for another
                number of frames than its config says, or its normalisation has other channels.
        """
        self.stride, self.latent_channels = self._probed()
        self.executor.stride, self.executor.is_probing = self.stride, False
        self.normalisation = Normalisation.of(self.network, self.folder)
        self.normalisation.check(self.latent_channels, self.folder)

    def __copy__(self) -> Adapter:
        """Return a twin around the same weights, which learns of the memory by itself."""
        twin = object.__new__(type(self))
        twin.__dict__ |= self.__dict__ | {"executor": copy.copy(self.executor)}
        return twin

    @property
    def network(self) -> Any:
        """What diffusers loaded."""
        return self.executor.network

    @property
    def chosen(self) -> DeviceChoice:  # type: ignore[override]
        """Where the network runs at present."""
        return self.executor.chosen

    def encode(self, chunks: Iterable[Frames]) -> Iterator[Latents]:
        """Encode group after group; nothing is kept of a clip but what the network itself remembers."""
        tiled_pass = self.executor.begin("encode", self._encoder)
        for group in self._groups("encode", chunks):
            if group.fresh:
                tiled_pass.begin_anew()
            answer = self.executor.send(tiled_pass, self.padded(group.inputs), group.number)
            raw = self._drawn(answer, group.number)
            latents = group.kept(self.normalisation.apply(raw, group.number), EACH)
            check_finite(latents, "latents", self.ratio.frames(group.number + group.skip))
            yield latents

    def decode(self, chunks: Iterable[Latents], size: Size) -> Iterator[Frames]:
        """Decode group after group and cut off the rows and columns that were padded before encoding."""
        tiled_pass = self.executor.begin("decode", self._decoder)
        for group in self._groups("decode", chunks):
            if group.fresh:
                tiled_pass.begin_anew()
            raw = self.normalisation.undo(group.inputs, group.number)
            frames = group.kept(self.executor.send(tiled_pass, raw, group.number), self.ratio)
            check_finite(frames, "decoded frames", self.ratio.frames(group.number + group.skip))
            yield frames[:, :, : size.height, : size.width]

    def posterior_std(self, chunks: Iterable[Frames]) -> Iterator[Latents]:
        """Encode once more and keep the width of the posterior instead of its mode."""
        twin = copy.copy(self)
        twin.takes_posterior_std = True
        number = 0
        for latents in twin.encode(chunks):
            nothing = self.normalisation.apply(latents.new_zeros(latents.shape), number)
            yield latents - nothing if self.has_posterior else nothing - nothing
            number += len(latents)

    def with_bent_decoder(self, bend: Callable[[Mapping[str, Tensor]], None]) -> Adapter:
        """Copy the decoder, share the encoder, and hand the copy's weights to ``bend``."""
        twin = copy.copy(self)
        encoding = {id(part): part for name, part in self.network.named_children() if name in ENCODING_PARTS}
        twin.executor.network = copy.deepcopy(self.network, encoding)
        weights = twin.network.named_parameters()
        bend({name: weight for name, weight in weights if name.split(".")[0] not in ENCODING_PARTS})
        return twin

    def tiles_of(self, size: Size) -> dict[str, str]:
        """Return for ``encode`` and ``decode`` how frames of a size go through at present."""
        height, width = (-(-pixels // self.stride) for pixels in (size.height, size.width))
        return {
            half: Tiles(height, width, tile_cells(self.executor.sides.get(half), self.stride)).described(
                self.stride
            )
            for half in HALVES
        }

    def padded(self, frames: Frames) -> Frames:
        """Repeat the last row and column up to a size that the network takes."""
        from torch.nn.functional import pad

        least = self.stride * self.spec.least_cells
        below, right = (
            max(least - pixels, -pixels % self.stride) for pixels in (frames.shape[-2], frames.shape[-1])
        )
        return pad(frames, (0, right, 0, below), mode="replicate") if below or right else frames

    @classmethod
    def spec_of(cls, network: Any) -> NetworkSpec:
        """Find the row of a network's class."""
        return cls.specs[type(network).__name__]

    @abstractmethod
    def _encoder(self) -> Call:
        """Begin a clip: give what turns frames ``T 3 H W`` into raw latents, one group after the other."""

    @abstractmethod
    def _decoder(self) -> Call:
        """Begin a clip: give what turns raw latents into frames, one group after the other."""

    @abstractmethod
    def _groups(self, half: str, chunks: Iterable[Tensor]) -> Iterator[Chunk]:
        """Cut frames or latents into the groups that are encoded or decoded together."""

    def _taken(self, distribution: Any) -> Tensor:
        """Take of a posterior ``T C h w`` its mode, its width, or, to draw a sample of, both: ``T 2C h w``."""
        if self.takes_posterior_std:
            spread: Tensor = distribution.std
            return spread
        if self.seed is None:
            mode: Tensor = distribution.mode()
            return mode
        import torch

        return torch.cat([distribution.mean, distribution.std], dim=1)

    def _drawn(self, answer: Tensor, first: int) -> Tensor:
        """Draw the sample that belongs to these latents' numbers, for all tiles at once; else they are the answer."""
        if self.takes_posterior_std or self.seed is None:
            return answer
        mean, spread = answer.chunk(2, dim=1)
        return mean + spread * normal_frames(first, mean.shape, self.seed, "posterior")

    def _probed(self) -> tuple[int, int]:
        """Return the stride and the number of channels that a frame shows.

        One that is too small for a network fails, or becomes a single cell whatever the stride is: larger
        ones are tried until there are two.
        """
        # A latent cell is a pixel until it is known to be more, and nothing is filled up.
        self.stride = 1
        fault: Exception | None = None
        for side in PROBE_SIDES:
            try:
                latents = self._there_and_back(side)
            except (RuntimeError, ValueError) as error:
                fault = error
                if _wants_channels(error):
                    break
                continue
            except MismatchError as error:
                raise ModelError(
                    f"model: {self._called_in()} gives another number of frames than its config promises ({error})",
                    "use the config.json and the weights of one and the same model",
                ) from error
            if latents.shape[-1] > 1 or side == PROBE_SIDES[-1]:
                return side // latents.shape[-1], latents.shape[1]
        assert fault is not None
        raise self._unfit(fault) from fault

    def _there_and_back(self, side: int) -> Latents:
        """Encode a square of blank frames, for two latents of a clip, and decode it."""
        import torch

        blank = torch.zeros(self.ratio.frames(2), 3, side, side)
        latents = torch.cat(list(self.encode([blank])))
        for _ in self.decode([latents], Size(side, side)):
            pass
        return latents

    def _called_in(self) -> str:
        return f"{type(self.network).__name__} in {self.folder}"

    def _unfit(self, fault: Exception) -> ModelError:
        """Return why a network takes no frame."""
        reason = str(fault).splitlines()[0][:120]
        channels = _wants_channels(fault)
        if channels:
            return ModelError(
                f"model: {self._called_in()} cannot encode an RGB frame: it takes {channels} channels ({reason})",
                "give an autoencoder of RGB pictures or video",
            )
        return ModelError(
            f"model: {self._called_in()} cannot encode and decode a frame of {PROBE_SIDES[0]} "
            f"to {PROBE_SIDES[-1]} pixels ({reason})",
            "use the config.json and the weights of one and the same model, and pip install -U diffusers",
        )


def _wants_channels(error: Exception) -> str:
    """Read out of torch's error how many channels a convolution wanted in place of three; empty for another fault."""
    wanted = re.search(r"to have (\d+) channels, but got 3 channels", str(error))
    return wanted[1] if wanted else ""
