"""What flow moves: latents sent to other places, and noise that is carried along."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.errors import VaeExperimentsError
from vae_experiments.manipulations.lookup import WHOLE_CELLS, looked_up, places
from vae_experiments.runtime.seeding import normal
from vae_experiments.tensors import Joined, numbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from vae_experiments.manipulations.clip import Clip
    from vae_experiments.manipulations.manipulation import ChainStep

ROUNDS = 12
"""Of the fixed point, at most."""
FOUND, COVERED = 1e-4, 0.5
"""So near, in cells, comes what is sent to a place, so that no further round is needed; and so near it must come."""
CONSISTENT, CONSISTENT_SHARE = 0.3, 0.1
"""So far, in cells and of the way, the way there and back may miss the place that it began at."""

LOBES = 3
"""Of Lanczos' kernel, to either side: noise between cells is as fine as on them, where bilinear it would be smooth."""


class Displaced(NamedTuple):
    """A frame whose latents were sent to other places."""

    latents: Tensor
    """``C h w``."""
    covered: Tensor
    """Where something was sent to, ``h w``."""


def check_flow(step: ChainStep, name: str, clip: Clip) -> None:
    """Look whether a setting that asks for flow can have it.

    Raises:
        VaeExperimentsError: the source is latents, another step changed the length, or the library is not there.
    """
    if clip.flows is None:
        problem = (
            f"{step.name}.{name} follows the frames that were encoded, and there are none in step with these"
        )
        raise VaeExperimentsError(problem, "give the video, and put what changes the length behind it")
    clip.flows.check(f"{step.name}.{name}", getattr(step, name))


def with_flow(
    chunks: Iterable[Tensor], clip: Clip, from_first: bool, path: str = ""
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield the number, the latent ``C h w`` and the flow ``4 h w``, float64, of one latent after the other.

    A flow that ends sooner stands still from there on.
    """
    import torch

    assert clip.flows is not None, "this clip knows no way to its flow"
    flows: Joined | None = None
    for at, latents in numbered(chunks):
        cells = (latents.shape[2], latents.shape[3])
        flows = flows or Joined(clip.flows.of(path, cells, from_first))
        for number, latent in enumerate(latents, at):
            flow = flows.take(1)
            yield number, latent, torch.zeros(4, *cells).double() if flow is None else flow[0].double()
    if flows and not path:
        flows.take(1)  # only what was read to its end is kept in the cache


def meets(flow: Tensor) -> Tensor:
    """Whether the way back from each place, and from there to here, of a flow ``4 h w`` comes to it again: ``h w``."""
    x, y = places(flow)
    there = looked_up(flow[2:], x + flow[0], y + flow[1])
    lost = (flow[:2] + there).norm(dim=0)
    meeting: Tensor = lost < CONSISTENT + CONSISTENT_SHARE * flow[:2].norm(dim=0)
    return meeting


def displaced(frame: Tensor, way: Tensor) -> Displaced:
    """Send what each cell of a frame ``C h w`` shows the way ``2 h w`` (x, y), in cells.

    What comes to ``p`` is looked up at the ``q`` with ``q + way(q) = p``, a fixed point. It begins at a cell that is
    sent there, of several at the one whose way differs most from the usual one: what moves by itself mostly is in front.
    """
    import torch

    across, down = (place.expand(way.shape[1:]) for place in places(frame))
    x, y = _sent(way, across, down)
    for _ in range(ROUNDS):
        right, lower = looked_up(way, x, y)
        x, y, before = across - right, down - lower, (x, y)
        if max((x - before[0]).abs().max(), (y - before[1]).abs().max()) < FOUND:
            break
    right, lower = looked_up(way, x, y)
    missed = torch.hypot(x + right - across, y + lower - down)
    height, width = way.shape[1:]
    inside = (x > -COVERED) & (x < width - 1 + COVERED) & (y > -COVERED) & (y < height - 1 + COVERED)
    return Displaced(looked_up(frame, x, y), inside & (missed < COVERED))


def _sent(way: Tensor, across: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each place a cell that is sent to it, x and y; where there is none, where its own way leads back to."""
    import torch

    height, width = way.shape[1:]
    x, y = _nearest(across + way[0]), _nearest(down + way[1])
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    usual = way.flatten(1).median(1).values[:, None, None]
    order = (way - usual).norm(dim=0)[inside].argsort(stable=True)
    landed = (y * width + x)[inside][order]
    last = torch.full((height * width,), -1).scatter_reduce(0, landed, torch.arange(len(landed)), "amax")
    last = last.reshape(height, width)
    starts = []
    for place, way_back in ((across, across - way[0]), (down, down - way[1])):
        senders = torch.cat([place[inside][order], place.new_zeros(1)])  # so that -1 names something
        starts.append(torch.where(last >= 0, senders[last], way_back))
    return starts[0], starts[1]


def _nearest(place: Tensor) -> Tensor:
    """Return the cell that places are nearest to; between two it is always the same side, so that none is left out."""
    return (place + 0.5 + WHOLE_CELLS).floor().long()


def filled(first: Displaced, *others: Displaced) -> Tensor:
    """Fill what is uncovered in a frame from others, and the rest, inside the frame, from around it."""
    latents, known = first.latents, first.covered
    for other in others:
        latents, known = latents.where(known, other.latents), known | other.covered
    return latents if known.all() or not known.any() else _grown(latents, known)


def _grown(latents: Tensor, known: Tensor) -> Tensor:
    """Let what is known grow into the rest, cell by cell, as the mean of the known neighbours."""
    import torch
    from torch.nn.functional import avg_pool2d

    values, weights = latents.double() * known, known[None].double()
    while not weights.all():
        around = [avg_pool2d(plane, 3, 1, 1, count_include_pad=True) for plane in (values, weights)]
        grown = around[0] / around[1].clamp(min=1e-12)
        values = torch.where(weights > 0, values, grown)
        weights = (around[1] > 0).double()
    return values.to(latents).where(~known, latents)


class CarriedNoise:
    """Noise that flow carries from latent to latent: white, and of unit variance, in each of them.

    Each cell holds the draw of a place that came to it, whole, and by how much it missed that place: so nothing is
    looked up twice, and a draw is not blurred on its way. What is seen lies between the draws around it, divided by the
    root of the sum of their squared weights. Where the flow there and back does not meet, where a place comes from outside the
    frame, and where the draws of several places have come together, the draw is a new one.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        self.seed, self.purpose = seed, f"carried {purpose}"
        self._draws: Tensor | None = None
        self._missed: Tensor | None = None
        """By how much, ``2 h w`` (x, y)."""

    def after(self, flow: Tensor, number: int, shape: Sequence[int]) -> Tensor:
        """Return the noise ``C h w`` of the latent of this number, to which the flow ``4 h w`` leads."""
        import torch

        new = normal(shape, self.seed, self.purpose, number)
        if self._draws is None or self._missed is None:
            self._draws, self._missed = new, torch.zeros(2, *shape[1:], dtype=torch.float64)
        else:
            self._carry(flow, new)
        return _between_draws(self._draws, self._missed)

    def _carry(self, flow: Tensor, new: Tensor) -> None:
        import torch

        assert self._draws is not None, "nothing to carry"
        assert self._missed is not None, "nothing to carry"
        height, width = new.shape[1:]
        came_x, came_y = (place + way for place, way in zip(places(new), flow[:2], strict=True))
        x, y = _nearest(came_x).clamp(0, width - 1), _nearest(came_y).clamp(0, height - 1)
        came_x, came_y = came_x + self._missed[0, y, x], came_y + self._missed[1, y, x]
        cells = _taken(came_x, came_y, meets(flow))
        y, x = cells.div(width, rounding_mode="floor"), cells % width
        is_old = cells >= 0
        self._draws = torch.where(is_old, self._draws[:, y, x], new)
        self._missed = torch.stack([came_x - x, came_y - y]).where(is_old, 0.0)


def _taken(x: Tensor, y: Tensor, wanted: Tensor) -> Tensor:
    """Return the number of the cell that each place ``h w`` takes the draw of, no two the same one; -1 is none.

    The nearest to where it came from, of several places the nearest one's; who is left takes another around it, so
    that where flow gathers and spreads by fractions of a cell few draws are lost.
    """
    import torch

    height, width = x.shape
    taken, free = torch.full((height, width), -1), torch.ones(height * width + 1, dtype=torch.bool)
    free[-1] = False
    near_x, near_y = _nearest(x), _nearest(y)
    far_x, far_y = (near + (near <= place).long() * 2 - 1 for near, place in ((near_x, x), (near_y, y)))
    for column, row in ((near_x, near_y), (far_x, near_y), (near_x, far_y), (far_x, far_y)):
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        cells = (row * width + column).where(inside & wanted & (taken < 0), -1)
        cells = cells.where(free[cells], -1)
        cells = cells.where(_is_nearest(cells, torch.hypot(x - column, y - row)), -1)
        taken = torch.maximum(taken, cells)
        free[cells[cells >= 0]] = False
    return taken


def _is_nearest(cells: Tensor, distance: Tensor) -> Tensor:
    """Whether each place ``h w`` is the nearest one to the cell that it names, of all that name it."""
    import torch

    order = distance.flatten().argsort(stable=True, descending=True)
    ranks = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
    named = cells.flatten() % len(order)
    ranks = ranks.where(cells.flatten() >= 0, -1)
    best = torch.full_like(named, -1).scatter_reduce(0, named, ranks, "amax")
    return (best[named] == ranks).reshape(cells.shape)


def _between_draws(draws: Tensor, missed: Tensor) -> Tensor:
    """Look draws ``C h w`` up beside each cell, by Lanczos' kernel, and divide by what it makes of their variance."""
    import torch

    height, width = draws.shape[1:]
    x, y = places(draws)
    columns, across = _taps(x + missed[0], width)
    rows, down = _taps(y + missed[1], height)
    seen = torch.zeros(draws.shape, dtype=torch.float64)
    for row, lower in zip(rows, down, strict=True):
        for column, right in zip(columns, across, strict=True):
            seen += lower * right * draws[:, row, column]
    return (seen / (across.square().sum(0) * down.square().sum(0)).sqrt()).float()


def _taps(place: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return the cells around each place on one axis, and their weights: ``K h w`` both."""
    import torch

    place = place.clamp(0, side - 1)
    cells = place.floor().long() + torch.arange(1 - LOBES, 1 + LOBES).reshape(-1, 1, 1)
    distance = place - cells
    weights = distance.sinc() * (distance / LOBES).sinc()
    return cells.clamp(0, side - 1), weights.where((cells >= 0) & (cells < side), 0.0)
