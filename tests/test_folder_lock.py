"""A folder is one run's: nothing of a person's, and nothing of another run, is ever touched or vouched for."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REPOSITORY
from vae_experiments.files import SUMS, is_complete
from vae_experiments.pipeline.folder_lock import (
    REASON,
    RESERVATION,
    RefusedError,
    release_finished,
    reserved,
    started,
    take,
)
from vae_experiments.pipeline.run_folder import FINISHED, WRITTEN

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., subprocess.CompletedProcess[str]]

RUN = ("run.py", "source.size=32", "source.frames=4", "output=minimal")
FULL = (*RUN[:-1], "output=full")


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Say what is in each file of a folder, and when it was last written."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name != ".hydra"]


@pytest.mark.parametrize(
    "name",
    ["original.mp4", "reconstructed_with_blur.mp4", FINISHED, "latents.png", SUMS, ".hydra", "run.log"],
)
def test_a_file_of_a_person_is_never_overwritten(type_command: Command, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    mine = folder / name / "config.yaml" if name == ".hydra" else folder / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine: too")
    before = contents(folder)
    refused = type_command(*RUN, folder=folder)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert refused.stderr.startswith(f"error: hydra.run.dir={folder}: holds ")
    assert "; choose another folder, or delete it" in refused.stderr
    assert contents(folder) == before


def test_the_source_is_never_in_the_folder_of_its_run(type_command: Command, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"a film")
    refused = type_command(*RUN, "source=video", f"source.path={clip}", folder=tmp_path)
    assert refused.stderr == f"error: hydra.run.dir={tmp_path}: holds the source; choose another folder\n"
    assert list(tmp_path.glob("*.*")) == [clip]


def test_a_finished_run_is_let_go_by_the_next_sweep_unless_its_writer_lives(tmp_path: Path) -> None:
    (tmp_path / RESERVATION).write_text("{}")
    release_finished(tmp_path)
    assert not (tmp_path / RESERVATION).exists()
    release_finished(tmp_path)
    with take(tmp_path, "settings", (), "folder"):
        release_finished(tmp_path)
        assert (tmp_path / RESERVATION).exists()


def test_a_run_vouches_for_exactly_what_it_wrote(type_command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "latents of mine").mkdir(parents=True)
    for name in ("notes.txt", "old.log", "latents of mine/a.safetensors"):
        (folder / name).write_text("mine")
    done = type_command(*FULL, folder=folder)
    assert done.returncode == 0, done.stderr
    listed = dict(line.split("  ")[::-1] for line in (folder / SUMS).read_text().splitlines())
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there - set(listed) == {"notes.txt", "old.log", "latents of mine/a.safetensors", SUMS}
    assert {".hydra/config.yaml", "run.log", f"latents/{SUMS}", "latents/latents.json"} < set(listed)
    for name, value in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == value
    assert "notes.txt" not in (folder / "report.html").read_text()

    before = contents(folder)
    for words in (FULL, RUN):
        again = type_command(*words, folder=folder)
        assert again.returncode == 1
        assert again.stderr == (
            f"error: hydra.run.dir={folder}: holds a finished run already; choose another folder, or delete it\n"
        )
    assert contents(folder) == before


@pytest.mark.slow
def test_an_unfinished_run_is_done_again_by_the_same_command_and_refused_by_another(
    type_command: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert type_command(*FULL, folder=folder).returncode == 0
    # As a run leaves it that was killed between its latents and its digests, beside a half-written file.
    (folder / SUMS).unlink()
    (folder / FINISHED).unlink()
    (folder / ".comparison.12345.0123abcd.mp4").write_bytes(b"half of")
    (folder / ".latents.12345.0123abcd").mkdir()
    (folder / ".mine.mp4").write_bytes(b"a person's")
    (folder / "run.log").write_text("of the killed run")
    before = contents(folder)
    other = type_command(*FULL, "noise.scale=0.7", folder=folder)
    assert other.returncode == 1
    assert "holds an unfinished run of other settings; choose another folder, or delete it" in other.stderr
    assert contents(folder) == before
    same = type_command(*FULL, folder=folder)
    assert same.returncode == 0, same.stderr
    assert is_complete(folder, FINISHED)
    assert hidden(folder) == [folder / ".mine.mp4"]
    assert "of the killed run" not in (folder / "run.log").read_text()


@pytest.mark.slow
def test_what_a_killed_run_left_hidden_is_gone_after_the_next_wherever_it_was_killed(
    type_command: Command, tmp_path: Path
) -> None:
    finished = tmp_path / "finished"
    assert type_command(*RUN, folder=finished).returncode == 0
    (finished / RESERVATION).write_text("{}")  # it was killed after its last file
    again = type_command(*RUN, folder=finished)
    assert "holds a finished run already" in again.stderr
    assert hidden(finished) == []
    training = tmp_path / "training"
    (training / ".hydra").mkdir(parents=True)
    (training / ".hydra" / ".config.12345.0123abcd.yaml").write_text("half: {")
    (training / RESERVATION).write_text('{"settings": "of a training"}')
    take(training, "of a training", (), "folder").end()
    assert hidden(training) == []


@pytest.mark.slow
def test_a_killed_run_is_known_by_its_claim_even_before_its_config_is_written(
    type_command: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    take(folder, "of other settings", (), "folder")  # and no end: as after kill -9, in a file
    content = (folder / RESERVATION).read_bytes()
    held = type_command(*RUN, folder=folder)
    assert held.returncode == 1
    assert held.stderr.startswith(
        f"error: hydra.run.dir={folder}: is being written by process {os.getpid()} on "
    )
    (folder / RESERVATION).unlink()
    (folder / RESERVATION).write_bytes(content)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text("half: {")
    refused = type_command(*RUN, folder=folder)
    assert "holds an unfinished run of other settings" in refused.stderr
    assert (folder / RESERVATION).read_bytes() == content


def test_a_run_that_failed_leaves_one_line_and_its_folder_to_the_next(
    type_command: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    failed = type_command(*RUN, "noise.scale=-1", folder=folder)
    assert failed.returncode == 1
    assert sorted(path.name for path in folder.iterdir()) == [".hydra", "run.log"]
    sentence = (folder / ".hydra" / REASON).read_text()
    assert failed.stderr == f"error: {sentence}"
    done = type_command(*RUN, folder=folder)
    assert done.returncode == 0, done.stderr
    assert not (folder / ".hydra" / REASON).exists()
    assert "noise.scale=-1" not in (folder / "run.log").read_text()


def test_a_manipulation_that_refuses_late_leaves_no_latents(type_command: Command, tmp_path: Path) -> None:
    failed = type_command(
        *RUN, "manipulation=bend", "bend.layers=nonsense", "output.latents=true", folder=tmp_path / "run"
    )
    assert failed.returncode == 1
    assert "bend.layers=nonsense" in failed.stderr
    assert hidden(tmp_path / "run") == []


HUNG_UP = (
    "hung up: ending, what is not finished is not kept; a second time ends at once\n"
    "error: hung up; what was not finished is not kept\n"
)


@pytest.mark.skipif(os.name == "nt", reason="signals are Unix's")
@pytest.mark.slow
def test_a_terminal_that_closes_ends_a_run_without_half_a_file(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "run.py",
        "source.size=64",
        "source.frames=4000",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    running = subprocess.Popen(
        words, cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    deadline = time.monotonic() + 100
    while not list(tmp_path.glob("run/.original.*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGHUP)
    said = running.communicate(timeout=60)[1]
    assert (running.returncode, said) == (128 + signal.SIGHUP, HUNG_UP)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".hydra", "run.log"]
    assert (tmp_path / "run" / "run.log").read_text().endswith("hung up\n")


RACE = """
import sys
from pathlib import Path
from vae_experiments.pipeline.folder_lock import take
from vae_experiments.errors import VaeExperimentsError
folder = Path(sys.argv[1])
for line in sys.stdin:
    try:
        claim = take(folder / line.strip(), "same", (), "folder")
        print("mine", flush=True)
    except VaeExperimentsError as error:
        print(error, flush=True)
"""


def test_of_several_at_the_same_moment_one_goes_on(tmp_path: Path) -> None:
    start = [sys.executable, "-c", RACE, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    runners = [subprocess.Popen(start, cwd=REPOSITORY, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for number in range(30):
        for runner in runners:
            runner.stdin.write(f"{number}\n")
            runner.stdin.flush()
        said = sorted(runner.stdout.readline() for runner in runners)
        assert said[-1] == "mine\n"
        assert all("is being written by " in line for line in said[:-1]), said
    for runner in runners:
        runner.kill()
        runner.communicate()
    for number in range(30):
        take(tmp_path / str(number), "same", (), "folder").end()
        assert list((tmp_path / str(number)).iterdir()) == [], "a dead process holds nothing"


def test_a_claim_without_locks_is_known_by_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    claim = {"settings": "same", **owner(other.pid)}
    (tmp_path / RESERVATION).write_text(json.dumps(claim))
    with pytest.raises(RefusedError, match=f"is being written by process {other.pid} on "):
        take(tmp_path, "same", (), "folder")
    other.kill()
    other.wait()
    take(tmp_path, "same", (), "folder").end()
    (tmp_path / RESERVATION).write_text(json.dumps(claim | {"host": "another machine"}))
    with pytest.raises(RefusedError, match="on another machine"):
        take(tmp_path, "same", (), "folder")


def owner(process: int) -> dict[str, object]:

    return {"pid": process, "host": socket.gethostname(), "started": started(process)}


def test_a_run_from_python_claims_its_folder_as_well(tmp_path: Path) -> None:
    (tmp_path / "original.mp4").write_text("mine")
    with pytest.raises(RefusedError, match=r"folder=.*: holds original.mp4, which is not this run's"):  # noqa: SIM117
        with reserved(tmp_path, "settings", WRITTEN):
            raise AssertionError
    assert [path.name for path in tmp_path.iterdir()] == ["original.mp4"]
