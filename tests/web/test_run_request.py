"""Orders: what the page runs is what the printed line runs."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.test_config import composed
from tests.web.conftest import small, waited
from vae_experiments.cli.config import experiment_from
from vae_experiments.cli.overrides import quoted
from vae_experiments.errors import SettingError, SourceError, VaeExperimentsError, WriteError
from vae_experiments.web.requests.catalog import offered
from vae_experiments.web.requests.controls import SECOND, Control
from vae_experiments.web.requests.run_request import RawRequest, RunRequest, order_of
from vae_experiments.web.service import WebService
from vae_experiments.web.state.uploads import Limits, Uploads

LIMITS = Limits()
Type = Callable[[str], dict[str, Any]]


@pytest.fixture
def typed_again(type_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Type:
    """Type a line in a shell that stands in the test's folder, and give what was measured."""

    def type_it(line: str) -> dict[str, Any]:
        words = shlex.split(line)
        words[:2] = [str(REPOSITORY / "run.py")]
        done = type_command(*words, "hydra.run.dir=typed", where=tmp_path)
        assert done.returncode == 0, done.stderr
        metrics: dict[str, Any] = json.loads((tmp_path / "typed" / "metrics.json").read_text())
        return metrics

    return type_it


def another(control: Control) -> Any:
    """Give a value that is not the default."""
    if control.shape == "checkbox":
        return not control.default
    if control.shape == "dropdown":
        return next(name for name in reversed(control.choices) if name not in (control.default, SECOND))
    if control.shape == "slider":
        assert control.minimum is not None
        assert control.maximum is not None
        assert control.step is not None
        share = 2 / 3 if control.name.startswith("high") else 1 / 3
        steps = round((control.maximum - control.minimum) / control.step * share)
        value = control.minimum + steps * control.step
        return value if value != control.default else value + control.step
    if control.shape == "number":
        return 3
    texts = {"frames": "25%:75%", "channels": "0, 2", "mask": "outside circle(ramp(0,1),0.5,0.2)"}
    return texts.get(control.name, "*up*")


def typed_in_a_shell(order: RunRequest) -> Any:
    words = shlex.split(order.command)
    assert words[:2] == ["python", "run.py"]
    return experiment_from(composed(*map(quoted, words[2:])))


def test_another_decoder_is_chosen_among_the_models_of_this_machine() -> None:
    order = order_of(RawRequest(decoder="tiny"), None, LIMITS)
    assert order.command == "python run.py decoder=tiny"
    assert order.experiment().decoder == typed_in_a_shell(order).decoder
    assert order_of(RawRequest(), None, LIMITS).experiment().decoder is None
    with pytest.raises(SettingError, match="decoder=nope: no such choice; choose from: tiny"):
        order_of(RawRequest(decoder="nope"), None, LIMITS)


@pytest.mark.slow
@pytest.mark.parametrize("name", offered("manipulation"))
def test_the_line_of_every_manipulation_composes_to_the_very_options(name: str) -> None:
    controls = offered("manipulation")[name].controls()
    for values in ({}, {control.name: another(control) for control in controls}):
        order = order_of(RawRequest(chain=[name], values={name: values}), None, LIMITS)
        experiment = typed_in_a_shell(order)
        assert tuple(experiment.manipulations) == order.links
        assert (experiment.model, experiment.source) == (order.model, order.source)


@pytest.mark.parametrize("text", ["ramp(0,1)", "sine(period=2s,low=0,high=1)", "0s:0 1s:0.5", "7"])
def test_a_schedule_goes_through_the_line_unharmed(text: str) -> None:
    order = order_of(RawRequest(values={"noise": {"scale": text}}), None, LIMITS)
    assert str(typed_in_a_shell(order).manipulations[0].scale) == text


def test_only_what_differs_from_the_defaults_is_printed() -> None:
    assert order_of(RawRequest(), None, LIMITS).command == "python run.py"
    asked = RawRequest(
        source="plasma",
        source_values={"size": "64x48", "frames": 5, "fps": "8"},
        chain=["noise", "blur"],
        values={"noise": {"scale": 0.30000000000000004, "seed": 0}, "blur": {"mask": "circle(0.5,0.5,0.3)"}},
    )
    assert order_of(asked, None, LIMITS).command == (
        "python run.py source=plasma source.size=64x48 source.frames=5 'manipulation=[noise,blur]' "
        "noise.scale=0.3 'blur.mask=circle(0.5,0.5,0.3)'"
    )
    assert order_of(RawRequest(chain=[]), None, LIMITS).command == "python run.py manipulation=none"


@pytest.mark.slow
def test_an_uploaded_clip_run_on_the_page_and_by_its_line_gives_the_same_numbers(
    typed_again: Type, bench: WebService, clip: Path, tmp_path: Path
) -> None:
    visit = bench.session("me")
    upload = bench.receive(visit, clip, "my 'clip', (1).mp4")
    assert upload.name == "my_clip_1_.mp4"
    asked = RawRequest(source="video", source_values={"frames": 4}, chain=["noise", "blur"])
    kept = waited(bench.run(visit, asked)).result
    (tmp_path / upload.name).write_bytes(clip.read_bytes())
    metrics = typed_again(kept.command)
    for name in ("reconstructed", "reconstructed_with_noise_blur", "latents", "changed_latents", "frames"):
        assert metrics[name] == kept.metrics[name]


@pytest.mark.slow
def test_a_second_upload_is_known_by_its_name_and_its_line_gives_the_same_numbers(
    typed_again: Type, bench: WebService, clip: Path, tmp_path: Path
) -> None:
    visit = bench.session("me")
    asked = small(chain=["noise", "blend"], values={"blend": {"path": SECOND, "weight": 0.7}})
    with pytest.raises(
        SourceError, match=r"blend.path: no second video was uploaded.*; upload one, or choose"
    ):
        bench.run(visit, asked)
    upload = bench.receive(visit, clip, "my other.mp4", SECOND)
    with pytest.raises(SourceError, match="no video was uploaded"):
        bench.run(visit, small(source="video"))
    kept = waited(bench.run(visit, asked)).result
    assert "blend.path=my_other.mp4" in kept.command
    (tmp_path / upload.name).write_bytes(clip.read_bytes())
    metrics = typed_again(kept.command)
    for name in ("reconstructed_with_noise_blend", "changed_latents"):
        assert metrics[name] == kept.metrics[name]
    texts = [file.read_text() for file in kept.folder.iterdir() if file.suffix in (".json", ".html", ".csv")]
    assert any("my_other.mp4" in text for text in texts)
    assert not any(str(bench.scratch) in text for text in texts)


@pytest.mark.slow
def test_the_config_in_the_folder_of_a_run_runs_it_again_to_the_same_numbers(
    type_command: Callable[..., subprocess.CompletedProcess[str]], bench: WebService, tmp_path: Path
) -> None:
    asked = small(chain=["noise", "freeze"], values={"noise": {"scale": "ramp(0,1)"}, "freeze": {"frame": 1}})
    kept = waited(bench.run(bench.session("me"), asked)).result
    saved = ["--config-path", str(kept.folder / ".hydra"), "--config-name", "config"]
    done = type_command(str(REPOSITORY / "run.py"), *saved, "hydra.run.dir=again", where=tmp_path)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "again" / "metrics.json").read_text())
    for name in ("reconstructed", "reconstructed_with_noise_freeze", "changed_latents"):
        assert metrics[name] == kept.metrics[name]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (RawRequest(source="/etc/passwd"), "source=etcpasswd: no such choice; choose from: bars"),
        (RawRequest(model="hub"), "model=hub: no such choice; choose from: tiny"),
        (RawRequest(model="../../x"), "model=x: no such choice"),
        (RawRequest(chain=["os.system"]), "manipulation=ossystem: no such choice"),
        (RawRequest(chain=["noise", "noise"]), "names one twice"),
        (RawRequest(chain=["noise"] * 7), "too many in a row; choose at most 6"),
        (RawRequest(chain="noise"), "too many in a row"),
        (
            RawRequest(source_values={"frames": 10**6}),
            "1000000 frames of 256x256 are more than this page takes",
        ),
        (RawRequest(source_values={"size": "0"}), "must be one or two whole numbers"),
        (RawRequest(source_values={"size": "99999"}), "must be at most"),
        (RawRequest(source="video"), "no video was uploaded; upload one, or choose a pattern"),
        (RawRequest(values={"noise": {"scale": -1}}), "noise.scale=-1.0: must be at least 0"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(asked: RawRequest, sentence: str) -> None:
    with pytest.raises(VaeExperimentsError) as caught:
        order_of(asked, None, LIMITS)
    assert sentence in str(caught.value)


def test_a_path_that_the_browser_sends_for_a_video_is_not_looked_at(clip: Path, tmp_path: Path) -> None:
    upload = Uploads(tmp_path / "up", LIMITS).take(clip, clip.name)
    order = order_of(RawRequest(source="video", source_values={"path": "/etc/passwd"}), upload, LIMITS)
    assert order.source.path == str(upload.path)  # type: ignore[attr-defined]


def test_a_preview_is_the_same_run_on_few_small_frames() -> None:
    order = order_of(small(source="plasma", source_values={"size": "640x360", "frames": 100}), None, LIMITS)
    preview = order.smaller(8, 8)
    assert str(preview.source.info.size) == "128x72"
    assert preview.source.info.frames == 8
    assert preview.links == order.links
    wide = order_of(small(source="plasma", source_values={"size": "640x40", "frames": 5}), None, LIMITS)
    assert str(wide.smaller(8, 32).source.info.size) == "128x32", "no smaller than the model takes"
    assert wide.smaller(8, 32).source.info.frames == 5


def test_a_preview_takes_each_link_of_a_chain_for_the_clip_that_the_one_before_leaves() -> None:
    def preview_at(speed: float, frame: int) -> RunRequest | None:
        values = {"retime": {"speed": speed}, "freeze": {"frame": frame}}
        asked = small(source_values={"size": "64", "frames": 10}, chain=["retime", "freeze"], values=values)
        return order_of(asked, None, LIMITS).preview()

    assert preview_at(0.5, 15) is not None
    with pytest.raises(
        VaeExperimentsError, match=r"freeze\.frame=8: the clip has 5 frames; name one of 0 to 4"
    ):
        preview_at(2, 8)


def test_uploads_are_refused_or_kept_under_safe_names_and_the_oldest_go(clip: Path, tmp_path: Path) -> None:
    size = clip.stat().st_size
    uploads = Uploads(tmp_path / "up", Limits(upload_bytes=2 * size, stored_bytes=3 * size))
    names = ["../../x.mp4", "..\\a b.mp4", "\0.mp4", f"{'n' * 400}.mp4", "ok.MP4"]
    kept = [uploads.take(clip, name) for name in names]
    for upload in kept:
        assert upload.path.is_relative_to(tmp_path / "up")
        assert len(upload.name) <= 80
    assert [uploads.get(upload.id) for upload in kept[-3:]] == kept[-3:]
    assert not kept[0].path.exists()
    for key in (kept[0].id, "../up", None, ["x"]):
        with pytest.raises(SourceError, match="upload it again"):
            uploads.get(key)
    big = tmp_path / "big.mp4"
    big.write_bytes(clip.read_bytes() * 3)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:100])
    for file, name, sentence in (
        (big, "big.mp4", "big.mp4: more than 0 MB"),
        (clip, "clip.exe", "clip.exe: no kind of file that this page takes"),
        (broken, "broken.mp4", "broken.mp4"),
    ):
        with pytest.raises(SourceError, match=sentence):
            uploads.take(file, name)
    assert len(list((tmp_path / "up").iterdir())) == 3


def test_an_upload_that_finds_no_room_is_one_line_and_leaves_nothing(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(_: Path, to: Path) -> None:
        to.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    uploads = Uploads(tmp_path / "up", LIMITS)
    monkeypatch.setattr("shutil.copyfile", half)
    with pytest.raises(WriteError, match="no space left writing .*clouds.mp4"):
        uploads.take(clip, clip.name)
    assert list((tmp_path / "up").iterdir()) == []
    with pytest.raises(SourceError, match="gone.mp4: it is not here any more; upload it again"):
        uploads.take(tmp_path / "gone.mp4", "gone.mp4")


def test_a_cut_file_is_kept_with_a_warning_and_runs_in_part_where_that_is_wished(
    bench: WebService, clip: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mp4"
    content = clip.read_bytes()
    # The moov box comes first in our own videos, so that the frames are what is missing.
    cut.write_bytes(content[: int(len(content) * 0.8)])
    visit = bench.session("me")
    upload = bench.receive(visit, cut, "cut.mp4")
    assert "cut.mp4: the file is cut short" in upload.damage
    with pytest.raises(SourceError, match="the file is cut short"):
        bench.run(visit, RawRequest(source="video"))
    whole = {"frames": 2, "allow_partial": True}
    kept = waited(bench.run(visit, RawRequest(source="video", source_values=whole))).result
    assert "source.allow_partial=true" in kept.command


def test_every_number_of_a_chain_has_a_range_to_sweep_within_what_is_allowed() -> None:
    from vae_experiments.web.sweep_job import sweepable, usual_range

    settings = sweepable(list(offered("manipulation")))
    assert usual_range("noise.scale") == (0.2, 1.0)
    assert len(settings) > 100
    for setting in settings:
        name, _, key = setting.partition(".")
        rule = next(rule for known, _, rule in offered("manipulation")[name].kind.settings() if known == key)
        first, last = usual_range(setting)
        assert first != last
        assert rule.admits(first)
        assert rule.admits(last)


def test_a_second_upload_is_never_taken_for_a_pattern_or_for_the_first(clip: Path, tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "up", LIMITS)
    second = uploads.take(clip, "plasma")
    asked = small(chain=["blend"], values={"blend": {"path": SECOND}})
    order = order_of(asked, None, LIMITS, second)
    assert """'blend.path="./plasma"'""" in order.command
    assert typed_in_a_shell(order).manipulations[0].path == "./plasma"
    assert order.places == {"./plasma": str(second.path)}
    pattern = order_of(small(chain=["blend"], values={"blend": {"path": "plasma"}}), None, LIMITS, second)
    assert pattern.links[0].path == "plasma"  # type: ignore[attr-defined]

    longer = tmp_path / "longer.mp4"
    longer.write_bytes(clip.read_bytes() + b"\0" * 8)
    first, same, other = (uploads.take(file, "same.mp4") for file in (clip, clip, longer))
    asked = RawRequest(source="video", chain=["blend"], values={"blend": {"path": SECOND}})
    assert "blend.path=same.mp4" in order_of(asked, first, LIMITS, same).command
    with pytest.raises(
        SourceError, match=r"both videos are called same.mp4; upload one of them under another"
    ):
        order_of(asked, first, LIMITS, other)
    assert order_of(RawRequest(source="video"), first, LIMITS, other).places == {}, (
        "nothing asks for the second"
    )


def test_a_title_says_what_differs_from_the_defaults() -> None:
    asked = RawRequest(chain=["noise", "blur"], values={"noise": {"scale": 0.3}})
    assert order_of(asked, None, LIMITS).title == "noise scale=0.3 + blur"
    assert order_of(RawRequest(chain=[]), None, LIMITS).title == "nothing changed"


def test_a_sweep_takes_only_numbers_of_the_chain(bench: WebService) -> None:
    from vae_experiments.web.sweep_job import SweepRange

    visit = bench.session("me")
    for setting in ("noise.mask", "blur.sigma", "noise", "__class__.x"):
        with pytest.raises(SettingError):
            bench.sweep(visit, small(), SweepRange.of(setting, 0, 1, 3))
    for first, last in ((0.5, 0.5 + 1e-9), (0.1, 0.1000001)):
        with pytest.raises(SettingError, match="holds fewer than 2 values of that setting; widen it"):
            bench.sweep(visit, small(), SweepRange.of("noise.scale", first, last, 3))
    with pytest.raises(SettingError, match="fewer than 2 values"):
        bench.sweep(visit, small(chain=["mosaic"]), SweepRange.of("mosaic.size", 2, 2.4, 5))
    with pytest.raises(SettingError, match="choose a manipulation on the first tab"):
        bench.sweep(visit, small(chain=[]), SweepRange.of("noise.scale", 0, 1, 3))
    for numbers in (("a", 1, 3), (0, float("nan"), 3), (0, 1, 10**9), (1, 1, 3), (0, 1e300, 3)):
        with pytest.raises(SettingError):
            SweepRange.of("noise.scale", *numbers)


def test_a_sweep_leaves_a_contact_sheet_a_plot_and_the_line_that_repeats_it(bench: WebService) -> None:
    from vae_experiments.web.sweep_job import SweepRange

    kept = waited(bench.sweep(bench.session("me"), small(), SweepRange.of("noise.scale", 0.5, 1, 2))).result
    assert kept.command == "python run.py -m source.size=48 source.frames=3 noise.scale=0.5,1"
    assert kept.file("contact_sheet.png")
    for job in "01":
        names = {path.name for path in (kept.folder / job / ".hydra").iterdir()}
        assert names == {"config.yaml", "hydra.yaml", "overrides.yaml"}
        assert (kept.folder / job / "run.log").stat().st_size
    assert (kept.folder / "sweep.csv").read_text().count("\n") >= 3
    assert list(kept.folder.glob("*noise*scale*.png")) or len(list(kept.folder.glob("*.png"))) > 1
