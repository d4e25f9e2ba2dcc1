"""Optical flow against motion that is known."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import interpolate

from vae_experiments.sources.optical_flow import LEAST_SIDE, flows

pytest.importorskip("cv2", reason="optical flow needs pip install 'vae_experiments[flow]'")


def texture(height: int, width: int) -> torch.Tensor:
    coarse = torch.rand(1, 3, height // 6, width // 6, generator=torch.Generator().manual_seed(2))
    return interpolate(coarse * 2 - 1, (height, width), mode="bicubic")[0].clamp(-1, 1)


def shifted(count: int, x: int, y: int, height: int = 96, width: int = 128) -> list[torch.Tensor]:
    """Frames of a texture that goes so many pixels to the right and down in each."""
    room = 80
    ground = texture(height + 2 * room, width + 2 * room)
    return [
        ground[:, room - y * n : room - y * n + height, room - x * n : room - x * n + width]
        for n in range(count)
    ]


@pytest.mark.parametrize("from_first", [False, True])
def test_flow_leads_back_and_onward_by_what_a_texture_was_moved_in_cells(from_first: bool) -> None:
    found = list(flows(shifted(4, 6, -3), 8, (12, 16), from_first))
    assert torch.equal(found[0], torch.zeros(4, 12, 16))
    for number, flow in enumerate(found[1:], 1):
        steps = number if from_first else 1
        way = torch.tensor([-6, 3, 6, -3]) * steps / 8
        middle = flow[:, 3:-3, 4:-4].flatten(1).median(1).values
        assert torch.allclose(middle, way, atol=0.05)


def test_flow_from_the_first_frame_follows_what_has_gone_far() -> None:
    found = list(flows(shifted(10, 7, 0), 8, (12, 16), from_first=True))
    assert float(found[-1][0, :, 9:].median()) == pytest.approx(-63 / 8, abs=0.2)


def test_large_frames_are_measured_smaller_and_give_the_same_cells() -> None:
    frames = shifted(2, 4, 2)
    large = [interpolate(frame[None], scale_factor=6, mode="bilinear")[0].clamp(-1, 1) for frame in frames]
    small, measured = (
        list(flows(given, stride, (12, 16), False))[1] for given, stride in ((frames, 8), (large, 48))
    )
    assert torch.allclose(measured[:, 2:-2, 2:-2], small[:, 2:-2, 2:-2], atol=0.1)


@pytest.mark.parametrize("size", [(8, 8), (1, 9), (12, 40), (50, 20)])
def test_small_frames_and_cells_that_are_there_in_part_have_a_flow(size: tuple[int, int]) -> None:
    height, width = size
    assert min(size) < LEAST_SIDE
    cells = (-(-height // 8), -(-width // 8))
    for flow in flows([torch.rand(3, *size) * 2 - 1 for _ in range(3)], 8, cells, False):
        assert flow.shape == (4, *cells)
        assert flow.isfinite().all()
