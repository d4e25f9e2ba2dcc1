"""What layers are shown again makes groups one clip; clips of one network never mix, whatever happens to one."""

from __future__ import annotations

import copy
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.conftest import build_network
from tests.models.test_by_hand import as_clip, as_frames
from tests.models.test_seams import distance, moving
from tests.test_models import decoded, encoded
from tests.test_temporal import bytes_of_all_tensors
from vae_experiments import Folder
from vae_experiments.models.temporal import streaming_state
from vae_experiments.models.temporal.streaming_state import GROUP, GROUPS_ATTENDED, LAYERS, remembered
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vae_experiments.models import Autoencoder
    from vae_experiments.runtime.device import DeviceChoice

    Adapter = Any

SEEN = GROUP * (1 + GROUPS_ATTENDED)
"""How many latents an attention over time sees."""
CARRIED = (
    "AutoencoderVidTok",
    "AutoencoderKLHunyuanVideo15",
    "AutoencoderKLMochi",
    "AutoencoderKLLTX2Video",
    "AutoencoderKLCosmos",
)
LTX_095: dict[str, Any] = {
    "block_out_channels": (8,) * 5,
    "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
    "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    "spatio_temporal_scaling": (True,) * 4,
    "decoder_block_out_channels": (8, 16, 32),
    "decoder_spatio_temporal_scaling": (True,) * 3,
    "decoder_layers_per_block": (1,) * 4,
    "decoder_inject_noise": (False,) * 4,
    "upsample_residual": (True,) * 3,
    "upsample_factor": (2,) * 3,
    "timestep_conditioning": True,
    "spatial_compression_ratio": 32,
    "temporal_compression_ratio": 8,
}
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in CARRIED if name != "AutoencoderVidTok"},
    "Mochi, time halved last": ("AutoencoderKLMochi", {"temporal_expansions": (3, 1, 2)}),
    "LTX decoding causally": ("AutoencoderKLLTXVideo", {"decoder_causal": True}),
    "LTX 0.9.5 decoding causally": ("AutoencoderKLLTXVideo", {**LTX_095, "decoder_causal": True}),
    "Cosmos in plain patches": ("AutoencoderKLCosmos", {"patch_type": "rearrange"}),
    "Cosmos attending everywhere": ("AutoencoderKLCosmos", {"attention_resolutions": (64, 128, 256)}),
    "Cosmos of four frames a latent": (
        "AutoencoderKLCosmos",
        {"temporal_compression_ratio": 4, "patch_size": 2},
    ),
}
"""Networks of every layer in the table, and of every way in which it is set up."""


@pytest.fixture(params=CARRIED)
def autoencoder(request: pytest.FixtureRequest, load: Callable[[str], Autoencoder]) -> Adapter:
    return load(request.param)


def side_of(name: str) -> int:
    return 64 if "LTX" in name else 16


def frames_for(autoencoder: Adapter, latents: int) -> torch.Tensor:
    count = autoencoder.ratio.frames(latents)
    return moving(count, side_of(type(autoencoder.network).__name__))


def size_of(frames: torch.Tensor) -> Size:
    return Size(frames.shape[-1], frames.shape[-2])


def in_one_pass(autoencoder: Adapter, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode and decode by diffusers' own calls; an LTX decoder is told the time step of its pipeline."""
    network = autoencoder.network
    with torch.no_grad():
        raw = network.encode(as_clip(frames)).latent_dist.mode()
        step = torch.zeros(1) if network.config.get("timestep_conditioning") else None
        whole = (network.decode(raw, step) if step is not None else network.decode(raw)).sample
    return autoencoder.normalisation.apply(as_frames(raw), 0), as_frames(whole)


@pytest.mark.parametrize("form", FORMS)
def test_a_clip_that_attention_sees_all_of_is_what_diffusers_gives_in_one_pass(
    form: str, cpu: DeviceChoice, tmp_path: Path
) -> None:
    name, settings = FORMS[form]
    build_network(name, **settings).save_pretrained(tmp_path / "model")
    autoencoder: Adapter = Folder(path=str(tmp_path / "model")).load(cpu)
    for latents in (1, 2, 6, SEEN):
        frames = frames_for(autoencoder, latents)
        expected, whole = in_one_pass(autoencoder, frames)
        assert len(expected) == latents
        assert distance(encoded(autoencoder, frames, 3), expected) < 1e-4
        assert distance(decoded(autoencoder, expected, size_of(frames), 2), whole) < 1e-4


@pytest.mark.parametrize("name", [name for name in CARRIED if name != "AutoencoderVidTok"])
def test_groups_of_any_length_go_on_where_the_last_one_ended(
    name: str, load: Callable[[str], Autoencoder]
) -> None:
    autoencoder: Adapter = load(name)
    network, spec, ratio = autoencoder.network, autoencoder.spec, autoencoder.ratio
    lengths = [1, 1, 2, 4]
    frames = frames_for(autoencoder, sum(lengths))
    counts = [ratio.frames(length, number == 0) for number, length in enumerate(lengths)]
    encoding, decoding = streaming_state.nothing_yet(), streaming_state.nothing_yet()
    with torch.no_grad():
        raw = network.encode(as_clip(frames)).latent_dist.parameters
        latents = network.encode(as_clip(frames)).latent_dist.mode()
        whole = network.decode(latents).sample
        parts = [spec.encode(network, as_clip(part), encoding) for part in frames.split(counts)]
        films = [spec.decode(network, part, decoding) for part in latents.split(lengths, dim=2)]
    assert distance(as_frames(torch.cat(parts, dim=2)), as_frames(raw)) < 1e-4
    assert distance(as_frames(torch.cat(films, dim=2)), as_frames(whole)) < 1e-4


@pytest.mark.parametrize("levels", [[1], [1, 2], [1, 2, 3]])
def test_a_vidtok_of_any_time_stride_decodes_in_groups_what_it_decodes_in_one_pass(
    levels: list[int], cpu: DeviceChoice, tmp_path: Path
) -> None:
    halved = {"tempo_ds": [level - 1 for level in levels], "tempo_us": levels}
    build_network("AutoencoderVidTok", **halved).save_pretrained(tmp_path / "model")
    autoencoder: Adapter = Folder(path=str(tmp_path / "model")).load(cpu)
    assert autoencoder.time_stride == 2 ** len(levels)
    latents = torch.randn(11, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    for count in (1, 2, 3, 6, 11):
        with torch.no_grad():
            whole = as_frames(autoencoder.network.decode(as_clip(latents[:count])))
        assert distance(decoded(autoencoder, latents[:count], Size(16, 16), 2), whole) < 1e-4


@pytest.mark.parametrize("name", ["AutoencoderKLLTXVideo", "AutoencoderKLLTX2Video"])
def test_an_ltx_takes_windows_only_in_the_halves_that_look_ahead(
    name: str, cpu: DeviceChoice, tmp_path: Path
) -> None:
    remembers = {}
    for encoder in (False, True):
        for decoder in (False, True):
            folder = tmp_path / f"{encoder} {decoder}"
            settings = {"encoder_causal": encoder, "decoder_causal": decoder}
            build_network(name, **settings).save_pretrained(folder)
            autoencoder: Adapter = Folder(path=str(folder)).load(cpu)
            plans = (autoencoder.spec.encoding, autoencoder.spec.decoding)
            remembers[encoder, decoder] = tuple(plan.overlap == 0 for plan in plans)
            frames = frames_for(autoencoder, 5)
            expected, whole = in_one_pass(autoencoder, frames)
            assert distance(encoded(autoencoder, frames, 3), expected) < 1e-4
            assert distance(decoded(autoencoder, expected, size_of(frames), 2), whole) < 1e-4
    assert remembers[True, True] == (True, True)
    assert remembers[True, False] == (True, False)
    assert remembers[False, False] == remembers[False, True] == (False, False)


def test_clips_that_take_turns_on_one_network_do_not_disturb_each_other(autoencoder: Adapter) -> None:
    frames = frames_for(autoencoder, 10)
    size = size_of(frames)
    first, second = encoded(autoencoder, frames), encoded(autoencoder, -frames)
    expected = [second, *(decoded(autoencoder, latents, size) for latents in (first, second))]
    streams: list[Iterator[torch.Tensor]] = [
        autoencoder.encode([-frames]),
        autoencoder.decode([first], size),
        autoencoder.decode([second], size),
    ]
    parts: list[list[torch.Tensor]] = [[], [], []]
    for turn in zip_longest(*streams):
        for part, kept in zip(turn, parts, strict=True):
            kept += [] if part is None else [part]
    for together, alone in zip(parts, expected, strict=True):
        assert len(together) > 2
        assert torch.equal(torch.cat(together), alone)


def test_a_clip_that_was_left_in_the_middle_leaves_nothing_in_the_network(autoencoder: Adapter) -> None:
    frames = frames_for(autoencoder, 10)
    state = traces(autoencoder.network)
    latents = encoded(autoencoder, frames)
    expected = decoded(autoencoder, latents, size_of(frames))
    for abandoned in (autoencoder.encode([-frames]), autoencoder.decode([-latents], size_of(frames))):
        next(abandoned)
        next(abandoned)
        assert traces(autoencoder.network) == state
    assert torch.equal(encoded(autoencoder, frames), latents)
    assert torch.equal(decoded(autoencoder, latents, size_of(frames)), expected)


def traces(network: Any) -> list[tuple[int, int, list[str], list[str]]]:
    """List what a call could leave behind in the layers of a network: hooks, attributes, what was seen."""
    return [
        (
            len(layer._forward_hooks),
            len(layer._forward_pre_hooks),
            sorted(vars(layer)),
            [key for key, value in vars(layer).items() if isinstance(value, torch.Tensor)],
        )
        for layer in network.modules()
    ]


class BrokenError(Exception):
    """What a layer raises in a test."""


def test_after_an_error_the_network_is_clean_and_the_same_group_can_go_again(autoencoder: Adapter) -> None:
    network, spec = autoencoder.network, autoencoder.spec
    latents = torch.randn(9, autoencoder.latent_channels, 2, 2, generator=torch.Generator().manual_seed(0))
    groups = [
        as_clip(group) for group in latents.split([1 + spec.decoding.ahead, 4, 4 - spec.decoding.ahead])
    ]
    state, undisturbed, memory = traces(network), streaming_state.nothing_yet(), streaming_state.nothing_yet()

    def fail(*_: Any) -> None:
        raise BrokenError

    with torch.no_grad():
        for group in groups:
            expected = spec.decode(network, group, undisturbed)
            *_, last = network.decoder.modules()
            hook = last.register_forward_hook(fail)
            with pytest.raises(BrokenError):
                spec.decode(network, group, memory)
            hook.remove()
            assert traces(network) == state
            assert torch.equal(spec.decode(network, group, memory), expected)


def test_a_bent_decoder_remembers_for_itself(autoencoder: Adapter) -> None:
    frames = frames_for(autoencoder, 10)
    latents, size = encoded(autoencoder, frames), size_of(frames)
    expected = decoded(autoencoder, latents, size)
    stream = autoencoder.decode([latents], size)
    first = next(stream)

    def bend(weights: Any) -> None:
        for weight in weights.values():
            weight.mul_(0.5)

    with torch.no_grad():
        with_bent_decoder = autoencoder.with_bent_decoder(bend)
    assert not torch.allclose(decoded(with_bent_decoder, latents, size), expected, atol=1e-3)
    assert torch.equal(decoded(autoencoder.with_bent_decoder(lambda _: None), latents, size), expected)
    assert torch.equal(torch.cat([first, *stream]), expected)


@pytest.mark.slow
def test_what_is_kept_of_a_clip_stops_growing_when_attention_sees_no_further(autoencoder: Adapter) -> None:
    frame = frames_for(autoencoder, 1)
    held = {}
    for count, _ in enumerate(autoencoder.encode(frame for _ in range(10**6))):
        if count in (GROUPS_ATTENDED + 1, 3 * GROUPS_ATTENDED):
            held[count] = bytes_of_all_tensors()
        if count == 3 * GROUPS_ATTENDED:
            break
    earlier, later = held.values()
    assert later <= earlier + 2 * frame.nbytes


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_that_remembers_is_one_of_diffusers(name: str) -> None:
    from diffusers.models import attention_processor
    from diffusers.models.autoencoders import (
        autoencoder_kl_cogvideox,
        autoencoder_kl_cosmos,
        autoencoder_kl_hunyuanvideo15,
        autoencoder_kl_ltx,
        autoencoder_kl_ltx2,
    )

    modules = (
        attention_processor,
        autoencoder_kl_cogvideox,
        autoencoder_kl_cosmos,
        autoencoder_kl_hunyuanvideo15,
        autoencoder_kl_ltx,
        autoencoder_kl_ltx2,
    )
    assert any(hasattr(module, name) for module in modules)


def test_a_layer_that_is_called_for_parts_of_a_frame_remembers_each_part() -> None:
    """Mochi's attention is called for 32768 places at a time, and sees each with its own past."""
    network = build_network("AutoencoderKLMochi")
    attention = next(layer for layer in network.encoder.modules() if type(layer).__name__ == "Attention")
    whole = torch.nn.Sequential(copy.deepcopy(attention)).eval()
    clip, memory = torch.randn(6, 8, attention.to_q.in_features), streaming_state.nothing_yet()
    streamed = []
    with torch.no_grad():
        expected = whole(clip)
        for group in clip.split(2, dim=1):
            with remembered(whole, memory):
                streamed.append(torch.cat([whole(part) for part in group.split(4)]))
    assert torch.allclose(torch.cat(streamed, dim=1), expected, atol=1e-5)
