"""The formulas of bending, and that the untouched autoencoder keeps its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import torch

from tests.manipulations.clips import latents_of, through
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import Bend, Noise
from vae_experiments.models import Folder
from vae_experiments.pipeline import runner
from vae_experiments.pipeline.experiment import Experiment
from vae_experiments.pipeline.run_folder import Output
from vae_experiments.runtime.seeding import normal
from vae_experiments.sources import MovingCircle
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from pathlib import Path

    from vae_experiments.runtime.device import DeviceChoice

NEUTRAL: dict[str, dict[str, Any]] = {"bend": {}}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "bend": {"scale": 1.2, "noise": 0.5, "levels": 5, "prune": 0.3, "permute": 0.4, "seed": 3}
}
CONV = "decoder.conv_in.weight"
FEW = Output(comparison=False, report=False, pictures=False, provenance=False, table=False, latents=False)


def weights_of() -> dict[str, torch.Tensor]:
    """A layer with a bias, one without, and a norm in two shapes."""
    return {
        CONV: latents_of((8, 4, 3, 3), seed=1) + 0.2,
        "decoder.conv_in.bias": latents_of((8,), seed=2),
        "decoder.up.0.linear.weight": latents_of((6, 5), seed=3),
        "decoder.norm.weight": latents_of((8,), seed=4),
        "decoder.norm.gamma": latents_of((8, 1, 1, 1), seed=5),
    }


def with_bent_decoder(**settings: Any) -> dict[str, torch.Tensor]:
    weights = weights_of()
    Bend(**settings).bend(weights)
    return weights


def test_a_neutral_bend_leaves_every_weight_bit_for_bit() -> None:
    before = weights_of()
    assert all(torch.equal(weight, before[name]) for name, weight in with_bent_decoder().items())
    strong = with_bent_decoder(**OTHER_SETTINGS["bend"], strength=0)
    assert all(torch.equal(weight, before[name]) for name, weight in strong.items())


def test_scale_is_a_factor_on_every_weight_but_on_no_bias_and_no_norm() -> None:
    before = weights_of()
    for name, weight in with_bent_decoder(scale=1.5).items():
        factor = 1.5 if name in (CONV, "decoder.up.0.linear.weight") else 1
        assert torch.equal(weight, factor * before[name]), name


def test_noise_is_in_standard_deviations_of_each_weight_and_belongs_to_seed_and_name() -> None:
    before = weights_of()
    after = with_bent_decoder(noise=0.3, seed=6)
    for name in (CONV, "decoder.up.0.linear.weight"):
        spread = float(np.std(before[name].numpy()))
        draw = normal(before[name].shape, 6, f"bend {name}")
        assert torch.allclose(after[name], before[name] + 0.3 * spread * draw, atol=1e-5)
    alone = with_bent_decoder(noise=0.3, seed=6, layers="*linear*")
    assert torch.equal(alone["decoder.up.0.linear.weight"], after["decoder.up.0.linear.weight"])
    assert not torch.equal(with_bent_decoder(noise=0.3, seed=7)[CONV], after[CONV])


@pytest.mark.parametrize("levels", [2, 5])
def test_levels_lie_evenly_between_the_least_and_the_greatest_weight(levels: int) -> None:
    before, after = weights_of()[CONV], with_bent_decoder(levels=levels)[CONV]
    grid = torch.linspace(float(before.min()), float(before.max()), levels)
    nearest = grid[(before[..., None] - grid).abs().argmin(-1)]
    assert torch.allclose(after, nearest, atol=1e-5)


def test_a_weight_of_one_value_stays_when_it_is_quantised() -> None:
    weights = {"flat.weight": torch.full((3, 3), 0.7)}
    Bend(levels=4).bend(weights)
    assert torch.equal(weights["flat.weight"], torch.full((3, 3), 0.7))


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_pruning_sets_that_share_of_the_smallest_to_0_and_leaves_the_rest(share: float) -> None:
    before, after = weights_of()[CONV], with_bent_decoder(prune=share)[CONV]
    gone = after == 0
    assert int(gone.sum()) == round(share * before.numel())
    assert torch.equal(after[~gone], before[~gone])
    if share < 1:
        assert float(before[gone].abs().max()) < float(before[~gone].abs().min())


def test_pruning_after_quantising_takes_no_more_than_its_share() -> None:
    after = with_bent_decoder(levels=3, prune=0.25)[CONV]
    quantised = with_bent_decoder(levels=3)[CONV]
    assert int((after != quantised).sum()) == round(0.25 * after.numel())


@pytest.mark.parametrize(("share", "moved"), [(0.25, 2), (0.5, 4), (1.0, 8), (0.1, 0)])
def test_permuting_moves_that_share_of_the_output_channels_with_their_biases(
    share: float, moved: int
) -> None:
    before, after = weights_of(), with_bent_decoder(permute=share)
    bias, name = "decoder.conv_in.bias", CONV
    sources = [int((before[bias] == value).nonzero()) for value in after[bias]]
    assert sorted(sources) == list(range(8))
    assert sum(source != place for place, source in enumerate(sources)) == moved
    assert torch.equal(after[name], before[name][sources])
    assert torch.equal(after["decoder.norm.weight"], before["decoder.norm.weight"])
    assert torch.equal(after["decoder.norm.gamma"], before["decoder.norm.gamma"])


def test_the_settings_are_applied_in_the_order_in_which_they_stand() -> None:
    name = "decoder.up.0.linear.weight"
    steps = [{"scale": 2.0}, {"noise": 0.4}, {"levels": 6}, {"prune": 0.3}, {"permute": 0.5}]
    one_by_one = weights_of()
    for step in steps:
        Bend(**step, seed=2).bend(one_by_one)
    at_once = with_bent_decoder(scale=2.0, noise=0.4, levels=6, prune=0.3, permute=0.5, seed=2)
    assert torch.allclose(one_by_one[name], at_once[name], atol=1e-6)
    assert not torch.allclose(one_by_one[name], weights_of()[name], atol=0.1)


def test_strength_mixes_the_weights_and_biases_as_they_were_and_bent() -> None:
    before, settings = weights_of(), {"scale": 3.0, "permute": 1.0}
    whole, some = with_bent_decoder(**settings), with_bent_decoder(**settings, strength=0.25)
    for name in before:
        assert torch.allclose(some[name], 0.75 * before[name] + 0.25 * whole[name], atol=1e-6)
    assert not torch.equal(whole["decoder.conv_in.bias"], before["decoder.conv_in.bias"])


def test_only_the_layers_that_fit_the_pattern_are_bent() -> None:
    before, after = weights_of(), with_bent_decoder(scale=2, permute=1, layers="decoder.up.*")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder.up.0.linear.weight"}


def test_a_pattern_that_fits_nothing_is_refused_with_names_that_there_are() -> None:
    sentence = (
        r"^bend.layers=encoder\*: fits no weight of the decoder; "
        r"its weights have names such as decoder.conv_in.weight, decoder.up.0.linear.weight$"
    )
    for pattern in ("encoder*", "*bias"):
        with pytest.raises(SettingError, match=sentence.replace(r"encoder\*", pattern.replace("*", r"\*"))):
            with_bent_decoder(layers=pattern)


def test_one_level_is_refused() -> None:
    with pytest.raises(
        SettingError, match=r"^bend.levels=1: must be 0 \(off\) or at least 2; the default is 0$"
    ):
        Bend(levels=1)


def test_a_weight_in_half_precision_stays_in_it() -> None:
    weights = {"a.weight": latents_of((4, 4)).bfloat16()}
    Bend(scale=2).bend(weights)
    assert torch.equal(weights["a.weight"], 2 * latents_of((4, 4)).bfloat16())


def test_latents_pass_as_they_are() -> None:
    latents = latents_of((5, 4, 3, 3))
    assert torch.equal(through(Bend(**OTHER_SETTINGS["bend"]), latents, 2), latents)
    assert Bend().bends_decoder


@pytest.mark.parametrize("name", ["AutoencoderKL", "AutoencoderDC", "AutoencoderKLWan"])
def test_the_untouched_autoencoder_keeps_its_weights_and_its_twin_decodes_otherwise(
    name: str, network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    autoencoder = Folder(path=str(network_folders[name])).load(cpu)
    before = {key: weight.clone() for key, weight in autoencoder.network.state_dict().items()}
    twin = autoencoder.with_bent_decoder(Bend(**OTHER_SETTINGS["bend"]).bend)
    after = autoencoder.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    frames = latents_of((3, 3, 16, 24)).clamp(-1, 1)
    latents = torch.cat(list(autoencoder.encode([frames])))
    assert torch.equal(torch.cat(list(twin.encode([frames]))), latents)
    untouched, bent_frames = (
        torch.cat(list(model.decode([latents], Size(24, 16)))) for model in (autoencoder, twin)
    )
    assert not torch.allclose(untouched, bent_frames, atol=1e-2)


def test_every_bend_of_a_chain_bends_what_the_one_before_it_left(
    network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    autoencoder = Folder(path=str(network_folders["AutoencoderKL"])).load(cpu)
    twin: Any = runner.with_bent_decoder(autoencoder, [Bend(scale=2), Noise(), Bend(scale=3).named("again")])
    once: Any = autoencoder.with_bent_decoder(Bend(scale=6).bend)
    expected = once.network.state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in twin.network.state_dict().items())
    plain = autoencoder.network.state_dict()  # type: ignore[attr-defined]
    changed = {name for name, weight in expected.items() if not torch.equal(weight, plain[name])}
    assert changed
    assert not [name for name in changed if name.startswith(("encoder", "quant_conv"))]


def frames_in(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_the_reconstruction_of_a_run_is_the_same_with_and_without_a_bend(tmp_path: Path) -> None:
    source = MovingCircle(size="32", frames=3)
    for name, links in {"plain": [], "bent": [Bend(noise=0.5)]}.items():
        (tmp_path / name).mkdir()
        Experiment(source=source, manipulations=links, output=FEW).run(tmp_path / name)
    plain = frames_in(tmp_path / "plain" / "reconstructed.mp4")
    assert np.array_equal(plain, frames_in(tmp_path / "bent" / "reconstructed.mp4"))
    changed = frames_in(tmp_path / "bent" / "reconstructed_with_bend.mp4")
    assert np.abs(changed.astype(int) - plain).mean() > 1
