"""Where a manipulation acts: ranges of frames, masks that are drawn, masks that are read."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.manipulations.clips import clip_of, latents_of, through
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import Clip, Noise
from vae_experiments.manipulations.frame_range import FrameRange
from vae_experiments.manipulations.masks import Mask
from vae_experiments.tensors import Size


def changed_latents(text: str, clip: Clip, count: int) -> list[int]:
    inside = FrameRange.read(text).over(0, count, clip).flatten().tolist()
    return [number for number, share in enumerate(inside) if share]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", range(8)),
        ("2:5", range(2, 5)),
        (":3", range(3)),
        ("6:", range(6, 8)),
        ("0.25s:0.75s", range(2, 6)),
        ("25%:75%", range(2, 6)),
        ("2:50%", range(2, 4)),
        ("9:", []),
    ],
)
def test_a_range_is_from_the_first_up_to_but_without_the_last(text: str, numbers: range) -> None:
    assert changed_latents(text, Clip(fps=8, frames=8), 8) == list(numbers)


@pytest.mark.parametrize(
    ("text", "numbers"), [("0:1", [0]), ("1:2", [1]), ("4:6", [1, 2]), ("5:", [2, 3]), ("8:9", [2])]
)
def test_a_latent_of_several_frames_is_in_where_any_of_them_is(text: str, numbers: list[int]) -> None:
    assert changed_latents(text, Clip(frames=13, time_stride=4), 4) == numbers


@pytest.mark.parametrize("text", ["5", "5:2", "a:b", "1:2:3", "1s:0.5s", "-1:3", "2:2"])
def test_what_is_no_range_gets_a_sentence(text: str) -> None:
    with pytest.raises(SettingError, match=r"noise.frames=.*; write as 10:20 \(frames\), 0.5s:2s"):
        Noise(frames=text)


def test_a_range_that_yaml_took_for_a_number_says_how_to_write_it() -> None:
    with pytest.raises(
        SettingError, match="noise.frames=620: must be a range of frames; .*, in quotes where it is a yaml"
    ):
        Noise(frames="620")


def test_a_range_behind_the_clip_is_refused_before_the_run() -> None:
    with pytest.raises(SettingError, match="noise.frames=100:200: none of the clip's 6 frames"):
        Noise(frames="100:200").check(clip_of(latents_of((6, 4, 3, 3))))


def test_a_file_whose_name_has_brackets_is_a_file() -> None:
    assert Mask.read("mask(1).png").paths == ["mask(1).png"]


def cover(
    text: str, height: int = 8, width: int = 8, count: int = 1, clip: Clip | None = None
) -> torch.Tensor:
    latents = latents_of((count, 2, height, width))
    share = Mask.read(text).over(clip or clip_of(latents))(latents, 0)
    return share.expand(count, 1, height, width)[:, 0]


def test_a_box_covers_the_cells_inside() -> None:
    expected = torch.zeros(8, 8)
    expected[2:6, 4:8] = 1
    assert torch.equal(cover("box(0.5, 0.25, 1, 0.75)")[0], expected)


def test_a_box_that_ends_inside_a_cell_covers_part_of_it() -> None:
    assert cover("box(0,0,0.4375,1)")[0, 3].tolist() == pytest.approx([1, 1, 1, 0.5, 0, 0, 0, 0])


def test_a_circle_is_round_on_a_frame_that_is_not_square() -> None:
    round_ = cover("circle(0.5,0.5,0.25)", 16, 32)[0]
    assert torch.equal(round_, round_.flip(0))
    assert torch.equal(round_, round_.flip(1))
    assert float(round_.sum()) == pytest.approx(3.14159 * 4**2, rel=0.03)
    assert round_[:, 11:21].sum() == round_.sum()


def test_a_soft_edge_is_as_wide_as_it_says() -> None:
    hard, soft = cover("circle(0.5,0.5,0.3)", 32, 32)[0], cover("circle(0.5,0.5,0.3,soft=0.4)", 32, 32)[0]
    partly = [(share > 0).logical_and(share < 1)[16].sum() for share in (hard, soft)]
    assert partly[0] <= 2
    assert partly[1] > 10


def test_outside_is_the_rest() -> None:
    inside, outside = cover("circle(0.5,0.5,0.3)"), cover("outside circle(0.5,0.5,0.3)")
    assert torch.allclose(inside + outside, torch.ones_like(inside))


def test_a_drawn_mask_moves_by_its_schedules_whatever_the_chunks() -> None:
    latents = latents_of((8, 2, 4, 16))
    moving = "box(ramp(0,0.5), 0, ramp(0.5,1), 1)"
    share = Mask.read(moving).over(clip_of(latents))(latents, 0)
    assert share[0, 0, 0].tolist() == [1] * 8 + [0] * 8
    assert share[7, 0, 0].tolist() == [0] * 8 + [1] * 8
    noise = Noise(scale=1, mask=moving)
    assert torch.equal(through(noise, latents, 3), through(noise, latents))


def test_the_white_of_another_video_is_the_mask_averaged_over_cells() -> None:
    frames = torch.full((3, 3, 16, 16), -1.0)
    frames[0, :, :8, :8] = 1  # one cell white
    frames[1, :, 8:, 8:12] = 1  # half a cell white
    clip = replace(clip_of(latents_of((3, 2, 2, 2))), frames_of=lambda _path: iter(frames.split(2)))
    share = Mask.read("white.mp4").over(clip)(latents_of((3, 2, 2, 2)), 0)[:, 0]
    assert torch.allclose(share[0], torch.tensor([[1.0, 0], [0, 0]]), atol=1e-6)
    assert torch.allclose(share[1], torch.tensor([[0, 0], [0, 0.5]]), atol=1e-6)
    assert not share[2].any()


@pytest.mark.parametrize(("colour", "luma"), [(0, 0.2126), (1, 0.7152), (2, 0.0722)])
def test_a_red_mask_covers_21_percent_a_green_one_72_and_a_blue_one_7(colour: int, luma: float) -> None:
    frames = torch.full((1, 3, 16, 16), -1.0)
    frames[:, colour] = 1
    latents = latents_of((1, 2, 2, 2))
    clip = replace(clip_of(latents), frames_of=lambda _path: iter([frames]))
    share = Mask.read("coloured.png").over(clip)(latents, 0)
    assert share.flatten().tolist() == pytest.approx([luma] * 4, abs=1e-5)


def covered(text: str, size: Size, clip: Clip | None = None) -> float:
    """Say which fraction of a frame a mask covers, each latent cell counted by its pixels inside the frame."""
    height, width = -(-size.height // 8), -(-size.width // 8)
    latents = latents_of((1, 2, height, width))
    share = Mask.read(text).over(clip or replace(clip_of(latents), size=size))(latents, 0)[0, 0]
    pixels = share.repeat_interleave(8, 0).repeat_interleave(8, 1)[: size.height, : size.width]
    return float(pixels.mean())


@pytest.mark.parametrize("size", [Size(10, 10), Size(8, 8), Size(51, 37), Size(64, 9)], ids=str)
@pytest.mark.parametrize(
    "box", [(0, 0, 0.5, 1), (0, 0, 1, 1), (0.9, 0, 1, 1), (0, 0.25, 1, 0.75), (0.1, 0.2, 0.4, 0.9)], ids=str
)
def test_a_box_covers_its_share_of_the_frame_and_not_of_the_cells_that_it_was_padded_to(
    size: Size, box: tuple[float, ...]
) -> None:
    left, top, right, bottom = box
    share = covered(f"box({left},{top},{right},{bottom})", size)
    assert share == pytest.approx((right - left) * (bottom - top), abs=1e-6)
    assert covered(f"outside box({left},{top},{right},{bottom})", size) == pytest.approx(1 - share, abs=1e-6)


@pytest.mark.parametrize("size", [Size(50, 50), Size(51, 37), Size(40, 90)], ids=str)
def test_a_circle_covers_its_share_of_the_frame(size: Size) -> None:
    area = 3.14159 * (0.3 * min(size)) ** 2 / (size.width * size.height)
    assert covered("circle(0.5,0.5,0.3)", size) == pytest.approx(area, rel=0.01)


def test_a_mask_that_is_read_counts_the_pixels_of_the_frame_alone() -> None:
    frames = torch.full((1, 3, 10, 10), -1.0)
    frames[..., 5:] = 1  # the right half
    latents = latents_of((1, 2, 2, 2))
    clip = replace(clip_of(latents), size=Size(10, 10), frames_of=lambda _path: iter([frames]))
    share = Mask.read("half.png").over(clip)(latents, 0)
    assert share[0, 0].tolist() == [pytest.approx([3 / 8, 1])] * 2
    assert covered("half.png", Size(10, 10), clip) == pytest.approx(0.5)


def test_a_latent_of_four_frames_takes_their_mean_mask() -> None:
    frames = torch.full((5, 3, 8, 8), -1.0)
    frames[1:3] = 1
    latents = latents_of((2, 2, 1, 1))
    clip = replace(clip_of(latents, time_stride=4), frames_of=lambda _path: iter(frames.split(2)))
    assert Mask.read("white.mp4").over(clip)(latents, 0).flatten().tolist() == pytest.approx(
        [0, 0.5], abs=1e-6
    )


@pytest.mark.parametrize(
    "text", ["circel(0,0,1)", "circle(0,0)", "box(0,0,1,1,2)", "circle(0,0,a)", "circle(0,0,1,edge=3)"]
)
def test_what_is_no_mask_gets_a_sentence(text: str) -> None:
    with pytest.raises(SettingError, match=r"noise.mask=.*; write circle\(x,y,radius\), box"):
        Noise(mask=text)


def seen_clip(frames: torch.Tensor, time_stride: int = 1) -> Clip:
    """A clip whose own frames a mask follows, 8 pixels a cell."""
    return Clip(
        fps=8,
        frames=len(frames),
        time_stride=time_stride,
        source_frames=lambda: iter(frames.split(3)),
    )


def grey(*levels: float, cells: int = 4) -> torch.Tensor:
    """Frames of 4 by 4 cells, each of one grey from 0 to 1."""
    return torch.stack([torch.full((3, 8 * cells, 8 * cells), 2.0 * level - 1) for level in levels])


def test_luma_covers_what_is_so_bright() -> None:
    frames = grey(0.2, 0.2, 0.2)
    frames[1, :, :8, :16] = 0.6  # 0.8 of white over two cells
    frames[2, :, :4, :8] = 1.0  # half a cell
    share = cover("luma(0.5, 1)", 4, 4, 3, seen_clip(frames))
    expected = torch.zeros(3, 4, 4)
    expected[1, 0, :2], expected[2, 0, 0] = 1, 0.5
    assert torch.equal(share, expected)
    assert torch.equal(cover("luma(0, 0.5)", 4, 4, 3, seen_clip(frames)), 1 - expected)
    assert torch.equal(
        cover("luma(ramp(1,0), 1)", 4, 4, 3, seen_clip(grey(0.6, 0.6, 0.6)))[:, 0, 0],
        torch.tensor([0.0, 1, 1]),
    )


def test_motion_covers_what_has_changed_since_the_frame_before() -> None:
    frames = grey(0.5, 0.5, 0.5, 0.5)
    frames[2, :, 8:16, 16:24] = 0.5
    share = cover("motion(0.1)", 4, 4, 4, seen_clip(frames))
    expected = torch.zeros(4, 4, 4)
    expected[2:, 1, 2] = 1  # where it comes, and where it goes
    assert torch.equal(share, expected)
    assert torch.equal(cover("motion(0.1)", 4, 4, 2, seen_clip(grey(0, 1)))[0], torch.ones(4, 4)), (
        "as the second"
    )
    assert not cover("motion(0.1)", 4, 4, 1, seen_clip(grey(1))).any()


def test_a_colour_covers_what_is_near_to_it() -> None:
    frames = grey(0.5)
    frames[0, :, :8] = torch.tensor([1.0, -0.9, -0.8])[:, None, None]
    expected = torch.zeros(1, 4, 4)
    expected[0, 0] = 1
    assert torch.equal(cover("color(#ff0000, 0.2)", 4, 4, 1, seen_clip(frames)), expected)
    assert not cover("color(#00ff00, 0.2)", 4, 4, 1, seen_clip(frames)).any()


def test_a_latent_of_four_frames_is_covered_by_the_mean_of_them() -> None:
    share = cover("luma(0.5, 1)", 4, 4, 3, seen_clip(grey(1, 0, 1, 1, 0, 1, 0), time_stride=4))
    assert share[:, 0, 0].tolist() == [1, 0.5, 0.5]


def test_a_path_is_a_circle_on_its_way() -> None:
    moving = cover("path(0s:0.2,0.3 1s:0.8,0.5, 0.1)", 16, 16, 9, Clip(fps=8, frames=9))
    for frame, (x, y) in {0: (0.2, 0.3), 4: (0.5, 0.4), 8: (0.8, 0.5)}.items():
        assert torch.equal(moving[frame], cover(f"circle({x}, {y}, 0.1)", 16, 16)[0])


def test_regions_are_combined_as_words_say() -> None:
    left, top = cover("box(0,0,0.5,1)"), cover("box(0,0,1,0.5)")
    assert torch.equal(cover("box(0,0,0.5,1) and box(0,0,1,0.5)"), left * top)
    assert torch.equal(cover("box(0,0,0.5,1) or box(0,0,1,0.5)"), torch.maximum(left, top))
    assert torch.equal(cover("not box(0,0,0.5,1)"), 1 - left)
    assert torch.equal(cover("not(box(0,0,0.5,1) and not box(0,0,1,0.5))"), 1 - left * (1 - top))
    assert torch.equal(cover("box(0,0,1,0.5) or box(0,0,0.5,1) and not box(0,0,1,1)"), top), "and binds first"
    assert torch.equal(cover("not not box(0,0,0.5,1)"), left)


def test_a_region_grows_and_shrinks_by_a_share_of_the_shorter_side() -> None:
    small, large = (
        cover("box(0.25,0.25,0.5,0.75)", 8, 16)[0],
        cover("grow(box(0.25,0.25,0.5,0.75), 0.125)", 8, 16)[0],
    )
    assert float(small.sum()) == 16
    assert float(large.sum()) == pytest.approx(32 + 4 * (2 - 2**0.5)), (
        "a cell more on each side, round at corners"
    )
    assert torch.equal(cover("grow(box(0.25,0.25,0.5,0.75), 0)", 8, 16)[0], small)
    assert int(cover("grow(box(0.25,0.25,0.5,0.75), -0.125)", 8, 16).sum()) == 4
    half = cover("grow(box(0.25,0.25,0.5,0.75), 0.0625)", 8, 16)[0]
    assert half[4, 3:9].tolist() == [0.5, 1, 1, 1, 1, 0.5]


def test_a_softer_region_has_as_much_and_no_hard_edge() -> None:
    hard, soft = (
        cover("box(0.25,0.25,0.75,0.75)", 32, 32)[0],
        cover("soft(box(0.25,0.25,0.75,0.75), 0.1)", 32, 32)[0],
    )
    assert float(soft.sum()) == pytest.approx(float(hard.sum()), rel=1e-4)
    assert float((soft[:, 1:] - soft[:, :-1]).abs().max()) < 0.3
    assert torch.equal(cover("soft(box(0.25,0.25,0.75,0.75), 0)", 32, 32)[0], hard)


EVERY_KIND = [
    *[
        "circle(wander(0.2s),0.5,0.3)",
        "box(0,0,ramp(0,1),1)",
        "path(0s:0.2,0.3 0.5s:0.8,0.5, 0.2)",
        "white.mp4",
    ],
    *["luma(0.5,1)", "motion(0.1)", "color(#808080,0.3)", "grow(luma(0.5,1), 0.2)", "soft(white.mp4, 0.2)"],
    *["luma(brightness(),1) and not circle(0.5,0.5,motion())", "outside (white.mp4 or motion(0.1))"],
]


@pytest.mark.parametrize("mask", EVERY_KIND)
@pytest.mark.parametrize("time_stride", [1, 4])
def test_every_kind_lies_between_0_and_1_and_is_the_same_at_any_chunk_size(
    mask: str, time_stride: int
) -> None:
    latents = latents_of((6, 2, 4, 4))
    clip = clip_of(latents, time_stride=time_stride)
    frames = latents_of((clip.frames or 0, 3, 32, 32), seed=4).clamp(-1, 1)
    clip = replace(clip, source_frames=lambda: iter(frames.split(5)))
    share = Mask.read(mask).over(clip)(latents, 0)
    assert share.shape == (6, 1, 4, 4)
    assert 0 <= float(share.min()) < float(share.max()) <= 1
    noise = Noise(scale=1, mask=mask)
    whole = through(noise, latents, clip=clip)
    assert all(torch.equal(through(noise, latents, count, clip), whole) for count in (1, 2, 4))
    noise.check(clip)


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        ("oval(1,2)", r"there is no oval\(\)"),
        ("circle(1,2)", r"circle\(\) takes 3 numbers, and soft= if you like"),
        ("color(red, 0.1)", r"color\(\) takes a colour and a number from 0 to 1"),
        ("luma(1)", r"luma\(\) takes two numbers"),
        ("path(0.1)", r"path\(\) takes places and a radius, as path\(0s:0.2,0.3"),
        ("path(0s:0.2 2s:0.1,0.3, 0.1)", "'0s:0.2' is not a place of a path"),
        ("grow(white.mp4)", r"grow\(\) takes a mask and a number"),
        ("circle(1,2,3) and", "a mask is missing"),
        ("(" * 40 + "white.mp4" + ")" * 40, "more than 32 brackets"),
    ],
)
def test_what_is_no_mask_says_what_is_wrong(mask: str, reason: str) -> None:
    with pytest.raises(SettingError, match=f"noise.mask=.*{reason}.*; write circle"):
        Noise(mask=mask)


def test_a_mask_that_follows_what_is_not_there_is_refused_before_the_run() -> None:
    for mask in ("luma(0.5,1)", "circle(audio(low),0.5,0.3)"):
        with pytest.raises(SettingError, match="noise.mask=.*: there (are no frames to look at|is no sound)"):
            Noise(mask=mask).check(clip_of(latents_of((6, 2, 4, 4))))
