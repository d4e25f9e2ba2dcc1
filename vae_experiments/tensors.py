"""Frames and latents: axis order, value range, conversions and cuts, each written once.

Pixels   array   T H W 3   uint8, RGB: what video files hold
Frames   tensor  T 3 H W   float32 in [-1, 1], RGB: what a network is given
Latents  tensor  T C h w   float32, normalised to about unit variance a channel
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from vae_experiments.errors import NumbersError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np
    import torch

    Pixels: TypeAlias = np.ndarray
    Frames: TypeAlias = torch.Tensor
    Latents: TypeAlias = torch.Tensor


class Size(NamedTuple):
    """Width and height in pixels, in the order in which people say them."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def parse_size(text: str) -> Size:
    """Read ``256`` as 256x256 and ``480x272`` as width by height.

    Raises:
        ValueError: the text is neither.
    """
    parts = [int(part) for part in text.lower().split("x")]
    if len(parts) > 2 or min(parts) < 1:
        raise ValueError(text)
    return Size(parts[0], parts[-1])


def to_frames(pixels: Pixels) -> Frames:
    """Turn uint8 ``T H W 3`` into float32 ``T 3 H W`` in [-1, 1], without rounding anything."""
    import torch
    from einops import rearrange

    assert (pixels.dtype.name, pixels.ndim, pixels.shape[-1]) == ("uint8", 4, 3), (pixels.dtype, pixels.shape)
    return rearrange(torch.from_numpy(pixels), "t h w c -> t c h w").float().div_(127.5).sub_(1).contiguous()


def to_pixels(frames: Frames) -> Pixels:
    """Turn float ``T 3 H W`` into uint8 ``T H W 3``: round, then clip, never wrap.

    Raises:
        NumbersError: a value is not finite; a cast would have made it black without a word.
    """
    import torch
    from einops import rearrange

    assert (frames.ndim, frames.shape[1]) == (4, 3), frames.shape
    levels = frames.detach().to("cpu", torch.float32).add(1).mul_(127.5)
    check_finite(levels, "frames")  # before clipping, which would pass an infinity off as white
    levels.round_().clamp_(0, 255)
    pixels: Pixels = rearrange(levels.to(torch.uint8), "t c h w -> t h w c").contiguous().numpy()
    return pixels


def in_common(pixels: Mapping[str, Pixels], first: str, second: str) -> tuple[Pixels, Pixels]:
    """Return the frames that two videos both have in this chunk; none where one of them is over."""
    here = next(iter(pixels.values()))
    one, other = (pixels.get(name, here[:0]) for name in (first, second))
    count = min(len(one), len(other))
    return one[:count], other[:count]


class Joined:
    """Reads chunks of any length as one stream, as many frames or latents at a time as are wanted."""

    def __init__(self, chunks: Iterable[torch.Tensor]) -> None:
        self._chunks = iter(chunks)
        self._waiting: list[torch.Tensor] = []

    def take(self, count: int) -> torch.Tensor | None:
        """Return the next ``count``, fewer at the end, and None after it."""
        import torch

        while sum(map(len, self._waiting)) < count and (chunk := next(self._chunks, None)) is not None:
            self._waiting.append(chunk)
        if not self._waiting:
            return None
        joined = self._waiting[0] if len(self._waiting) == 1 else torch.cat(self._waiting)
        self._waiting = [joined[count:]] if len(joined) > count else []
        return joined[:count]


class Endless(Joined):
    """Reads chunks of a stream that has no end."""

    def take(self, count: int) -> torch.Tensor:
        """Return the next ``count``."""
        taken = super().take(count)
        assert taken is not None, "a stream without end has ended"
        return taken


def numbered(chunks: Iterable[torch.Tensor]) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield each chunk behind the number of its first frame or latent."""
    first = 0
    for chunk in chunks:
        yield first, chunk
        first += len(chunk)


def check_finite(values: torch.Tensor, what: str, first: int = 0, each: str = "frame") -> None:
    """Stop before a value that is not finite becomes a black picture.

    Args:
        values: time first; ``first`` is the number of its first frame.
        what: what the values are, for the message.
        each: what one step in time is called, for the message.

    Raises:
        NumbersError: names the first bad frame and how many values are bad.
    """
    import torch

    # One number decides the usual case: a sum over finite values of this size is finite.
    if values.sum(dtype=torch.float64).isfinite():
        return
    bad = (~values.isfinite()).flatten(1).sum(1)
    if bad.any():
        raise NumbersError(
            f"{int(bad.sum())} values of the {what} are not finite, first at {each} {first + int(bad.nonzero()[0])}",
            "use weaker settings of the manipulation, or other weights",
        )
