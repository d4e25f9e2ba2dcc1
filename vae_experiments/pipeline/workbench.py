"""The workbench: a short clip and a model in Python's hands, one step at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from vae_experiments.errors import NumbersError, VaeExperimentsError
from vae_experiments.manipulations import chain, checked
from vae_experiments.metrics import Fidelity
from vae_experiments.models import Bundled, load_pair
from vae_experiments.pipeline.second_video import clip_of
from vae_experiments.runtime.device import Device
from vae_experiments.sources import MovingCircle
from vae_experiments.tensors import Size, to_pixels
from vae_experiments.writers import Player

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vae_experiments.manipulations import ChainStep, Clip
    from vae_experiments.models import Autoencoder, Model
    from vae_experiments.sources import Source
    from vae_experiments.tensors import Frames, Latents


@dataclass
class Workbench:
    """Holds a short clip for work by hand: its frames, its latents, and the model between them.

    Frames are ``T 3 H W`` in [-1, 1], latents ``T C h w`` of about unit variance, both float32 on the
    CPU and nothing but tensors: what the methods take may as well be the work of your own code. All of
    it is in memory, about 50 MB for a second of 256x256 at 24 fps; ``Experiment`` takes clips of any length.
    """

    source: Source = field(default_factory=MovingCircle)
    model: Model = field(default_factory=Bundled)
    device: Device = field(default_factory=Device)
    batch_size: int = 8
    decoder: Model | None = None
    """Decodes in place of the model; it must take latents of the same geometry."""

    @cached_property
    def frames(self) -> Frames:
        """Read the source, as the model is given it.

        Raises:
            SourceError: it cannot be read.
            NumbersError: it gave no frames.
        """
        import torch

        chunks = list(self.source.chunks(self.batch_size))
        if not chunks:
            raise NumbersError("the source gave no frames", "give a source with at least one frame")
        return torch.cat(chunks)

    @cached_property
    def latents(self) -> Latents:
        """Encode the source."""
        return self.encode(self.frames)

    @cached_property
    def autoencoder(self) -> Autoencoder:
        """Load the model, and the one that decodes in its place.

        Raises:
            ModelError: the weights are missing, damaged, of another class, or cannot be downloaded.
            DeviceError: the device that was asked for is not there.
        """
        return load_pair(self.model, self.decoder, self.device.choose())

    @cached_property
    def clip(self) -> Clip:
        """Manipulations what they may know of the clip."""
        return replace(clip_of(self.source, self.autoencoder, self.batch_size), frames=len(self.frames))

    def encode(self, frames: Frames) -> Latents:
        """Turn frames of any length into latents."""
        import torch

        _check("encode", "the frames", frames, 3)
        chunks = self.autoencoder.encode(torch.split(frames, self.batch_size))
        # A network leaves channels last in memory; sums in another order would differ in their last bits.
        return torch.cat(list(chunks)).contiguous()

    def encode_other(self, path: str) -> Latents:
        """Encode another video, a file or a pattern by name, at this one's size, rate and length.

        Raises:
            VaeExperimentsError: there is no such video, or it cannot be read.
        """
        assert self.clip.check_path is not None
        self.clip.check_path(path, "encode_other")
        other = self.clip.second(path).take(len(self.latents))
        assert other is not None, "a second video has no end"
        return other.contiguous()

    def change(self, *links: ChainStep, latents: Latents | None = None) -> Latents:
        """Send latents, those of the source if none are given, through manipulations in the order given.

        Raises:
            VaeExperimentsError: a manipulation does not suit this clip, or changes the model in place of latents.
        """
        import torch

        given = self.latents if latents is None else latents
        first = self.clip.of_length(len(given))
        for link in links:
            if link.bends_decoder:
                problem = f"{link.name} changes the decoder's weights, and no latents"
                raise VaeExperimentsError(problem, "use it in an Experiment")
        checked(links, first)
        return torch.cat(list(chain(links, torch.split(given, self.batch_size), first)))

    def decode(self, latents: Latents) -> Frames:
        """Turn latents into frames of the source's size, as many as they stand for."""
        import torch

        _check("decode", "the latents", latents, self.autoencoder.latent_channels)
        chunks = self.autoencoder.decode(torch.split(latents, self.batch_size), self.source.info.size)
        # A temporal model fills its last group.
        return torch.cat(list(chunks))[: self.clip.of_length(len(latents)).frames]

    def scores(self, frames: Frames) -> dict[str, float | None]:
        """Compare frames with the source's, as far as both go: ``psnr_db``, ``ssim`` and ``flicker``.

        ``psnr_db`` is None for identical frames.
        """
        _check("scores", "what is compared", frames, 3)
        count, fidelity = min(len(frames), len(self.frames)), Fidelity()
        fidelity.update(to_pixels(self.frames[:count]), to_pixels(frames[:count]))
        summary = fidelity.summary()
        return {key: summary[key] for key in fidelity.columns}

    def play(self, **videos: Frames) -> Player:
        """Show frames side by side, each video under its name, where a notebook shows a cell's last line.

        Raises:
            VaeExperimentsError: what is given are no frames, or of several sizes.
        """
        shown = videos or {"original": self.frames}
        for name, frames in shown.items():
            _check("play", name, frames, 3)
        _check_sizes(shown)
        pixels = {name.replace("_", " "): to_pixels(frames) for name, frames in shown.items()}
        info = self.source.info
        return Player.of(pixels, info.fps, info.uneven)


def _check(method: str, name: str, values: Tensor, channels: int) -> None:
    """Refuse frames in place of latents, which are mixed up most easily.

    Raises:
        VaeExperimentsError: the tensor has another shape.
    """
    if values.ndim == 4 and values.shape[1] == channels and len(values):
        return
    what, hint = (
        ("frames T 3 H W", "decode latents first")
        if channels == 3
        else (f"latents T {channels} h w of this model", "encode frames first")
    )
    shape = "x".join(map(str, values.shape))
    raise VaeExperimentsError(f"{method}: {name}, {shape}, are no {what}", hint)


def _check_sizes(videos: Mapping[str, Frames]) -> None:
    sizes = {name: Size(frames.shape[3], frames.shape[2]) for name, frames in videos.items()}
    first = next(iter(sizes))
    for name, size in sizes.items():
        if size != sizes[first]:
            problem = f"play: {name}, {size}, is not as large as {first}, {sizes[first]}"
            raise VaeExperimentsError(problem, "cut or enlarge it first")
