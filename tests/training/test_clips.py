from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from vae_experiments.sources.procedural.clips import _FINE, _Camera, _camera, _Shot, _Swing, _Thing, clip
from vae_experiments.sources.procedural.frames import SIDE
from vae_experiments.sources.procedural.textures import CANVAS, texture

FRAMES = 9


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return np.stack([clip(0, number, FRAMES, plain=0.05) for number in range(40)])


def differences(clips: np.ndarray, apart: int) -> np.ndarray:
    """Mean difference, in levels, between frames so many frames apart; a row for each clip."""
    return np.abs(clips[:, apart:].astype(np.int16) - clips[:, :-apart]).mean((2, 3, 4))


def test_a_clip_depends_only_on_its_seed_and_its_number() -> None:
    first = clip(3, 7, 5)
    clip(3, 8, 5)
    texture.cache_clear()
    assert np.array_equal(clip(3, 7, 5), first)
    assert not np.array_equal(clip(3, 8, 5), first)
    assert not np.array_equal(clip(4, 7, 5), first)


def test_clips_are_bytes_from_black_to_white_and_no_two_are_alike(clips: np.ndarray) -> None:
    assert clips.shape == (40, FRAMES, SIDE, SIDE, 3)
    assert clips.dtype == np.uint8
    assert (clips.min(), clips.max()) == (0, 255)
    assert len({one.tobytes() for one in clips}) == 40


def test_frames_side_by_side_are_closer_than_frames_far_apart(clips: np.ndarray) -> None:
    near, middle, far = (differences(clips, apart).mean(1) for apart in (1, 3, 8))
    moves = near > 0
    assert (near < middle)[moves].mean() > 0.9
    assert (middle < far)[moves].mean() > 0.8
    assert far[moves].mean() > 2 * near[moves].mean()


def test_most_clips_move_and_some_stand_still(clips: np.ndarray) -> None:
    still = (differences(clips, 1) == 0).all(1)
    assert 0.03 < still.mean() < 0.3


def test_motion_is_mostly_small_and_sometimes_large(clips: np.ndarray) -> None:
    steps = np.median(differences(clips, 1), 1)
    steps = steps[steps > 0]
    assert np.percentile(steps, 20) < 2
    assert np.percentile(steps, 90) > 6


def test_some_clips_are_cut_once(clips: np.ndarray) -> None:
    steps = differences(clips, 1)
    jumps = (steps > 15) & (steps > 5 * np.median(steps, 1, keepdims=True))
    assert set(jumps.sum(1)) == {0, 1}
    assert 1 <= jumps.any(1).sum() <= 8


def test_no_border_of_the_scene_comes_into_view() -> None:
    random = np.random.default_rng(0)
    corners = np.array([0, _FINE, 1j * _FINE, _FINE + 1j * _FINE]) - complex(_FINE, _FINE) / 2
    for _ in range(300):
        camera = _camera(random)
        for moment in range(0, 300, 7):
            centre, step = camera.view(moment)
            seen = centre + step * corners
            assert min(seen.real.min(), seen.imag.min()) >= 1
            assert max(seen.real.max(), seen.imag.max()) <= CANVAS - 1


def test_the_camera_moves_smoothly_however_long_a_clip_is() -> None:
    random = np.random.default_rng(1)
    cameras = [_camera(random) for _ in range(200)]
    places = np.array([[camera.view(moment)[0] for moment in range(60)] for camera in cameras])
    speed = np.abs(np.diff(places))
    turns = np.abs(np.diff(places, 2)).max(1)
    assert speed.max() < 12
    assert np.median(speed) < 2
    assert np.median(turns) < 0.2


REST = _Swing(0, 0, 0)


def test_an_edge_under_a_panning_camera_moves_by_equal_parts_of_a_pixel() -> None:
    canvas = Image.new("RGB", (CANVAS, CANVAS))
    canvas.paste((255, 255, 255), (CANVAS // 2, 0, CANVAS, CANVAS))
    pan = _Swing(50, 0.25 / 50, 0)
    shot = _Shot(canvas, (), _Camera(SIDE, 1, pan, REST, REST, REST, REST), REST, (0.0,))
    white = np.array([shot.expose(moment)[..., 0].mean() / 255 * SIDE for moment in range(9)])
    assert np.diff(white) == pytest.approx(0.25, abs=0.03)


def test_a_shape_keeps_its_size_while_it_moves_turns_and_leaves() -> None:
    square = ImageOps.expand(Image.new("RGBA", (30, 20), (255, 255, 255, 255)), 4, 0)
    thing = _Thing(square, complex(CANVAS, CANVAS) / 2, complex(2.5, 0), REST, 0.1, REST)
    camera = _Camera(SIDE, 1, REST, REST, REST, REST, REST)
    shot = _Shot(Image.new("RGB", (CANVAS, CANVAS)), (thing,), camera, REST, (0.0,))
    frames = np.stack([shot.expose(moment)[..., 0] for moment in range(60)]) / 255
    assert frames[:30].sum((1, 2)) == pytest.approx(600, rel=0.02)
    middles = (frames[:30].sum(1) * (np.arange(SIDE) + 0.5)).sum(1) / frames[:30].sum((1, 2))
    assert middles == pytest.approx(SIDE / 2 + 2.5 * np.arange(30), abs=0.2)
    assert frames[-1].sum() == 0


def test_plain_clips_are_smooth_and_some_of_them_change_slowly() -> None:
    plain = np.stack([clip(0, number, 6, plain=1) for number in range(30)])
    assert np.abs(np.diff(plain.astype(int), 2, axis=3)).max() <= 2
    changes = differences(plain, 5).mean(1)
    assert 5 <= (changes > 0).sum() <= 25


def test_a_clip_may_have_a_single_frame() -> None:
    assert clip(0, 2, 1).shape == (1, SIDE, SIDE, 3)
