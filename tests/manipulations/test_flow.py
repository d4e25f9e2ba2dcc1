"""What flow moves: latents sent to other places, and noise that is carried along."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.manipulations.clips import clip_of, latents_of, through
from vae_experiments.errors import SettingError, VaeExperimentsError
from vae_experiments.manipulations import MotionGain, MotionMagnify, MotionTransfer, Noise, Retime
from vae_experiments.manipulations.effects.displacement import CarriedNoise, displaced, filled
from vae_experiments.manipulations.effects.motion import By, Reference
from vae_experiments.runtime.seeding import normal
from vae_experiments.sources.optical_flow import check_flow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vae_experiments.manipulations import Manipulation

SHAPE = (4, 12, 16)
SIDE = 3


def even(x: float, y: float) -> torch.Tensor:
    """A flow by which everything has come so far to the right and down."""
    return torch.tensor([-x, -y, x, y], dtype=torch.float64).reshape(4, 1, 1).expand(4, *SHAPE[1:])


def carried(*flows: torch.Tensor) -> list[torch.Tensor]:
    noise = CarriedNoise(7, "noise")
    return [noise.after(flow, number, SHAPE) for number, flow in enumerate([even(0, 0), *flows])]


def test_noise_is_carried_by_whole_cells_as_it_is_and_new_noise_comes_in_at_the_side() -> None:
    first, second, third = carried(even(2, -1), even(0, 3))
    assert torch.equal(second[:, :-1, 2:], first[:, 1:, :-2])
    assert torch.equal(third[:, 3:], second[:, :-3])
    new = normal(SHAPE, 7, "carried noise", 1)
    assert torch.equal(second[:, :, :2], new[:, :, :2])


def test_noise_that_was_carried_by_fractions_of_a_cell_is_not_blurred_on_its_way() -> None:
    noise = carried(*[even(0.25, 0.25)] * 8)
    assert torch.allclose(noise[8][:, 2:, 2:], noise[0][:, :-2, :-2])


def test_carried_noise_has_unit_variance_whatever_the_flow_is() -> None:
    shape = (16, 32, 32)
    noise = CarriedNoise(3, "noise")
    generator = torch.Generator().manual_seed(1)
    for number in range(6):
        way = torch.nn.functional.interpolate(
            torch.randn(1, 2, 4, 4, generator=generator), (32, 32), mode="bicubic"
        )
        drawn = noise.after(torch.cat([way[0], -way[0]]).double(), number, shape)
        assert float(drawn.var()) == pytest.approx(1, abs=0.05)
        assert float(drawn.mean()) == pytest.approx(0, abs=0.03)
        assert abs(float((drawn[:, :, 1:] * drawn[:, :, :-1]).mean())) < 0.15, (
            "neighbours know nothing of each other"
        )


def test_where_the_flow_there_and_back_does_not_meet_the_noise_is_new() -> None:
    flow = even(0, 0).clone()
    flow[2, 4:7, 5:9] = 1.5
    first, second = carried(flow)
    new = normal(SHAPE, 7, "carried noise", 1)
    uncovered = torch.zeros(SHAPE[1:], dtype=torch.bool)
    uncovered[4:7, 5:9] = True
    assert torch.equal(second, new.where(uncovered, first))


def test_places_that_come_from_one_cell_do_not_share_its_draw() -> None:
    """A zoom: each cell becomes four."""
    x = torch.arange(SHAPE[2]).expand(SHAPE[1:]).double()
    y = torch.arange(SHAPE[1])[:, None].expand(SHAPE[1:]).double()
    flow = torch.stack([-x / 2, -y / 2, x, y])
    noise = CarriedNoise(7, "noise")
    for number in range(2):
        noise.after(flow * number, number, SHAPE)
    assert noise._draws is not None
    assert len(noise._draws.unique()) == noise._draws.numel()


def test_noise_that_follows_what_stands_still_is_one_noise_for_all_latents() -> None:
    latents = torch.zeros(5, *SHAPE)
    still = replace(clip_of(latents), flows=Moves(0))
    noisy = through(Noise(follow=1, scale=0.5), latents, 2, still)
    assert all(torch.equal(latent, noisy[0]) for latent in noisy)
    half = through(Noise(follow=0.5), latents, 2, still)
    assert float((half[0] * half[1]).mean() / half.var()) == pytest.approx(0.5, abs=0.1)


@dataclass(frozen=True)
class Moves:
    """The flow of a square on a ground that stands still, so many cells further right in each latent."""

    step: int
    seen: bool = True

    def check(self, setting: str, value: object) -> None: ...

    def of(self, path: str, cells: tuple[int, int], from_first: bool) -> Iterator[torch.Tensor]:
        flow = torch.zeros(1, 4, *cells)
        yield flow
        for number in range(1, 99 if path else 5):
            way, before = self.step * (number if from_first else 1), 0 if from_first else number - 1
            moved = flow.clone()
            moved[0, 0][square(self.step * number)] = -way
            moved[0, 2][square(self.step * before)] = way
            yield moved


def square(x: int) -> tuple[Any, ...]:
    return ..., slice(4, 4 + SIDE), slice(2 + x, 2 + x + SIDE)


def scene(*places: int) -> torch.Tensor:
    """Latents of a square, each cell with a value of its own, at these places on a ground of its own."""
    latents = latents_of((1, *SHAPE), seed=4).repeat(len(places), 1, 1, 1)
    for latent, x in zip(latents, places, strict=True):
        latent[square(x)] = latents_of((4, SIDE, SIDE), seed=5) + 3
    return latents


def moving(manipulation: Manipulation, latents: torch.Tensor) -> torch.Tensor:
    return through(manipulation, latents, 2, replace(clip_of(latents), flows=Moves(1)))


def shows(latent: torch.Tensor, x: int) -> bool:
    return torch.equal(latent[square(x)], scene(x)[0][square(x)])


def test_what_moves_goes_so_many_times_as_far_and_stays_as_it_is() -> None:
    magnified = moving(MotionMagnify(gain=3, by=By.flow), scene(0, 1, 2, 3))
    assert all(shows(latent, 3 * number) for number, latent in enumerate(magnified))
    onward = moving(MotionMagnify(gain=3, by=By.flow, reference=Reference.previous), scene(0, 1, 2, 3))
    assert all(shows(latent, number + 2 * (number > 0)) for number, latent in enumerate(onward))


def test_the_ground_that_what_moves_uncovers_is_that_of_the_first_latent() -> None:
    magnified = moving(MotionMagnify(gain=3, by=By.flow), scene(0, 1, 2, 3))
    ground = scene(3)
    assert torch.equal(magnified[3][:, 4:7, 5:8], scene(0)[0][:, 4:7, 5:8]), (
        "where the square was, seen before"
    )
    assert torch.equal(magnified[3][:, :3], ground[0][:, :3])


@pytest.mark.parametrize(
    "manipulation", [MotionMagnify(gain=0, by=By.flow), MotionGain(gain=0, by=By.flow)], ids=str
)
def test_a_gain_of_0_holds_what_moves_where_it_is_first_or_on_average(manipulation: Manipulation) -> None:
    held = moving(manipulation, scene(0, 1, 2, 3, 4))
    x = 2 if isinstance(manipulation, MotionGain) else 0
    assert all(shows(latent, x) for latent in held)


@pytest.mark.parametrize("kind", [MotionMagnify, MotionGain])
def test_a_gain_of_1_moves_nothing(kind: type[MotionMagnify | MotionGain]) -> None:
    assert torch.equal(moving(kind(gain=1, by=By.flow), scene(0, 1, 2)), scene(0, 1, 2))


def test_the_motion_of_another_video_moves_a_still() -> None:
    still = scene(0, 0, 0, 0)
    moved = moving(MotionTransfer(gain=2, by=By.flow), still)
    assert all(shows(latent, 2 * number) for number, latent in enumerate(moved))
    assert torch.equal(moved, moving(MotionTransfer(gain=2, by=By.flow), scene(0, 3, 1, 2)))


def test_what_is_uncovered_is_filled_from_another_frame_and_then_from_around_it() -> None:
    frame, way = scene(0)[0], torch.zeros(2, *SHAPE[1:]).double()
    way[0][square(0)] = 6
    moved = displaced(frame, way)
    uncovered = torch.zeros(SHAPE[1:], dtype=torch.bool)
    uncovered[square(0)] = True
    assert torch.equal(~moved.covered, uncovered)
    other = displaced(frame + 9, torch.zeros_like(way))
    assert torch.equal(filled(moved, other), moved.latents.where(~uncovered, frame + 9))
    around = filled(moved)
    assert torch.equal(around.where(~uncovered, 0), moved.latents.where(~uncovered, 0))
    corner = [(3, 1), (3, 2), (3, 3), (4, 1), (5, 1)]
    assert torch.allclose(around[:, 4, 2], sum(frame[:, y, x] for y, x in corner) / 5)


@pytest.mark.parametrize(
    ("manipulation", "setting"),
    [
        (Noise(follow=0.5), "noise.follow"),
        (MotionGain(by=By.flow), "motion_gain.by"),
        (MotionMagnify(by=By.flow), "motion_magnify.by"),
        (MotionTransfer(by=By.flow), "motion_transfer.by"),
    ],
    ids=str,
)
def test_latents_without_frames_in_step_have_no_flow(manipulation: Manipulation, setting: str) -> None:
    clip = clip_of(scene(0, 1))
    manipulation.check(clip)
    for without in (replace(clip, flows=None), Retime().after(clip)):
        with pytest.raises(VaeExperimentsError, match=f"^{setting} follows the frames that were encoded"):
            manipulation.check(without)
        type(manipulation)().check(without)


def test_without_opencv_one_sentence_names_the_setting_and_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    sentence = r"^noise.follow=1: the package opencv-python-headless is missing \(.*; pip install 'vae_experiments\[flow\]'$"
    with pytest.raises(SettingError, match=sentence):
        check_flow("noise.follow", 1)
