"""The workbench does by hand, on tensors, what a run does in a stream."""

from __future__ import annotations

import base64
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from vae_experiments import (
    Bundled,
    Experiment,
    Folder,
    MovingCircle,
    Noise,
    Output,
    VaeExperimentsError,
    Workbench,
    load_latents,
)
from vae_experiments.manipulations import Bend, Blend, ChannelGain, MotionGain, PosteriorTemperature, Retime
from vae_experiments.tensors import to_pixels
from vae_experiments.writers import Player

MODELS = ("AutoencoderKL", "AutoencoderKLWan")


@pytest.fixture(params=MODELS)
def bench(request: pytest.FixtureRequest, network_folders: dict[str, Path]) -> Workbench:
    model = Folder(path=str(network_folders[request.param]))
    return Workbench(MovingCircle(size="32x40", frames=7), model, batch_size=8)


def test_it_finds_the_latents_and_the_scores_of_a_run(bench: Workbench, tmp_path: Path) -> None:
    links = [MotionGain(gain=1.5), Noise(scale=0.3)]
    output = Output(latents=True, comparison=False, pictures=False, report=False)
    result = Experiment(bench.source, links, bench.model, output=output).run(tmp_path)
    changed = bench.change(*links)
    assert torch.equal(bench.latents, load_latents(tmp_path))
    assert torch.equal(changed, load_latents(tmp_path, "changed"))
    for latents, name in ((bench.latents, ""), (changed, "_with_motion_gain_noise")):
        scores = bench.scores(bench.decode(latents))
        run = result.metrics[f"reconstructed{name}"]
        assert scores == {key: pytest.approx(run[key], rel=1e-4) for key in ("psnr_db", "ssim", "flicker")}


@pytest.mark.parametrize("frames", [1, 2, 7, 17])
@pytest.mark.parametrize("name", MODELS)
def test_as_many_frames_come_out_as_went_in(name: str, frames: int, network_folders: dict[str, Path]) -> None:
    bench = Workbench(
        MovingCircle(size="33x35", frames=frames), Folder(path=str(network_folders[name])), batch_size=4
    )
    assert bench.decode(bench.latents).shape == bench.frames.shape == (frames, 3, 35, 33)
    assert bench.decode(bench.change(Noise(scale=0.1))).shape == bench.frames.shape


def test_work_of_ones_own_is_as_good_as_its_own(bench: Workbench) -> None:
    before = bench.latents.clone()
    mine = bench.latents * 0.5
    assert torch.equal(bench.encode(bench.frames), bench.latents)
    assert torch.equal(bench.change(ChannelGain(gain=1), latents=mine), mine)
    assert torch.equal(bench.change(), before)
    mine += 1  # a tensor that may be written into
    bench.change(Noise(scale=1), latents=bench.latents)
    assert torch.equal(bench.latents, before)
    some = bench.decode(bench.latents[:1])
    assert len(some) == bench.clip.first_frames


def test_the_other_video_is_the_one_that_manipulations_meet(bench: Workbench) -> None:
    other = bench.encode_other("plasma")
    assert other.shape == bench.latents.shape
    assert torch.equal(bench.change(Blend(path="plasma", weight=0.5)), bench.latents + 0.5 * other)


def test_a_manipulation_may_change_the_length_and_may_ask_the_encoder(bench: Workbench) -> None:
    slower = bench.decode(bench.change(Retime(speed=0.5)))
    assert len(slower) > len(bench.frames)
    assert bench.scores(slower)["psnr_db"] is not None
    assert torch.isfinite(bench.change(PosteriorTemperature(temperature=0.5))).all()


def test_identical_frames_have_no_psnr(bench: Workbench) -> None:
    assert bench.scores(bench.frames)["psnr_db"] is None


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            lambda bench: bench.play(mine=bench.latents),
            r"^play: mine, \dx4x5x4, are no frames T 3 H W; decode latents first$",
        ),
        (
            lambda bench: bench.decode(bench.frames),
            r"^decode: the latents, 7x3x40x32, are no latents T 4 h w of this model; encode frames first$",
        ),
        (
            lambda bench: bench.decode(bench.latents[0]),
            r"^decode: the latents, 4x5x4, are no latents T 4 h w of this model; encode frames first$",
        ),
        (lambda bench: bench.encode(bench.latents), r"^encode: the frames, .* are no frames T 3 H W; "),
        (
            lambda bench: bench.scores(bench.frames[:0]),
            r"^scores: what is compared, 0x3x40x32, are no frames",
        ),
        (
            lambda bench: bench.change(Bend(noise=0.1)),
            r"^bend changes the decoder's weights, and no latents; use it in an Experiment$",
        ),
        (
            lambda bench: bench.change(Noise(channels=[9])),
            r"^noise\.channels=\[9\]: the model has 4 channels; ",
        ),
        (
            lambda bench: bench.encode_other("plasm"),
            r"^encode_other=plasm: no such file, and no such pattern; did you mean plasma\?",
        ),
        (
            lambda bench: bench.play(one=bench.frames, two=bench.frames[..., :16]),
            r"^play: two, 16x40, is not as large as one, 32x40; cut or enlarge it first$",
        ),
    ],
)
def test_a_mistake_is_one_sentence(bench: Workbench, wrong: object, sentence: str) -> None:
    with pytest.raises(VaeExperimentsError, match=sentence):
        wrong(bench)  # type: ignore[operator]


def test_the_default_is_the_bundled_model_and_the_default_pattern() -> None:
    bench = Workbench()
    assert (bench.source, bench.model) == (MovingCircle(), Bundled())


def film(player: Player, tmp_path: Path) -> np.ndarray:
    html = player._repr_html_()
    (data,) = re.findall(r'src="data:video/mp4;base64,([^"]+)"', html)
    path = tmp_path / "played.mp4"
    path.write_bytes(base64.b64decode(data))
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == Fraction(8)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_a_player_shows_videos_side_by_side_and_leaves_no_file(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    still = bench.frames[:1]
    player = bench.play(it_moves=bench.frames, still=still)
    assert not any((tmp_path / "temporary").iterdir())
    assert player.names == ("it moves", "still")
    assert re.fullmatch(rf"Player\(it moves, still; {player.size}, \d+ bytes\)", repr(player))
    played = film(player, tmp_path)
    assert played.shape == (7, player.size.height, player.size.width, 3)
    pixels = to_pixels(bench.frames).astype(int)
    top = player.size.height - 40
    assert np.abs(played[:, top:, :32] - pixels).mean() < 8
    assert np.abs(played[:, top:, 36:] - pixels[:1]).mean() < 8


def test_a_player_of_nothing_named_plays_the_source(bench: Workbench) -> None:
    assert bench.play().names == ("original",)
