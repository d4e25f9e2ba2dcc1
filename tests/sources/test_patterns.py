from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import pytest
import torch

from vae_experiments.errors import SettingError
from vae_experiments.options import kinds, setting
from vae_experiments.sources import MovingCircle, Plasma
from vae_experiments.sources.patterns import Pattern

PATTERNS = [kind for kind in kinds("source").values() if issubclass(kind, Pattern)]
every_pattern = pytest.mark.parametrize("pattern", PATTERNS)


def frames_of(source: Pattern, count: int = 7) -> torch.Tensor:
    return torch.cat(list(source.chunks(count)))


def test_the_default_is_a_moving_circle_of_three_seconds() -> None:
    info = MovingCircle().info
    assert (info.size, info.frames, info.fps, info.sound) == ((256, 256), 24, 8, None)


@every_pattern
def test_frames_have_the_shape_and_the_range_of_the_contract(pattern: type[Pattern]) -> None:
    frames = frames_of(pattern(size="40x24", frames=9))
    assert frames.shape == (9, 3, 24, 40)
    assert frames.dtype == torch.float32
    assert frames.min() >= -1
    assert frames.max() <= 1
    levels = (frames + 1) * 127.5
    assert torch.allclose(levels, levels.round(), atol=1e-4), "a frame is made of 8-bit values"


@every_pattern
def test_a_frame_depends_on_its_number_alone(pattern: type[Pattern]) -> None:
    short, long = frames_of(pattern(size="32", frames=5), 2), frames_of(pattern(size="32", frames=12), 5)
    assert torch.equal(short, long[:5])


@every_pattern
def test_chunk_size_changes_nothing(pattern: type[Pattern]) -> None:
    source = pattern(size="24", frames=7)
    assert [len(chunk) for chunk in source.chunks(3)] == [3, 3, 1]
    for count in (1, 2, 7, 100):
        assert torch.equal(frames_of(source, count), frames_of(source, 3))


@every_pattern
def test_every_frame_differs_from_the_one_before(pattern: type[Pattern]) -> None:
    frames = frames_of(pattern(size="64"))
    changes = (frames[1:] - frames[:-1]).abs().mean((1, 2, 3))
    assert changes.min() > 0.005
    assert changes.max() < 8 * changes.min(), "motion is smooth: no jumps"


@every_pattern
@pytest.mark.parametrize("size", ["1", "7x3", "3x90", "127x93"])
def test_any_size_and_a_single_frame_are_drawn(pattern: type[Pattern], size: str) -> None:
    source = pattern(size=size, frames=1)
    width, _, height = size.partition("x")
    assert frames_of(source).shape == (1, 3, int(height or width), int(width))


@every_pattern
def test_a_larger_frame_shows_the_same_picture(pattern: type[Pattern]) -> None:
    small, large = frames_of(pattern(size="64", frames=1)), frames_of(pattern(size="256", frames=1))
    reduced = torch.nn.functional.avg_pool2d(large, 4)
    assert (small - reduced).abs().mean() < 0.03


@every_pattern
def test_a_digest_knows_every_setting_that_changes_frames(pattern: type[Pattern]) -> None:
    usual = pattern(size="32")
    others = [pattern(size="33"), pattern(size="32", frames=23), pattern(size="32", fps="9")]
    assert usual.digest() == pattern(size="32x32", fps="8.0").digest()
    assert len({source.digest() for source in [usual, *others]}) == 4
    assert len({kind(size="32").digest() for kind in PATTERNS}) == len(PATTERNS)


def test_a_digest_knows_the_settings_that_a_plugin_adds() -> None:
    """Also those that show in neither the first nor the last frame."""

    class Flash(Plasma, group="a source of a test"):
        at: float = setting("when it flashes", default=1.0, unit="seconds")
        colour: str = setting("what flashes", default="white")

    sources = [Flash(size="32"), Flash(size="32", at=1.5), Flash(size="32", colour="red")]
    assert len({source.digest() for source in sources}) == 3
    assert Flash(size="32", at=1.5).digest() == Flash(size="32x32", at=1.5).digest()


def test_the_circle_never_takes_the_same_way_twice_and_stays_inside() -> None:
    frames = frames_of(MovingCircle(size="48", frames=200))
    bright = (frames.mean(1) > 0.5).float()
    rows, columns = torch.arange(48.0), torch.arange(48.0)
    weight = bright.sum((1, 2))
    places = (
        torch.stack([(bright.sum(1) * columns).sum(1), (bright.sum(2) * rows).sum(1)], 1) / weight[:, None]
    )
    assert weight.min() > 0.85 * weight.max(), "the circle never leaves the frame"
    # A loop would bring a stretch of the way back: compare whole seconds of it.
    ways = places.unfold(0, 8, 1).flatten(1)
    apart = torch.cdist(ways, ways) + 99 * (torch.ones(len(ways), len(ways)).triu(-8).tril(8))
    assert apart.min() > 0.5


def test_rates_are_exact() -> None:
    assert MovingCircle(fps="30000/1001").info.fps == Fraction(30000, 1001)
    assert MovingCircle(fps="29.97").info.fps == Fraction(30000, 1001)
    assert MovingCircle(fps="12.5").info.fps == Fraction(25, 2)


@pytest.mark.parametrize("fps", ["0", "-8", "1001", "1e9", "nan", "inf", "1/0", "fast", ""])
def test_a_wrong_rate_is_refused_with_its_rule(fps: str) -> None:
    with pytest.raises(SettingError, match=r"source\.fps=.*more than 0 and at most 1000; the default is 8"):
        MovingCircle(fps=fps)


@pytest.mark.parametrize("size", ["0", "-5", "1x2x3", "big", "", "64x", "9" * 5000])
def test_a_wrong_size_is_refused_with_its_rule(size: str) -> None:
    with pytest.raises(SettingError, match=r"source\.size=.*as 256 or 480x272"):
        MovingCircle(size=size)


def test_a_giant_and_an_empty_clip_are_refused() -> None:
    with pytest.raises(SettingError, match=r"source\.size=99999.*at most 16\.8 million pixels"):
        MovingCircle(size="99999")
    with pytest.raises(SettingError, match=r"source\.frames=0: must be at least 1"):
        MovingCircle(frames=0)


def test_importing_sources_loads_no_heavy_library() -> None:
    program = (
        "import sys, vae_experiments.sources\n"
        "print([name for name in ('torch', 'numpy', 'av', 'PIL', 'imageio', 'einops') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
