"""A temporal model streams: what diffusers gives for the whole clip, no seam, any length, bounded memory."""

from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.conftest import WAN, build_network
from tests.test_experiment import Backwards, video
from tests.test_models import decoded, encoded, frames_of
from vae_experiments import Device, Experiment, Folder, Noise, Output, load_latents
from vae_experiments.cache import RunCache
from vae_experiments.models import Posterior
from vae_experiments.pipeline.runner import stream
from vae_experiments.pipeline.second_video import clip_of
from vae_experiments.runtime.stopwatch import Stopwatch
from vae_experiments.sources import MovingCircle
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vae_experiments.models import Autoencoder
    from vae_experiments.models.temporal.adapter import Temporal
    from vae_experiments.pipeline.experiment import Result
    from vae_experiments.runtime.device import DeviceChoice

SIZE = Size(48, 40)
OTHER_STRIDES = {"temperal_downsample": [False, False, True]}
every_temporal_network = pytest.mark.parametrize("name", WAN)


@pytest.fixture(scope="module", params=[*WAN, "two frames a latent"])
def adapter(
    request: pytest.FixtureRequest,
    loaded: Callable[[str], Autoencoder],
    cpu: DeviceChoice,
    tmp_path_factory: pytest.TempPathFactory,
) -> Temporal:
    """Load each temporal network, and one that takes two frames a latent."""
    if request.param in WAN:
        return loaded(request.param)  # type: ignore[return-value]
    folder = tmp_path_factory.mktemp("model")
    build_network(WAN[0], **OTHER_STRIDES).save_pretrained(folder)
    return Folder(path=str(folder)).load(cpu)  # type: ignore[return-value]


def whole_latents(adapter: Temporal, frames: torch.Tensor) -> torch.Tensor:
    """Encode a clip of 4k + 1 frames in one call of diffusers, which knows no other rule, and normalise."""
    assert len(frames) % 4 == 1
    with torch.inference_mode():
        raw = adapter.network.encode(frames.movedim(0, 1)[None]).latent_dist.mode()[0].movedim(1, 0)
    return adapter.normalisation.apply(raw)


def whole_frames(adapter: Temporal, latents: torch.Tensor) -> torch.Tensor:
    """Decode all latents in one call of diffusers."""
    with torch.inference_mode():
        raw = adapter.normalisation.undo(latents).movedim(0, 1)[None].contiguous()
        return adapter.network.decode(raw).sample[0].movedim(1, 0)


def test_strides_and_channels_are_those_of_the_network(adapter: Temporal) -> None:
    config = adapter.network.config
    assert adapter.time_stride == 2 ** sum(config.temperal_downsample)
    assert adapter.stride == 2 ** (len(config.dim_mult) - 1) * (config.patch_size or 1) == 8
    assert adapter.latent_channels == config.z_dim == 4


@pytest.mark.parametrize("count", [1, 5, 17])
def test_a_streamed_clip_is_what_diffusers_gives_for_the_whole_clip(adapter: Temporal, count: int) -> None:
    frames = frames_of(count)
    latents = encoded(adapter, frames, 3)
    assert torch.allclose(latents, whole_latents(adapter, frames), atol=1e-5)
    assert torch.allclose(decoded(adapter, latents, SIZE, 2), whole_frames(adapter, latents), atol=1e-5)


def test_frames_are_clipped_as_diffusers_clips_them(adapter: Temporal) -> None:
    latents = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0)) * 500
    expected = whole_frames(adapter, latents)
    assert expected.abs().max() == 1
    assert torch.allclose(decoded(adapter, latents, SIZE, 1), expected, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 17])
def test_any_number_of_frames_is_filled_up_by_repeating_the_last_one(adapter: Temporal, count: int) -> None:
    frames = frames_of(count)
    latents = encoded(adapter, frames, 2)
    filled = torch.cat([frames, frames[-1:].expand(-(count - 1) % 4, -1, -1, -1)])
    expected = whole_latents(adapter, filled)[: 1 + -(-(count - 1) // adapter.time_stride)]
    assert latents.shape == expected.shape
    assert torch.allclose(latents, expected, atol=1e-5)
    assert len(decoded(adapter, latents, SIZE)) == count + -(count - 1) % adapter.time_stride


@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_chunks_of_the_source_change_no_bit(adapter: Temporal, count: int) -> None:
    frames = frames_of(11)
    latents = encoded(adapter, frames)
    assert torch.equal(encoded(adapter, frames, count), latents)
    assert torch.equal(decoded(adapter, latents, SIZE, count), decoded(adapter, latents, SIZE))


def test_an_encode_and_two_decodes_of_one_network_do_not_disturb_each_other(adapter: Temporal) -> None:
    frames, reverse = frames_of(9), frames_of(9).flip(0)
    first, second = encoded(adapter, frames), encoded(adapter, reverse)
    expected = [
        second,
        *(decoded(adapter, latents, SIZE) for latents in (first, second)),
    ]
    streams: list[Iterator[torch.Tensor]] = [
        adapter.encode([reverse]),
        adapter.decode([first], SIZE),
        adapter.decode([second], SIZE),
    ]
    parts: list[tuple[torch.Tensor, ...]] = list(zip(*streams, strict=True))
    for together, alone in zip(zip(*parts, strict=True), expected, strict=True):
        assert torch.equal(torch.cat(together), alone)


def test_a_clip_that_was_left_in_the_middle_does_not_disturb_the_next(adapter: Temporal) -> None:
    frames = frames_of(9)
    expected = encoded(adapter, frames)
    abandoned = adapter.encode([frames.flip(0)])
    next(abandoned)
    next(abandoned)
    assert torch.equal(encoded(adapter, frames), expected)


def test_no_more_frames_are_read_than_the_next_latent_needs(adapter: Temporal) -> None:
    read = []

    def one_by_one() -> Iterator[torch.Tensor]:
        for number, frame in enumerate(frames_of(9).split(1)):
            read.append(number)
            yield frame

    counts = [len(read) for _ in adapter.encode(one_by_one())]
    assert counts == list(range(1, 10, adapter.time_stride))


@pytest.mark.parametrize("name", WAN)
def test_a_posterior_sample_is_the_same_bit_for_bit_at_any_chunk_size(
    name: str, network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    adapter = Folder(path=str(network_folders[name]), posterior=Posterior.sample, seed=3).load(cpu)
    assert torch.equal(encoded(adapter, frames_of(9), 2), encoded(adapter, frames_of(9)))


def look_away(name: str, latents: torch.Tensor) -> None:
    """See no latents."""


def count_from_here() -> None:
    """Hide what is there already from ``bytes_of_all_tensors``: to look through all of it takes half a second."""
    gc.collect()
    gc.freeze()


def bytes_of_all_tensors() -> int:
    """Add up the tensors that have come since ``count_from_here``."""
    gc.collect()
    alive = {
        thing.untyped_storage().data_ptr(): thing.untyped_storage().nbytes()
        for thing in gc.get_objects()
        if type(thing) is torch.Tensor
    }
    return sum(alive.values())


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 8])
@every_temporal_network
def test_what_is_held_of_a_clip_does_not_grow_with_it(
    name: str, batch_size: int, network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    """A frame is 23 kB here, and 48 frames lie between the first measurement and the last."""
    count_from_here()
    autoencoder = Folder(path=str(network_folders[name])).load(cpu)
    source = MovingCircle(size="48x40", frames=72)
    held = []
    clip = clip_of(source, autoencoder, batch_size)
    steps = stream(source, autoencoder, [Noise()], clip, batch_size, Stopwatch(), look_away, RunCache())
    for number, _ in enumerate(steps):
        if (number + 1) * batch_size % 16 == 8:
            held.append(bytes_of_all_tensors())
    prefetch = 4 * batch_size * 48 * 40 * 3 * 4
    assert len(held) >= 4
    assert max(held[1:]) < held[1] + prefetch


@pytest.mark.parametrize(("batch_size", "lengths"), [(1, [1] * 6), (8, [2, 2, 2]), (12, [3, 3])])
def test_a_chunk_of_changed_latents_stands_for_about_a_batch_of_frames(
    batch_size: int, lengths: list[int], network_folders: dict[str, Path], cpu: DeviceChoice
) -> None:
    autoencoder = Folder(path=str(network_folders[WAN[0]])).load(cpu)
    source, changed = MovingCircle(size="48x40", frames=21), list[int]()

    def see(name: str, latents: torch.Tensor) -> None:
        changed.extend([len(latents)] * (name == "changed"))

    clip = clip_of(source, autoencoder, batch_size)
    list(stream(source, autoencoder, [Noise()], clip, batch_size, Stopwatch(), see, RunCache()))
    assert changed == lengths


@pytest.fixture
def run(network_folders: dict[str, Path], tmp_path: Path) -> Any:
    """Run an experiment on a small Wan into a folder of its own."""
    numbers = iter(range(99))

    def run_it(name: str = WAN[0], **parts: Any) -> Result:
        folder = tmp_path / f"run {next(numbers)}"
        folder.mkdir()
        defaults: dict[str, Any] = {
            "source": MovingCircle(size="51x37", frames=7, fps="12"),
            "model": Folder(path=str(network_folders[name])),
            "output": Output(comparison=False, table=False, pictures=False, report=False, latents=True),
        }
        return Experiment(**(defaults | parts)).run(folder)

    return run_it


@every_temporal_network
def test_a_run_leaves_every_frame_of_its_source_and_says_how_many_latents_there_were(
    name: str, run: Any
) -> None:
    result = run(name, output=Output(latents=True))
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert (metrics["frames"], metrics["width"], metrics["height"]) == (7, 51, 37)
    assert metrics["latents"]["shape"] == metrics["changed_latents"]["shape"] == [3, 4, 5, 7]
    assert load_latents(result.folder).shape == load_latents(result.folder, "changed").shape == (3, 4, 5, 7)
    assert len((result.folder / "metrics.csv").read_text().splitlines()) == 8
    for film in ("original", "reconstructed", "reconstructed_with_noise", "comparison"):
        assert len(video(result.folder / f"{film}.mp4")) == 7
    assert {"latents.png", "report.html"} < {path.name for path in result.folder.iterdir()}


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 7, 17])
def test_frames_out_of_a_run_are_frames_in(run: Any, frames: int) -> None:
    source = MovingCircle(size="51x37", frames=frames, fps="12")
    folder = run(source=source, manipulations=[], batch_size=3).folder
    assert len(video(folder / "original.mp4")) == len(video(folder / "reconstructed.mp4")) == frames


@pytest.mark.parametrize("exact", [False, True])
@every_temporal_network
def test_latents_and_noise_are_the_same_bit_for_bit_at_every_batch_size(
    name: str, exact: bool, run: Any
) -> None:
    one, three, eight = (run(name, batch_size=count, device=Device(exact=exact)) for count in (1, 3, 8))
    for kind in ("encoded", "changed"):
        expected = load_latents(one.folder, kind)
        assert torch.equal(load_latents(three.folder, kind), expected)
        assert torch.equal(load_latents(eight.folder, kind), expected)
    for name_of_video in ("reconstructed", "reconstructed_with_noise"):
        assert three.metrics[name_of_video] == pytest.approx(one.metrics[name_of_video])
        assert eight.metrics[name_of_video] == pytest.approx(one.metrics[name_of_video])


def test_noise_is_drawn_by_the_latents_number(run: Any) -> None:
    from vae_experiments.runtime.seeding import normal_frames

    folder = run(manipulations=[Noise(scale=0.5, seed=5)]).folder
    noise = load_latents(folder, "changed") - load_latents(folder)
    assert torch.allclose(noise, 0.5 * normal_frames(0, noise.shape, 5, "noise"), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_chain_that_holds_the_clip_runs_through_the_same_runner(run: Any, batch_size: int) -> None:
    folder = run(manipulations=[Noise(scale=0.1), Backwards()], batch_size=batch_size).folder
    untouched, changed = load_latents(folder), load_latents(folder, "changed")
    assert torch.allclose(changed.flip(0), untouched, atol=1)
    assert not torch.allclose(changed, untouched, atol=1)
    assert len(video(folder / f"reconstructed_with_noise_{Backwards.kind}.mp4")) == 7


class Shorter(Backwards, group="a manipulation of a test"):
    """Loses the last latent."""

    def stream(self, chunks: Any, clip: Any) -> Iterator[torch.Tensor]:
        yield torch.cat(list(chunks))[:-1]


def test_a_manipulation_that_loses_latents_is_a_fault_and_leaves_no_video(run: Any, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="frames in, .* out"):
        run(manipulations=[Shorter()])
    assert list((tmp_path / "run 0").iterdir()) == []
