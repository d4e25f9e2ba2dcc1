"""Calibrated strength: the strength that is found costs what was asked for, and few decodes find it."""

from __future__ import annotations

import csv
import itertools
import json
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.test_config import composed
from vae_experiments import Bundled, Device, Experiment, Folder, Noise, Output
from vae_experiments.cache import Cache, CachedStream
from vae_experiments.cli.config import experiment_from
from vae_experiments.errors import SettingError
from vae_experiments.manipulations import Bend, Blur, ChainStep, Retime, Reverse, StyleSwap, weakened
from vae_experiments.manipulations.chain import schedule_times
from vae_experiments.metrics import psnr_db
from vae_experiments.models import load_cached
from vae_experiments.models.framewise import Framewise
from vae_experiments.options import kinds
from vae_experiments.pipeline.calibration import (
    MOST_DECODES,
    Sample,
    Target,
    Trial,
    calibrated,
    picked,
    search,
)
from vae_experiments.pipeline.second_video import clip_of
from vae_experiments.schedules import Timeline, parse_schedule
from vae_experiments.sources import BouncingShapes, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vae_experiments.pipeline.experiment import Result

    Runner = Callable[..., Result]

TABLE = Output(comparison=False, pictures=False, report=False)
CLIP = BouncingShapes(size="64", frames=6)


def sample_of(source: Source = CLIP, model: Any = None, frames: int = 4) -> Sample:
    autoencoder = load_cached(model or Bundled(), Device().choose())
    return Sample(source, autoencoder, clip_of(source, autoencoder, 8), 8, CachedStream(), frames)


@pytest.fixture(scope="module")
def bundled() -> Sample:
    return sample_of()


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    numbers = itertools.count()

    def run_it(**parts: Any) -> Result:
        folder = tmp_path / f"run {next(numbers)}"
        folder.mkdir()
        return Experiment(**({"source": CLIP, "output": TABLE} | parts)).run(folder)

    return run_it


def db(mse: float) -> float:
    found = psnr_db(mse)
    return math.inf if found is None else found


def scores(folder: Path, name: str, numbers: range | list[int]) -> float:
    """Give the PSNR of some frames together, from what metrics.csv says of each."""
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    errors = [255**2 / 10 ** (float(rows[number][f"{name}.psnr_db"]) / 10) for number in numbers]
    return db(sum(errors) / len(errors))


def untimed(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: metrics[key] for key in metrics if key not in ("timing", "peak_memory_bytes", "target")}


@pytest.fixture(scope="module")
def scan(bundled: Sample) -> dict[float, float]:
    """Give the PSNR of strong noise at strengths from 0.04 to 1."""
    strengths = [number / 25 for number in range(1, 26)]
    return {strength: db(bundled.mse([Noise(scale=2, strength=strength)])) for strength in strengths}


@pytest.mark.parametrize("wanted", [31.5, 29, 24])
def test_the_strength_of_noise_is_the_one_that_a_dense_scan_finds(
    bundled: Sample, scan: dict[float, float], wanted: float
) -> None:
    assert list(scan.values()) == sorted(scan.values(), reverse=True), "more noise costs more"
    found = calibrated(Target(psnr_db=wanted, tolerance_db=0.05), [Noise(scale=2)], bundled)
    strength = found.links[0].strength
    less = max(scanned for scanned, cost in scan.items() if cost > wanted + 0.05)
    more = min(scanned for scanned, cost in scan.items() if cost < wanted - 0.05)
    assert less < strength < more
    assert more - less <= 2 / 25 + 1e-9
    assert db(bundled.mse(found.links)) == found.trial.psnr_db == pytest.approx(wanted, abs=0.05)
    assert found.summary() == {
        "psnr_db": wanted,
        "strength": strength,
        "measured_db": found.trial.psnr_db,
        "decodes": found.decodes,
        "frames": 4,
    }


@pytest.mark.parametrize("wanted", [39.9, 35, 25, 12.5])
@pytest.mark.parametrize(
    "grows",
    [
        lambda share: share,
        lambda share: share**2,
        lambda share: share**3,
        lambda share: 1 - math.exp(-10 * share),
        lambda share: 1 - math.exp(-((10 * share) ** 2)),
        lambda share: (share + share**4) / 2,
    ],
)
def test_every_error_that_grows_with_the_strength_is_met_in_a_handful_of_decodes(
    grows: Callable[[float], float], wanted: float
) -> None:
    def mse(share: float) -> float:
        return 255**2 * (1e-4 + 0.06 * grows(share))

    target = Target(psnr_db=wanted)
    trials = search(mse, Trial(0, mse(0)), Trial(1, mse(1)), target)
    assert target.distance_db(trials[-1]) <= 0.25
    assert len(trials) <= MOST_DECODES
    assert all(trial.share == float(f"{trial.share:.4g}") for trial in trials)


def test_an_error_that_jumps_over_the_target_ends_the_search_beside_the_jump() -> None:
    def mse(share: float) -> float:
        return 10.0 if share < 0.3 else 1000.0

    trials = search(mse, Trial(0, 1.0), Trial(1, 1000.0), Target(psnr_db=25))
    assert len(trials) == MOST_DECODES
    below, above = ([trial.share for trial in trials[1:] if trial.mse == mse] for mse in (10.0, 1000.0))
    assert max(below) < 0.3 <= min(above)
    assert min(above) < 2 * max(below), "it closes in on the jump"


class Jump:
    """A sample whose error jumps where the strength of a chain passes a place; the untouched costs little."""

    frames, spread = 4, True

    def __init__(self, place: float, below_db: float, above_db: float) -> None:
        self.place, self.ends = place, (below_db, above_db)

    def __str__(self) -> str:
        return "4 frames"

    def mse(self, links: list[Any]) -> float:
        cost = self.ends[links[0].strength >= self.place] if links else 60
        return 255**2 / 10 ** (cost / 10)


@pytest.mark.parametrize("place", [0.01, 0.2, 0.45, 0.8, 0.99])
@pytest.mark.parametrize(("below", "above", "nearest", "off"), [(40, 28, 28, 2), (31, 18, 31, 1)])
def test_what_cannot_be_met_is_met_by_the_nearest_trial_and_said_with_its_distance(
    place: float, below: float, above: float, nearest: float, off: float
) -> None:
    """The search ends on either side of the jump, whichever is nearer to 30 dB."""
    sample: Any = Jump(place, below, above)
    found = calibrated(Target(psnr_db=30), [Noise()], sample)
    assert found.trial.psnr_db == pytest.approx(nearest)
    assert db(sample.mse(found.links)) == pytest.approx(nearest)
    assert f"lies at {nearest:.2f} dB on 4 frames, {off:.2f} dB off and the nearest that was" in str(found)


def test_a_bend_costs_what_its_bent_decoder_makes_of_the_latents(run: Runner, bundled: Sample) -> None:
    bend = Bend(noise=0.3)
    result = run(manipulations=[bend])
    spread = scores(result.folder, "reconstructed_with_bend", bundled.numbers)
    assert db(bundled.mse([bend])) == pytest.approx(spread, abs=0.01)
    assert spread < db(bundled.mse([])) - 1


def test_a_chain_is_weakened_by_one_factor_and_the_links_stay_as_they_are(bundled: Sample) -> None:
    chain = [Noise(scale=1, strength=0.5).named("grain"), Blur(sigma=1)]
    found = calibrated(Target(psnr_db=29), chain, bundled)
    share = found.trial.share
    assert [link.strength for link in found.links] == [pytest.approx(0.5 * share, rel=1e-5), share]
    assert [link.strength for link in chain] == [0.5, 1]
    assert [link.name for link in found.links] == ["grain", "blur"]
    assert str(found).startswith(
        f"the chain at {share:g} of its strength lies at {found.trial.psnr_db:.2f} dB on 4"
    )
    assert found.trial.psnr_db == pytest.approx(29, abs=0.25)


def test_a_manipulation_of_less_than_full_strength_is_reported_with_what_is_to_be_typed(
    bundled: Sample,
) -> None:
    found = calibrated(Target(psnr_db=30), [Noise(scale=2, strength=0.5)], bundled)
    assert found.summary()["strength"] == found.links[0].strength == pytest.approx(0.5 * found.trial.share)
    assert str(found).startswith(f"strength {found.links[0].strength:g} of noise lies at")


def test_the_frames_that_are_tried_are_spread_over_the_clip_and_their_number_is_that_of_the_run(
    run: Runner,
) -> None:
    source = BouncingShapes(size="64", frames=13)
    result = run(source=source, manipulations=[Noise(scale=1)], target=Target(psnr_db=29, frames=3))
    found = result.metrics["target"]
    spread = sample_of(source, frames=3).numbers
    assert spread == [2, 6, 10]
    assert found["frames"] == 3
    assert found["measured_db"] == pytest.approx(
        scores(result.folder, "reconstructed_with_noise", spread), abs=0.01
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["AutoencoderKLCogVideoX", "AutoencoderKLMochi"])
@pytest.mark.parametrize("frames", [6, 40])
def test_a_temporal_model_is_tried_on_the_clips_first_frames_as_the_run_decodes_them(
    name: str, frames: int, network_folders: dict[str, Path], run: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    parts: dict[str, Any] = {
        "source": BouncingShapes(size="32", frames=18),
        "model": Folder(path=str(network_folders[name])),
        "manipulations": [Noise(scale=20)],
    }
    tried = sample_of(parts["source"], parts["model"], frames)
    ends = [db(tried.mse(links)) for links in ([], parts["manipulations"])]
    assert ends[0] > ends[1] + 0.2, "random weights, but noise costs something"
    target = Target(psnr_db=sum(ends) / 2, tolerance_db=0.02, frames=frames)
    with caplog.at_level(logging.INFO):
        result = run(**parts, target=target)
    found = result.metrics["target"]
    assert found["frames"] == min(frames, 18)
    assert found["measured_db"] == pytest.approx(target.psnr_db, abs=0.02)
    first = range(found["frames"])
    assert scores(result.folder, "reconstructed_with_noise", first) == pytest.approx(
        found["measured_db"], abs=0.01
    )
    assert f"on the first {found['frames']} frames, after" in caplog.text


def test_a_run_with_the_strength_that_was_found_typed_gives_the_same_to_the_last_bit(run: Runner) -> None:
    searched = run(manipulations=[Noise(scale=1)], target=Target(psnr_db=30))
    strength = float(f"{searched.metrics['target']['strength']}")
    typed = run(manipulations=[Noise(scale=1, strength=strength)])
    assert untimed(searched.metrics) == untimed(typed.metrics)
    tables = [(result.folder / "metrics.csv").read_text() for result in (searched, typed)]
    assert tables[0] == tables[1]
    said = json.loads((searched.folder / "provenance.json").read_text())
    assert f"strength {strength}" in said["manipulations"]["noise"]
    assert said["target"].startswith(f"strength {strength:g} of noise lies at ")
    assert "target" not in typed.metrics
    assert "target_seconds" not in typed.metrics["timing"]
    assert searched.metrics["timing"]["target_seconds"] > 0


@pytest.mark.slow
def test_the_batch_size_does_not_change_what_is_found(run: Runner) -> None:
    found = [
        run(manipulations=[Noise(scale=1)], target=Target(psnr_db=30), batch_size=size).metrics["target"][
            "strength"
        ]
        for size in (1, 5)
    ]
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_a_scheduled_strength_is_weakened_as_a_whole_and_can_be_typed_again(run: Runner) -> None:
    scheduled = run(manipulations=[Noise(scale=2, strength="ramp(0,1)")], target=Target(psnr_db=30))
    share = scheduled.metrics["target"]["strength"]
    said = json.loads((scheduled.folder / "provenance.json").read_text())
    assert f"strength {share:g}*(ramp(0,1))" in said["manipulations"]["noise"]
    assert said["target"].startswith(f"noise at {share:g} of its strength lies at ")
    typed = run(manipulations=[Noise(scale=2, strength=f"{share:g}*(ramp(0,1))")])
    assert untimed(scheduled.metrics) == untimed(typed.metrics)
    assert scheduled.metrics["target"]["measured_db"] == pytest.approx(30, abs=0.25)


@pytest.mark.parametrize(
    "text",
    [
        "0.5",
        "ramp(0,1)",
        "ramp(1, 0.2, 0.5s, 75%)",
        "ease(0,1)",
        "ease(1,0,2f,1s)",
        "sine(period=2s)",
        "sine(2s, 0.2, 0.8, 0.25)",
        "triangle(period=50%, low=0.1)",
        "square(period=7f, phase=0.5, high=0.9)",
        "0s:0 1s:0.5 1s:1 100%:0.25",
    ],
)
def test_a_schedule_times_a_factor_has_the_same_times_and_its_values_times_that(text: str) -> None:
    timeline = Timeline(24, 2.0)
    before, after = parse_schedule(text), parse_schedule(schedule_times(text, 0.43))
    for moment in (0, 0.1, 0.5, 0.99, 1, 1.3, 2):
        assert after.at(moment, timeline) == pytest.approx(0.43 * before.at(moment, timeline), abs=1e-6)


def test_the_whole_of_a_chain_is_the_chain_itself() -> None:
    chain = [Noise(strength=0.3), Blur()]
    assert weakened(chain, 1) == chain


def test_frames_are_picked_by_number_whatever_the_chunks_are_and_no_further_than_needed() -> None:
    numbered = torch.arange(13)
    for count in (1, 3, 5, 13):
        chunks = iter(numbered.split(count))
        assert torch.cat(list(picked(chunks, [0, 4, 5, 6]))).tolist() == [0, 4, 5, 6]
        rest = [int(number) for chunk in chunks for number in chunk]
        assert rest == list(range(-(-7 // count) * count, 13))


def test_a_search_decodes_few_frames_and_encodes_once(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[int]] = {"encode": [], "decode": []}

    def counting(name: str) -> Any:
        original = getattr(Framewise, name)

        def call(self: Framewise, chunks: Any, *rest: Any) -> Iterator[torch.Tensor]:
            place = len(seen[name])
            seen[name].append(0)
            for results in original(self, chunks, *rest):
                seen[name][place] += len(results)
                yield results

        return call

    load_cached(Bundled(), Device().choose())  # loading asks the network for its shapes
    for name in seen:
        monkeypatch.setattr(Framewise, name, counting(name))
    source = BouncingShapes(size="64", frames=24)
    found = run(source=source, manipulations=[Noise(scale=1)], target=Target(psnr_db=29, frames=3)).metrics[
        "target"
    ]
    *tried, one, other = seen["decode"]
    assert (one, other) == (24, 24), "the run itself decodes the clip both ways"
    assert tried == [3] * found["decodes"]
    assert len(tried) <= 6
    assert seen["encode"] == [24]


def test_without_the_cache_the_run_says_that_it_encodes_again(
    run: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        off = run(manipulations=[Noise(scale=1)], target=Target(psnr_db=30), cache=Cache(enabled=False))
    assert "target: the run encodes again, since the cache is off" in caplog.text
    assert off.metrics["timing"]["encode_seconds"] > 0
    caplog.clear()
    with caplog.at_level(logging.INFO):
        on = run(manipulations=[Noise(scale=1)], target=Target(psnr_db=30))
    assert "encodes again" not in caplog.text
    assert on.metrics["timing"]["encode_seconds"] == "cached"
    assert untimed(off.metrics) == untimed(on.metrics)
    assert off.metrics["target"] == on.metrics["target"]


def test_another_video_is_encoded_once_for_all_trials() -> None:
    autoencoder = load_cached(Bundled(), Device().choose())
    asked: list[str] = []
    clip = clip_of(CLIP, autoencoder, 8)
    latents_of = clip.latents_of
    assert latents_of is not None

    def counted(path: str) -> Iterator[torch.Tensor]:
        asked.append(path)
        return latents_of(path)

    object.__setattr__(clip, "latents_of", counted)
    sample = Sample(CLIP, autoencoder, clip, 8, CachedStream(), 4)
    swap = StyleSwap(path="moving_circle")
    found = calibrated(Target(psnr_db=25), [swap], sample)
    assert found.decodes > 2
    assert asked == ["moving_circle"]
    again = sample_of().mse(found.links)
    assert again == pytest.approx(found.trial.mse, rel=1e-6)


def test_trials_do_not_repeat_what_a_manipulation_remarks(
    run: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    class Talking(Noise, group="a manipulation of a test"):
        def stream(self, chunks: Any, clip: Any) -> Iterator[torch.Tensor]:
            logging.getLogger("vae_experiments.manipulations.noise").info("once is enough")
            return super().stream(chunks, clip)

    with caplog.at_level(logging.INFO):
        run(manipulations=[Talking(scale=1)], target=Target(psnr_db=30))
    assert caplog.text.count("once is enough") == 1


@pytest.mark.parametrize(
    ("links", "sentence"),
    [
        ([], "target.psnr_db=28: there is no manipulation to weaken; choose one, as manipulation=noise"),
        (
            [Noise(), Retime()],
            "target.psnr_db=28: retime changes the length, and frames of other moments would be compared; "
            "leave retime, or target.psnr_db, out",
        ),
        ([ChainStep()], "target.psnr_db=28: chain_step has no strength; leave it, or target.psnr_db, out"),
    ],
)
def test_a_chain_without_a_strength_to_search_is_refused(links: list[ChainStep], sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        Target(psnr_db=28).check(links)
    assert str(caught.value) == sentence


def test_without_a_target_every_chain_passes() -> None:
    Target().check([])
    Target().check([Retime()])


@pytest.mark.parametrize(
    ("wanted", "links", "sentence"),
    [
        (
            70,
            [Noise(scale=1)],
            r"target.psnr_db=70: the model alone costs that: reconstructed (\d\d\.\d\d) dB on 6 frames; "
            r"ask for less than \d\d(\.\d)?$",
        ),
        (
            12.5,
            [Noise(scale=0.2)],
            r"target.psnr_db=12.5: noise as set costs less: \d\d\.\d\d dB on 6 frames; "
            r"give noise.scale a stronger value, or choose another manipulation$",
        ),
        (
            12.5,
            [Noise(scale=0.2), Blur(sigma=0.3), Reverse(strength=0.1)],
            r"target.psnr_db=12.5: noise and blur and reverse as set cost less: \d\d\.\d\d dB on 6 frames; "
            r"give noise.scale or blur.sigma a stronger value, or choose another manipulation$",
        ),
        (
            12.5,
            [Noise(scale=0)],
            r"target.psnr_db=12.5: noise as set changes nothing on 6 frames; "
            r"give noise.scale a stronger value, or choose another manipulation$",
        ),
    ],
)
def test_a_target_out_of_reach_is_refused_with_what_it_costs_and_nothing_is_written(
    wanted: float, links: list[ChainStep], sentence: str, run: Runner, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=sentence):
        run(manipulations=links, target=Target(psnr_db=wanted), output=Output(latents=True))
    assert list((tmp_path / "run 0").iterdir()) == []


def test_the_last_decibel_before_the_model_can_be_asked_for(bundled: Sample) -> None:
    untouched = db(bundled.mse([]))
    asked = math.floor(untouched * 10) / 10 - 0.05
    found = calibrated(Target(psnr_db=asked, tolerance_db=0.02), [Noise(scale=1)], bundled)
    assert 0 < found.trial.share < 0.2
    assert found.trial.psnr_db == pytest.approx(asked, abs=0.02)
    with pytest.raises(SettingError, match="the model alone costs that"):
        calibrated(Target(psnr_db=untouched + 0.01), [Noise(scale=1)], bundled)


def test_full_strength_within_the_tolerance_is_taken_at_once(bundled: Sample) -> None:
    full = db(bundled.mse([Noise(scale=1)]))
    found = calibrated(Target(psnr_db=full - 0.2), [Noise(scale=1)], bundled)
    assert (found.trial.share, found.decodes) == (1, 2)
    assert found.links == [Noise(scale=1)]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(kinds("manipulation")))
def test_every_manipulation_is_set_to_30_db_or_says_why_not(name: str, bundled: Sample) -> None:
    links = experiment_from(composed(f"manipulation={name}")).manipulations
    target = Target(psnr_db=30)
    if name == "retime":
        with pytest.raises(SettingError, match="retime changes the length"):
            target.check(links)
    elif db(bundled.mse(links)) > 30.25:
        with pytest.raises(SettingError, match=f"{name} as set (costs less: 3|changes nothing)"):
            calibrated(target, links, bundled)
    else:
        found = calibrated(target, links, bundled)
        assert db(bundled.mse(found.links)) == pytest.approx(30, abs=0.25)
        assert found.decodes <= MOST_DECODES


def test_the_target_is_a_block_of_the_config() -> None:
    assert experiment_from(composed()).target == Target() == Target(psnr_db=None, tolerance_db=0.25, frames=8)
    typed = experiment_from(composed("target.psnr_db=28", "target.frames=4", "target.tolerance_db=0.1"))
    assert typed.target == Target(psnr_db=28, tolerance_db=0.1, frames=4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"psnr_db": 0},
            "target.psnr_db=0: must be more than 0 and at most 150 dB; leave it out for the default",
        ),
        ({"tolerance_db": 0}, "target.tolerance_db=0: must be at least 0.02 dB; the default is 0.25"),
        ({"frames": 0}, "target.frames=0: must be at least 1; the default is 8"),
    ],
)
def test_a_target_out_of_its_range_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        Target(**settings)
    assert str(caught.value) == sentence


def test_the_report_tells_the_strength_that_was_found(run: Runner) -> None:
    folder = run(manipulations=[Noise(scale=1)], target=Target(psnr_db=30), output=Output()).folder
    said = json.loads((folder / "provenance.json").read_text())["target"]
    assert said in (folder / "report.html").read_text()
