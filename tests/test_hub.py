"""Models on the hub: fetched once, taken up, verified, offline afterwards; every refusal is one sentence."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import torch

from tests.conftest import SETTINGS
from tests.small_hub import COMMIT, SmallHub, files_of
from vae_experiments.errors import ModelError, SettingError
from vae_experiments.models import Folder, Hub
from vae_experiments.models.hub.remote_files import _Megabytes
from vae_experiments.models.hub.weight_files import Weights

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.small_hub import Files
    from vae_experiments.runtime.device import DeviceChoice

NAME = "someone/small"
WEIGHTS = "diffusion_pytorch_model.safetensors"
HALF = "diffusion_pytorch_model.fp16.safetensors"
BLOCK = 1000
BROKEN = [0] * 6
"""More often than the library takes up a connection that brings nothing."""


def tiny_network() -> torch.nn.Module:
    """Make the one network that these tests serve."""
    from diffusers import AutoencoderKL

    torch.manual_seed(1)
    return AutoencoderKL(**SETTINGS["AutoencoderKL"])


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny AutoencoderKL as ``save_pretrained`` writes it."""
    folder = tmp_path_factory.mktemp("saved")
    tiny_network().save_pretrained(folder)
    return folder


@pytest.fixture
def small_hub(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """A hub with one model, which this process takes for the real one, and an empty cache."""
    with SmallHub().open() as hub:
        hub.repositories[NAME] = files_of(saved)
        point_to(hub.address, tmp_path / "cache", monkeypatch)
        yield hub


def point_to(address: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do in a process that runs already what HF_ENDPOINT and HF_HUB_CACHE do when it starts."""
    from huggingface_hub import close_session

    close_session()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    # The library waits a second before it takes up what broke, and takes up whole blocks of 10 MB.
    monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", BLOCK)


def environment(address: str, home: Path) -> dict[str, str]:
    """Say where hub and cache are to a process that is yet to start."""
    return {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}


def refusal(**settings: object) -> str:
    """Ask for the model and give the sentence that is said instead."""
    with pytest.raises(ModelError) as caught:
        Hub(**{"repository": NAME, **settings}).location()
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 700
    return sentence


def same_weights(folder: Path, files: Files, name: str = WEIGHTS) -> bool:
    return (folder / name).read_bytes() == files[name]


def test_a_model_is_fetched_once_and_never_asked_for_again(
    small_hub: SmallHub, saved: Path, cpu: DeviceChoice
) -> None:
    autoencoder = Hub(repository=NAME).load(cpu)
    frames = torch.rand(2, 3, 32, 32) * 2 - 1
    by_hand = Folder(path=str(saved)).load(cpu)
    assert autoencoder.weights_digest == by_hand.weights_digest
    assert torch.equal(next(iter(autoencoder.encode([frames]))), next(iter(by_hand.encode([frames]))))
    before = len(small_hub.requests)
    folder = Hub(repository=NAME).location()
    assert len(small_hub.requests) == before
    assert {file.name for file in folder.iterdir()} == {"config.json", WEIGHTS}


@pytest.mark.parametrize(("name", "wrong"), [("stride", 99), ("time_stride", 4), ("latent_channels", 5)])
def test_what_is_said_of_a_model_and_is_not_true_is_refused(
    name: str, wrong: int, small_hub: SmallHub, cpu: DeviceChoice
) -> None:
    autoencoder = Hub(repository=NAME).load(cpu)
    true = getattr(autoencoder, name)
    assert getattr(Hub(repository=NAME, **{name: true}).load(cpu), name) == true  # type: ignore[arg-type]
    sentence = f"model.{name}={wrong}: says what the model is, and {NAME} has {true}; leave it out"
    with pytest.raises(SettingError, match=sentence):
        Hub(repository=NAME, **{name: wrong}).load(cpu)  # type: ignore[arg-type]


def test_only_what_is_needed_is_fetched(small_hub: SmallHub, saved: Path) -> None:
    small_hub.repositories[NAME] = {
        **files_of(saved, "vae/"),
        "vae/" + HALF: b"half",
        "vae/diffusion_pytorch_model.bin": b"pickle",
        "vae/code.py": b"evil",
        "unet/diffusion_pytorch_model.safetensors": b"another network",
        "README.md": b"words",
    }
    folder = Hub(repository=NAME, subfolder="vae").location()
    assert folder.name == "vae"
    fetched = {path.rpartition("/resolve/")[2].partition("/")[2] for _, path, _ in small_hub.requests[1:]}
    assert fetched == {"vae/config.json", f"vae/{WEIGHTS}"}


def test_a_connection_that_breaks_off_half_way_is_taken_up_where_it_broke(small_hub: SmallHub) -> None:
    small_hub.cut_after = [5000]
    folder = Hub(repository=NAME).location()
    assert same_weights(folder, small_hub.repositories[NAME])
    assert [asked[2] for asked in small_hub.asked("GET", WEIGHTS)] == [None, "bytes=5000-"]


def test_a_connection_may_break_as_often_as_it_likes_as_long_as_it_brings_something_in_between(
    small_hub: SmallHub,
) -> None:
    small_hub.cut_after = [5000, 0, 0, 0, 1000, 0, 0, 0, 1000, 0, 0, 0]
    assert same_weights(Hub(repository=NAME).location(), small_hub.repositories[NAME])


def test_a_download_that_was_given_up_leaves_no_half_file_and_comes_whole_in_the_next_run(
    small_hub: SmallHub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small_hub.cut_after = [5000, *BROKEN]
    sentence = refusal()
    assert sentence.startswith(f"model: cannot download {NAME} (")
    assert "; try again, or where there is a network run: hf download someone/small" in sentence
    assert capfd.readouterr().err == "", "the library's own lines"
    blobs = [file for file in (tmp_path / "cache").rglob("blobs/*") if file.is_file()]
    assert [blob.read_bytes() for blob in blobs] == [small_hub.repositories[NAME]["config.json"]]
    assert same_weights(Hub(repository=NAME).location(), small_hub.repositories[NAME])


def test_files_that_came_whole_are_not_fetched_again_nor_is_there_room_asked_for_them(
    small_hub: SmallHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_network().save_pretrained(tmp_path / "shards", max_shard_size="60KB")
    small_hub.repositories[NAME] = files = files_of(tmp_path / "shards")
    shards = sorted(name for name in files if name.endswith(".safetensors"))
    small_hub.cut_after = [10**9, *BROKEN]
    refusal()
    small_hub.requests.clear()
    usage, remote = shutil.disk_usage("."), Hub(repository=NAME).remote_files()
    missing = remote.missing_bytes
    assert remote.size_bytes - missing == len(files["config.json"]) + len(files[shards[0]])
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=missing - 1))
    assert "free some space" in refusal()
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=missing))
    folder = Hub(repository=NAME).location()
    assert all(same_weights(folder, files, name) for name in shards)
    assert [len(small_hub.asked("GET", name)) for name in shards] == [0] + [1] * (len(shards) - 1)


def test_a_hub_that_ignores_ranges_sends_the_whole_file_again(small_hub: SmallHub) -> None:
    small_hub.cut_after = [5000]
    small_hub.ignores_ranges = True
    assert same_weights(Hub(repository=NAME).location(), small_hub.repositories[NAME])


def test_bytes_with_another_digest_are_refused_and_deleted(small_hub: SmallHub, tmp_path: Path) -> None:
    small_hub.spoiled = True
    sentence = refusal()
    assert (
        f"model: what came from {small_hub.address}/{NAME}/resolve/{COMMIT}/{WEIGHTS} has another" in sentence
    )
    assert "has another SHA-256 than the hub gives, " in sentence
    assert sentence.endswith(
        "; it was deleted; try again; if it stays so, a proxy or HF_ENDPOINT changes files"
    )
    assert not [
        file for file in (tmp_path / "cache").rglob("*") if file.is_file() and file.stat().st_size > 9999
    ]
    small_hub.spoiled = False
    assert same_weights(Hub(repository=NAME).location(), small_hub.repositories[NAME])


def test_the_plain_weights_are_taken_where_there_are_any(
    small_hub: SmallHub, caplog: pytest.LogCaptureFixture
) -> None:
    small_hub.repositories[NAME][HALF] = b"half"
    assert same_weights(Hub(repository=NAME).location(), small_hub.repositories[NAME])
    assert "fewer digits" not in caplog.text


def test_a_variant_stands_in_with_a_remark_where_the_hub_has_nothing_else_online_and_offline(
    small_hub: SmallHub,
    cpu: DeviceChoice,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = small_hub.repositories[NAME]
    files[HALF] = files.pop(WEIGHTS)
    with caplog.at_level("INFO"):
        for times in (1, 2):
            assert same_weights(Hub(repository=NAME).location(), files, HALF)
            assert len(small_hub.asked("GET", "/revision/main")) == times, "it may have them by now"
        assert len([line for line in caplog.messages if "downloading" in line]) == 1
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
        autoencoder = Hub(repository=NAME).load(cpu)
    assert autoencoder.stride > 1
    assert "has its weights in fp16 only, fewer digits than float32" in caplog.text


def test_a_variant_that_another_program_left_in_the_cache_serves_only_where_there_is_no_hub(
    small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import hf_hub_download

    files = small_hub.repositories[NAME]
    files[HALF] = files[WEIGHTS][:-4] + b"half"
    for name in ("config.json", HALF):
        hf_hub_download(NAME, name)
    assert same_weights(Hub(repository=NAME).location(), files)
    plain = Hub(repository=NAME).location() / WEIGHTS
    plain.unlink()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert same_weights(Hub(repository=NAME).location(), files, HALF)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", small_hub.address)
    assert same_weights(Hub(repository=NAME).location(), files), "the plain ones, now that they can be had"


ONE, TWO = (f"diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2))
INDEX = "diffusion_pytorch_model.safetensors.index.json"
HALVES = (
    "diffusion_pytorch_model.fp16-00001-of-00001.safetensors",
    "diffusion_pytorch_model.safetensors.index.fp16.json",
)


@pytest.mark.parametrize(
    ("names", "expected", "variant"),
    [
        ([WEIGHTS, HALF], (WEIGHTS,), ""),
        ([HALF], (HALF,), "fp16"),
        ([ONE, TWO, INDEX, HALF], (ONE, TWO, INDEX), ""),
        ([ONE, INDEX, HALF], (HALF,), "fp16"),
        ([*HALVES], HALVES, "fp16"),
        (["diffusion_pytorch_model.bf16.safetensors", HALF], (HALF,), "fp16"),
        ([ONE, TWO], None, None),
        (
            [
                "model.safetensors",
                "diffusion_pytorch_model.bin",
                "diffusion_pytorch_model.non_ema.safetensors",
            ],
            None,
            None,
        ),
    ],
)
def test_weights_are_whole_or_all_of_their_shards(
    names: list[str], expected: tuple[str, ...] | None, variant: str | None
) -> None:
    found = Weights.among([*names, "config.json"])
    assert (found.names, found.variant) == (expected, variant) if found else expected is None


def test_weights_in_shards_are_fetched_and_loaded(
    small_hub: SmallHub, saved: Path, cpu: DeviceChoice, tmp_path: Path
) -> None:
    tiny_network().save_pretrained(tmp_path / "shards", max_shard_size="60KB")
    small_hub.repositories[NAME] = files_of(tmp_path / "shards")
    assert INDEX in small_hub.repositories[NAME]
    network = Hub(repository=NAME).load(cpu).network
    state = tiny_network().state_dict()
    assert all(torch.equal(weight, state[name]) for name, weight in network.state_dict().items())


def move_below(files: Files) -> Files:
    return {f"vae/{name}": data for name, data in files.items()}


def pickle_them(files: Files) -> Files:
    return {"config.json": files["config.json"], "diffusion_pytorch_model.bin": files[WEIGHTS]}


REFUSALS = {
    "a missing subfolder": (
        move_below,
        {"subfolder": "unet"},
        "model: someone/small has no config.json in the folder unet; give model.subfolder, one of: vae",
    ),
    "a subfolder that was left out": (
        move_below,
        {},
        "model: someone/small has no config.json in its top folder; give model.subfolder, one of: vae",
    ),
    "nothing of ours": (
        lambda _: {"README.md": b""},
        {},
        "model: someone/small has no config.json in its top folder; choose another repository",
    ),
    "pickled weights only": (
        pickle_them,
        {},
        "model: someone/small has its weights in diffusion_pytorch_model.bin only, which can run code when it "
        "is opened; only safetensors are downloaded; convert them where you trust them, with "
        "save_pretrained(..., safe_serialization=True), and use model=folder",
    ),
    "no weights": (
        lambda files: {"config.json": files["config.json"]},
        {},
        "model: someone/small has no weights in safetensors beside config.json; choose another repository",
    ),
    "no such revision": (
        lambda files: files,
        {"revision": "v9"},
        "model.revision=v9: someone/small has no such branch, tag or commit; leave it out for main",
    ),
    "no owner": (
        lambda files: files,
        {"repository": "a/b/c"},
        "model.repository=a/b/c: must be owner/name on the hub; for a folder on disk use model=folder model.path=DIR",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_repository_without_what_is_needed_is_one_sentence(case: str, small_hub: SmallHub) -> None:
    change, settings, sentence = REFUSALS[case]
    small_hub.repositories[NAME] = change(small_hub.repositories[NAME])
    assert refusal(**settings) == sentence
    assert not small_hub.asked("GET", ".bin")


def test_a_repository_that_is_not_there_is_one_sentence(small_hub: SmallHub) -> None:
    assert refusal(repository="someone/else") == (
        f"model: {small_hub.address} has no repository someone/else, or it is private; "
        "look for a typing mistake in model.repository, or set HF_TOKEN"
    )


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_says_where_to_accept_its_terms(status: int, small_hub: SmallHub) -> None:
    small_hub.gated[NAME] = status
    assert refusal() == (
        f"model: {NAME} is gated, and {small_hub.address} does not give it to this account; accept its terms "
        f"at {small_hub.address}/{NAME}, and set HF_TOKEN to a token that may read it"
    )


def test_the_token_of_the_environment_is_sent(small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    Hub(repository=NAME).location()
    assert small_hub.tokens == {"127.0.0.1": {"Bearer hf_of_a_test"}}


def test_a_file_on_another_host_is_resumed_there_and_the_token_stays_here(
    small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
    small_hub.redirects = True
    small_hub.cut_after = [5000]
    assert same_weights(Hub(repository=NAME).location(), small_hub.repositories[NAME])
    assert small_hub.tokens == {"127.0.0.1": {"Bearer hf_of_a_test"}, "localhost": {None}}
    assert small_hub.requests[-1][2] == "bytes=5000-"


def test_offline_mode_forbids_to_ask_and_says_so(
    small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    sentence = refusal(subfolder="vae")
    assert (
        "and HF_HUB_OFFLINE forbids to download it; unset HF_HUB_OFFLINE, or where there is a network"
        in sentence
    )
    assert sentence.endswith(
        "run: hf download someone/small --include 'vae/config.json' 'vae/*.safetensors' --local-dir DIR, "
        "and use model=folder model.path=DIR/vae"
    )
    assert not small_hub.requests


def test_a_cached_model_needs_no_hub_in_offline_mode(
    small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Hub(repository=NAME).location()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert Hub(repository=NAME).location() == folder
    assert Hub(repository=NAME, revision=COMMIT).location() == folder


def test_a_disk_without_space_is_said_before_the_download(
    small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
    sentence = refusal()
    assert f"model: {NAME} needs " in sentence
    assert sentence.endswith("has 0.00 MB free; free some space, or set HF_HOME to a folder on another disk")
    assert not small_hub.asked("GET", WEIGHTS)


def test_a_disk_that_fills_up_half_way_is_one_sentence(
    small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vae_experiments.models.hub.remote_files._Megabytes.add", full)
    assert (
        f"for {NAME}; free some space, or set HF_HOME to a folder on another disk; files that came"
        in refusal()
    )


def test_a_cache_that_cannot_be_written_is_one_sentence(
    small_hub: SmallHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "file"))
    sentence = refusal()
    assert sentence.startswith(f"model: cannot write {tmp_path}/file/")
    assert sentence.endswith("; set HF_HOME to a folder that can be written")


def test_progress_is_told_in_whole_megabytes_of_all_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr("vae_experiments.runtime.progress.Progress.add", lambda _, count: told.append(count))
    with _Megabytes(4_200_000, 900_000) as progress:
        assert (progress._progress.total, progress._progress.done) == (5, 0)
        for count in (50_000, 50_000, 1_500_000, -1_600_000, 3_300_000):
            progress.add(count)
    assert told == [1, 1, -2, 4]


def test_two_who_want_the_same_at_once_fetch_it_once(small_hub: SmallHub) -> None:
    with ThreadPoolExecutor() as pool:
        folders = list(pool.map(lambda _: Hub(repository=NAME).remote_files().fetch(), range(3)))
    assert len(set(folders)) == 1
    assert same_weights(folders[0], small_hub.repositories[NAME])
    assert len(small_hub.asked("GET", WEIGHTS)) == 1


def test_a_hub_that_is_not_there_is_one_sentence_with_the_command_for_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_to("http://127.0.0.1:9", tmp_path, monkeypatch)
    sentence = refusal()
    assert sentence.startswith(f"model: cannot download {NAME} (")
    assert sentence.endswith(
        "); try again, or where there is a network run: hf download someone/small --include 'config.json' "
        "'*.safetensors' --local-dir DIR, and use model=folder model.path=DIR"
    )


def test_a_proxy_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to("http://hub.invalid", tmp_path, monkeypatch)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert refusal().startswith(f"model: cannot download {NAME} ([Errno ")


def test_an_answer_that_is_no_hubs_is_one_sentence(
    small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SmallHub, "info", lambda *_: "a page to log in to this hotel's network")
    assert refusal().startswith(f"model: cannot download {NAME} (")


@contextmanager
def silent_server() -> Iterator[str]:
    """Accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_names_that_nobody_resolves_in_time_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_to("http://hub.invalid", tmp_path, monkeypatch)
    monkeypatch.setattr("vae_experiments.models.hub.remote_files.HUB_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: time.sleep(2))
    start = time.perf_counter()
    assert f"model: cannot download {NAME} (no answer in 0.3 seconds); try again" in refusal()
    assert time.perf_counter() - start < 1.5


@pytest.mark.slow
def test_run_with_a_hub_that_never_answers_says_one_sentence_within_ten_seconds(
    run_with: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    with silent_server() as address:
        start = time.perf_counter()
        said = run_with(environment(address, tmp_path), "run.py", "model=sd", folder=tmp_path / "run")
        seconds = time.perf_counter() - start
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert said.stderr.startswith("error: model: cannot download stabilityai/sd-vae-ft-mse (")
    assert seconds < 10, "on a machine that is busy with other tests too"


@pytest.mark.slow
def test_run_fetches_a_model_and_runs_again_when_the_hub_is_gone(
    run_with: Callable[..., subprocess.CompletedProcess[str]], saved: Path, tmp_path: Path
) -> None:
    words = ("run.py", "model=sd", "source.size=32", "source.frames=1", "manipulation=none", "output=minimal")
    with SmallHub().open() as hub:
        hub.repositories["stabilityai/sd-vae-ft-mse"] = files_of(saved)
        outside = environment(hub.address, tmp_path / "home")
        first = run_with(outside, *words, folder=tmp_path / "first")
        assert first.returncode == 0, first.stderr
        assert "downloading stabilityai/sd-vae-ft-mse: " in first.stdout
        assert str(tmp_path / "home" / "hub") in first.stdout
    again = run_with(outside, *words, folder=tmp_path / "again")
    assert again.returncode == 0, again.stderr
    assert "downloading" not in again.stdout
    latents = [
        json.loads((tmp_path / run / "metrics.json").read_text())["latents"] for run in ("first", "again")
    ]
    assert latents[0] == latents[1]


@pytest.fixture
def run_with(
    type_command: Callable[..., subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Type a command in another environment."""

    def type_it(
        outside: dict[str, str], *words: str, folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        for key, value in outside.items():
            monkeypatch.setenv(key, value)
        return type_command(*words, folder=folder)

    return type_it
