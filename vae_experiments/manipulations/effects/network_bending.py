"""A manipulation of the decoder's weights instead of the latents: network bending."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from vae_experiments.manipulations.manipulation import ChainStep
from vae_experiments.options import setting
from vae_experiments.runtime.seeding import normal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.tensors import Latents

NAMES_SHOWN = 4


class Bend(ChainStep):
    """Bends the decoder's weights and leaves the latents: tints, patterns and blots appear.

    Scaled, given noise, quantised, pruned and permuted, in this order (network bending, Broad et al.
    2021, on weights): every weight tensor whose name fits ``layers``, but no bias and no norm. The
    untouched reconstruction keeps the decoder as it was.
    """

    gallery_values = ("noise", (0.1, 0.3, 1))

    scale: float = setting("factor on every weight: 1 changes nothing", default=1.0)
    noise: float = setting(
        "strength of noise on the weights",
        default=0.0,
        unit="standard deviations of each weight tensor",
        minimum=0,
    )
    levels: int = setting(
        "round each tensor to so many levels from its least to its greatest weight; 0 does not",
        default=0,
        minimum=0,
    )
    prune: float = setting(
        "fraction of the smallest weights of each tensor set to 0", default=0.0, minimum=0, maximum=1
    )
    permute: float = setting(
        "fraction of each layer's output channels that change places", default=0.0, minimum=0, maximum=1
    )
    layers: str = setting("which weights, by a pattern of their names such as *up_blocks.1*", default="*")
    seed: int = setting("seed of noise and places", default=0, minimum=0)
    strength: float = setting(
        "mix of the weights as they were (0) and bent (1)",
        default=1.0,
        minimum=0,
        maximum=1,
        for_every_kind=True,
    )

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            SettingError: a value breaks its rule.
        """
        super().__post_init__()
        if self.levels == 1:
            raise self.error_for("levels", "must be 0 (off) or at least 2")

    def stream(self, chunks: Iterable[Latents], _clip: Clip) -> Iterator[Latents]:
        """Let the latents pass."""
        return iter(chunks)

    def bend(self, weights: Mapping[str, Tensor]) -> None:
        """Bend the weights that were named, in place.

        Raises:
            SettingError: no weight has such a name.
        """
        import torch

        able = [name for name, weight in weights.items() if _is_bent(weight)]
        chosen = [name for name in able if fnmatchcase(name, self.layers)]
        if not chosen:
            some = ", ".join(able[:: max(1, len(able) // NAMES_SHOWN)][:NAMES_SHOWN])
            raise self.error_for(
                "layers", "fits no weight of the decoder", f"its weights have names such as {some}"
            )
        with torch.no_grad():
            for name in chosen:
                bias = weights.get(f"{name.removesuffix('weight')}bias") if name.endswith("weight") else None
                self._bend_layer(name, weights[name], bias)

    def _bend_layer(self, name: str, weight: Tensor, bias: Tensor | None) -> None:
        import torch

        # On the CPU and in float32 the numbers are the same on every device and at any precision.
        before = weight.to("cpu", torch.float32)
        places = self._places(name, len(before))
        after = self._changed(name, before)[places]
        weight.copy_(before.lerp(after, self.strength))
        if bias is not None and len(bias) == len(places):
            moved = bias.to("cpu", torch.float32)
            bias.copy_(moved.lerp(moved[places], self.strength))

    def _changed(self, name: str, weight: Tensor) -> Tensor:
        weight = weight * self.scale
        if self.noise:
            spread = weight.std(correction=0)
            weight = weight + self.noise * spread * normal(weight.shape, self.seed, f"{self.purpose} {name}")
        if self.levels:
            weight = _quantized(weight, self.levels)
        return _pruned(weight, self.prune) if self.prune else weight

    def _places(self, name: str, count: int) -> Tensor:
        """Return which output channel comes to each place: those that were drawn go round by one."""
        import torch

        order = normal((count,), self.seed, f"places {self.purpose} {name}").argsort()
        moving = order[: round(self.permute * count)]
        places = torch.arange(count)
        places[moving] = moving.roll(1)
        return places


def _is_bent(weight: Tensor) -> bool:
    """Whether a weight is a matrix or a kernel, and not a bias or the scales of a norm, one number a channel in any shape."""
    return weight.ndim >= 2 and weight.numel() > len(weight)


def _quantized(weight: Tensor, levels: int) -> Tensor:
    low, high = weight.aminmax()
    step = (high - low) / (levels - 1)
    return low + step * ((weight - low) / step).round() if step > 0 else weight


def _pruned(weight: Tensor, share: float) -> Tensor:
    """Set the smallest to 0; of equals, as quantising makes, those that come first."""
    smallest = weight.abs().flatten().argsort(stable=True)[: round(share * weight.numel())]
    return weight.flatten().index_fill(0, smallest, 0).reshape(weight.shape)
