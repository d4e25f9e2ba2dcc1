"""Layers that are shown again what they saw last, so that a causal network continues where a group ended.

A causal layer of diffusers takes the first frame that it sees for the first of a clip: it repeats it in
place of a past, or lets it stand alone where others come in pairs. Here such a layer gets, from the
second group of a clip on, its last inputs once more in front of the new ones, and what it makes of them
is thrown away: the rest is what it gives in one pass over the clip, to rounding. What differs from
layer to layer is a row of ``LAYERS``. What is remembered belongs to the clip; a network has it for the
time of one call.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

    Past: TypeAlias = tuple[Tensor, ...]
    """What a layer has kept of its inputs, in their order."""

GROUP = 4
"""How many latents go through such a network at once: a layer sees two or three inputs again with them."""
GROUPS_ATTENDED = 3
"""How many groups before its own an attention over time looks back to: in all it sees 16 latents."""

Memory: TypeAlias = "defaultdict[Any, Any]"
"""What a network remembers of a clip so far: empty at its beginning, None for what is not there yet."""

Part: TypeAlias = "Callable[[Any, Tensor, Memory], Tensor]"
"""One half of a network, on one group ``1 C T H W``: network, group, memory, which it brings up to date."""


def nothing_yet() -> Memory:
    """Begin a clip."""
    return defaultdict(lambda: None)


@dataclass(frozen=True)
class CarriedContext:
    """Says how many of its last inputs a layer sees again, and how many results that makes."""

    inputs: int
    results: int
    time: int = 2
    """Along which axis of its input time runs."""

    def keep(self, past: Past, new: Tensor) -> Past:
        """Keep the last inputs of a layer, the first one repeated where there are not enough yet."""
        import torch

        if new.size(self.time) < self.inputs:
            before = past or (new.narrow(self.time, 0, 1),) * self.inputs
            new = torch.cat([*before, new], self.time)
        return (new.narrow(self.time, new.size(self.time) - self.inputs, self.inputs).clone(),)

    def wasted(self, past: Past) -> int:
        """Count the first results that are thrown away."""
        return self.results if past else 0


@dataclass(frozen=True)
class Attention(CarriedContext):
    """Says of a causal attention that it looks back at what was fed to it in the last groups."""

    inputs: int = 0
    results: int = 0
    masked: bool = False
    """Whether it is told with its input which frames see which."""

    def keep(self, past: Past, new: Tensor) -> Past:
        """Keep the inputs of the last groups."""
        return (*past, new)[-GROUPS_ATTENDED:]

    def wasted(self, past: Past) -> int:
        """Count the results for what was in the groups before."""
        return sum(part.size(self.time) for part in past)


def _convolution(layer: Any) -> CarriedContext | None:
    """Fill up what stands before its first frame: after that, ``stride`` inputs a result."""
    inner = getattr(layer, "conv", layer)
    kernel, stride = inner.kernel_size[0], inner.stride[0]
    more = max(0, -(-(kernel - stride - 1) // stride))
    return CarriedContext(1 + more * stride, 1 + more) if kernel > 1 else None


def _when(holds: Callable[[Any], bool], again: CarriedContext) -> Callable[[Any], CarriedContext | None]:
    """Return a layer's row where it changes the number of frames; elsewhere what is inside it remembers."""
    return lambda layer: again if holds(layer) else None


HALVING = CarriedContext(3, 2)
"""One frame alone and then pairs, after a convolution that looks two frames back."""
DOUBLING = CarriedContext(2, 3)
"""The same the other way round: of one frame one, of every later one two."""
PATCHING = CarriedContext(1, 1)
"""One frame alone and then several, of which none looks back by more than one."""

LAYERS: Mapping[str, Callable[[Any], CarriedContext | None]] = {
    "CogVideoXCausalConv3d": _convolution,
    "HunyuanVideo15CausalConv3d": _convolution,
    "LTXVideoCausalConv3d": _convolution,
    "LTX2VideoCausalConv3d": _convolution,
    "CosmosCausalConv3d": _convolution,
    "HunyuanVideo15Downsample": _when(lambda layer: layer.add_temporal_downsample, HALVING),
    "LTXVideoDownsampler3d": _when(lambda layer: layer.stride[0] == 2, HALVING),
    "LTX2VideoDownsampler3d": _when(lambda layer: layer.stride[0] == 2, HALVING),
    "HunyuanVideo15Upsample": _when(lambda layer: layer.add_temporal_upsample, DOUBLING),
    "LTXVideoUpsampler3d": _when(lambda layer: layer.stride[0] == 2, DOUBLING),
    "LTX2VideoUpsampler3d": _when(lambda layer: layer.stride[0] == 2, DOUBLING),
    "CosmosDownsample3d": _when(lambda layer: layer.temporal_downsample, PATCHING),
    "CosmosUpsample3d": _when(lambda layer: layer.temporal_upsample, PATCHING),
    "CosmosPatchEmbed3d": lambda _layer: PATCHING,
    "CosmosUnpatcher3d": lambda _layer: PATCHING,
    "CosmosCausalAttention": _when(
        lambda layer: "Temporal" in type(layer.processor).__name__, Attention(masked=True)
    ),
    "HunyuanVideo15AttnBlock": lambda _layer: Attention(),
    "Attention": _when(lambda layer: layer.is_causal, Attention(time=1)),
}
"""The layers of diffusers in which time is not frame by frame, by the name of their class."""


@contextmanager
def remembered(part: Any, memory: Memory) -> Iterator[None]:
    """Lend the layers of a network's half what they remember of a clip, and take it back.

    The memory is brought up to date when the call has succeeded, and only then: after an error the same
    group can go through again.
    """
    layers = list(_layers(part))
    hooks = []
    for number, (layer, again) in enumerate(layers):
        layer.again, layer.past, layer.kept = again, memory.get(number) or [], []
        hooks += [layer.register_forward_pre_hook(_shown), layer.register_forward_hook(_cut)]
    try:
        yield
        memory.update({number: layer.kept for number, (layer, _) in enumerate(layers)})
    finally:
        for hook in hooks:
            hook.remove()
        for layer, _ in layers:
            del layer.again, layer.past, layer.kept


def _layers(part: Any) -> Iterator[tuple[Any, CarriedContext]]:
    """Find the layers that must remember; one that does so does it for what is inside it too."""
    for layer in part.children():
        rule = LAYERS.get(type(layer).__name__)
        again = rule(layer) if rule else None
        if again is None:
            yield from _layers(layer)
        else:
            yield layer, again


def _past_of(layer: Any, call: int) -> Past:
    """Return what was kept of the same call in the last group: some layers are called for parts of a frame."""
    return layer.past[call] if layer.past else ()


def _shown(layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Put what a layer saw last in front of its input."""
    import torch

    new, *rest = inputs
    past = _past_of(layer, len(layer.kept))
    layer.kept.append(layer.again.keep(past, new))
    seen = torch.cat([*past, new], layer.again.time) if past else new
    if isinstance(layer.again, Attention) and layer.again.masked:
        count = seen.size(layer.again.time)
        rest = [torch.ones(count, count, dtype=torch.bool, device=seen.device).tril()]
    return (seen, *rest)


def _cut(layer: Any, _inputs: tuple[Any, ...], results: Any) -> Any:
    """Throw away what a layer made of what it had seen before."""
    first, *rest = results if isinstance(results, tuple) else (results,)
    start = layer.again.wasted(_past_of(layer, len(layer.kept) - 1))
    new = first.narrow(layer.again.time, start, first.size(layer.again.time) - start)
    return (new, *rest) if rest else new
