"""``vae-experiments download``: says what comes, brings it, verifies it, and says how to use it."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest
from hydra import compose, initialize_config_dir

from tests.conftest import REPOSITORY
from tests.small_hub import SmallHub, files_of
from tests.test_hub import BROKEN, NAME, WEIGHTS, environment, run_with, saved, small_hub, tiny_network
from vae_experiments.cli.config import option_from
from vae_experiments.cli.hydra_setup import CONF, register
from vae_experiments.commands.download import Delivery, Download, translated
from vae_experiments.commands.model_catalog import SMALL_MB, hubs, page, small
from vae_experiments.errors import ModelError, SettingError
from vae_experiments.models import Bundled, Hub, Model

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["run_with", "saved", "small_hub"]  # fixtures, which pytest finds by name
COMMAND = ("-m", "vae_experiments", "download")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was said so far, line by line."""
    caplog.set_level(logging.INFO, logger="vae_experiments")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_download_says_what_comes_brings_it_and_says_what_to_type_next(
    small_hub: SmallHub, tmp_path: Path, lines: Callable[[], list[str]]
) -> None:
    Delivery({f"model=hub model.repository={NAME}": Hub(repository=NAME)}).run()
    words = f"model=hub model.repository={NAME}"
    announced, total, starts, ready, advice = lines()
    assert announced == f"{words}: 0.28 MB from {NAME}"
    assert re.fullmatch(rf"to download: 0.28 MB to {tmp_path}/cache, where \d+ MB are free", total)
    assert starts == f"downloading {NAME}: 0.28 MB to {tmp_path}/cache"
    assert ready == f"{words}: ready, AutoencoderKL, 0.28 MB in {Hub(repository=NAME).location()}"
    assert advice == f"now type: python run.py {words}"


def test_a_dry_run_downloads_nothing(
    small_hub: SmallHub, tmp_path: Path, lines: Callable[[], list[str]]
) -> None:
    Delivery({"model=small": Hub(repository=NAME)}).run(dry=True)
    assert [line.partition(":")[0] for line in lines()] == ["model=small", "to download"]
    assert len(small_hub.requests) == 1
    assert not (tmp_path / "cache").exists()


def test_what_is_missing_of_a_broken_download_is_announced(
    small_hub: SmallHub, tmp_path: Path, lines: Callable[[], list[str]]
) -> None:
    tiny_network().save_pretrained(tmp_path / "shards", max_shard_size="200KB")
    small_hub.repositories[NAME] = files_of(tmp_path / "shards")
    small_hub.cut_after = [10**9, *BROKEN]
    delivery = Delivery({"model=small": Hub(repository=NAME)})
    with pytest.raises(ModelError, match="cannot download"):
        delivery.run()
    before = len(lines())
    Delivery({"model=small": Hub(repository=NAME)}).run()
    announced, total, *_ = lines()[before:]
    assert announced == f"model=small: 0.29 MB from {NAME}, 0.21 MB of it here already"
    assert total.startswith("to download: 0.09 MB to ")


def test_a_model_that_is_here_is_checked_without_the_hub(
    small_hub: SmallHub, lines: Callable[[], list[str]]
) -> None:
    folder = Hub(repository=NAME).location()
    asked = len(small_hub.requests)
    Delivery({"model=small": Hub(repository=NAME)}).run()
    assert len(small_hub.requests) == asked
    here, ready, _ = lines()[-3:]
    assert here == f"model=small: here already, {folder}"
    assert ready.startswith("model=small: ready, AutoencoderKL, ")


def test_a_model_whose_bytes_have_changed_on_disk_is_refused(small_hub: SmallHub) -> None:
    file = Hub(repository=NAME).location() / WEIGHTS
    blob = file.resolve()
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    sentence = (
        "is damaged, its SHA-256 is another than when it was downloaded; delete .* and type the command again"
    )
    with pytest.raises(ModelError, match=sentence) as caught:
        Delivery({"model=small": Hub(repository=NAME)}).run()
    assert str(file) in str(caught.value)
    assert str(blob) in str(caught.value)
    file.unlink()
    blob.unlink()
    Delivery({"model=small": Hub(repository=NAME)}).run()
    assert blob.read_bytes() == data


def test_weights_that_do_not_load_are_refused_after_the_download(small_hub: SmallHub) -> None:
    small_hub.repositories[NAME][WEIGHTS] = b"no safetensors at all"
    with pytest.raises(ModelError, match="is no whole safetensors file .*; copy or download it again"):
        Delivery({"model=small": Hub(repository=NAME)}).run()


def test_one_of_several_that_cannot_be_had_does_not_stop_the_others(
    small_hub: SmallHub, lines: Callable[[], list[str]]
) -> None:
    wanted = {"model=lost": Hub(repository="someone/lost"), "model=small": Hub(repository=NAME)}
    with pytest.raises(ModelError, match="1 of 2 models are not here: model=lost; the lines above say why"):
        Delivery(wanted).run()
    assert "now type: python run.py model=small" in lines()
    assert any(
        line.startswith("model=lost: model: ") and "no repository someone/lost" in line for line in lines()
    )


def test_a_hub_that_is_not_there_is_asked_once_and_not_for_every_model(
    small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="model: cannot download someone/a "):
        Delivery({"model=a": Hub(repository="someone/a"), "model=b": Hub(repository="someone/b")}).run()
    assert lines() == []


def test_the_short_forms_are_turned_into_settings() -> None:
    assert translated(["--all-small"]) == ["download.all_small=true"]
    assert translated(["model=sd,taesd", "download.dry_run=true"])[0] == "download.names=[sd,taesd]"
    assert translated(["model=[sd,taesd]"]) == ["download.names=[sd,taesd]"]
    assert translated(["model=sd"]) == ["model=sd"]
    assert translated(["-m", "model=sd,taesd"]) == ["-m", "model=sd,taesd"]


def test_what_is_wanted_is_known_by_the_words_that_choose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sd = Hub(repository="stabilityai/sd-vae-ft-mse")
    typed = ["model=sd", "model.revision=main", "download.dry_run=true"]
    assert Download().wanted(sd, typed) == {"model=sd model.revision=main": sd}
    assert list(Download(names=["sd", "wan"]).wanted(Bundled(), [])) == ["model=sd", "model=wan"]
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    assert [word.partition("=")[2] for word in Download(all_small=True).wanted(Bundled(), [])] == list(
        small(hubs())
    )


def test_gated_models_are_left_out_of_all_small_where_there_is_no_token(
    monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr("vae_experiments.commands.download.has_token", lambda: False)
    wanted = Download(all_small=True).wanted(Bundled(), [])
    assert "model=taesd" in wanted
    assert "model=sd3" not in wanted
    assert lines() == ["left out, since they are gated and there is no token (HF_TOKEN): sd3"]


def test_a_name_that_is_no_model_on_the_hub_is_one_sentence() -> None:
    with pytest.raises(
        SettingError, match=r"download.names=\['tasd'\]: there is no tasd .* did you mean taesd\?"
    ):
        Download(names=["tasd"]).wanted(Bundled(), [])
    with pytest.raises(
        SettingError, match="model=tiny: is on this disk, there is nothing to download; choose"
    ):
        Download().wanted(Bundled(), ["model=tiny"])


def test_the_page_of_the_models_is_the_one_that_the_code_writes() -> None:
    assert (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("words", re.findall(r"^    vae-experiments download (.*)$", page(), re.MULTILINE))
def test_a_command_of_the_page_composes_to_what_is_wanted(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vae_experiments.commands.download.has_token", lambda: False)
    register(option_groups=("model", "download"))
    typed = translated(words.split())
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("download", typed)
    download = option_from(Download, config, "download")
    wanted = download.wanted(option_from(Model, config, "model"), typed)
    assert set(wanted) >= ({f"model={name}" for name in re.findall(r"(?<=[=,])(?:sd|taesd|wan)\b", words)})
    assert wanted
    assert download.dry_run == ("dry_run=true" in words)


def test_every_published_model_says_where_it_is_and_what_its_latents_are() -> None:
    known = hubs()
    assert {"sd", "sdxl", "sd3", "flux", "taesd", "wan", "ltx_video"} <= set(known)
    assert not {"tiny", "folder", "hub"} & set(known)
    for name, hub in known.items():
        hub.place.check()
        assert hub.latent_channels, name
        assert hub.stride in (8, 16, 32), name
        assert hub.time_stride in (1, 4, 6, 8), name
        assert "${seed}" in (CONF / "model" / f"{name}.yaml").read_text(), name


def test_small_models_are_those_that_are_known_to_be_small() -> None:
    known = {"a": Hub(size_mb=399.0), "b": Hub(size_mb=None), "c": Hub(size_mb=400.0)}
    assert list(small(known)) == ["a"]
    assert {"taesd", "taesdxl", "sd"} <= set(small(hubs()))
    assert SMALL_MB == 400


@pytest.mark.slow
def test_the_command_downloads_two_models_and_leaves_one_line_for_what_is_missing(
    run_with: Callable[..., subprocess.CompletedProcess[str]], saved: Path, tmp_path: Path
) -> None:
    with SmallHub().open() as hub:
        hub.repositories["madebyollin/taesd"] = files_of(saved)
        outside = environment(hub.address, tmp_path / "home")
        said = run_with(outside, *COMMAND, "model=taesd,sd", folder=tmp_path / "run")
    assert said.returncode == 1
    assert said.stderr == "error: 1 of 2 models are not here: model=sd; the lines above say why\n"
    assert "\nnow type: python run.py model=taesd\n" in said.stdout
    assert (
        f"\nmodel=sd: model: {hub.address} has no repository stabilityai/sd-vae-ft-mse, or it" in said.stdout
    )
    assert list((tmp_path / "home" / "hub").glob("models--madebyollin--taesd/snapshots/*/config.json"))
