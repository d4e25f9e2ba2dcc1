"""A command says at once what it loads, and can be interrupted while it loads: libraries here are stand-ins."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import REPOSITORY
from vae_experiments.runtime import progress

COMMANDS = {
    "run": ("run.py",),
    "analysis": ("-m", "vae_experiments.analysis"),
    "benchmark": ("-m", "vae_experiments", "benchmark"),
    "gallery": ("-m", "vae_experiments", "gallery"),
    "training": ("-m", "vae_experiments.training"),
}
SIGNALLED = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
IN_A_CALLBACK = """
import os, signal, time, weakref
class Lock: pass
lock = Lock()
kept = weakref.ref(lock, lambda _: os.kill(os.getpid(), signal.SIGINT))
del lock
time.sleep(60)
"""
SWALLOWED = (
    "import os, signal\ntry: os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException: raise ImportError"
)
"""As a library does, which then fails for a reason of its own."""
CLOSING = "error: interrupted; what was not finished is not kept"
on_unix = pytest.mark.skipif(os.name == "nt", reason="signals are Unix's")


def run(*words: str, library: str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that finds, in the place of a library, a few lines of ours."""
    stand_ins = folder / "stand_ins"
    stand_ins.mkdir()
    (stand_ins / f"{library}.py").write_text(code)
    return subprocess.run(
        [sys.executable, *words],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(stand_ins), str(REPOSITORY)])},
        capture_output=True,
        text=True,
        timeout=50,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_loaded_is_said_before_it_is_loaded(command: str, tmp_path: Path) -> None:
    words = (*COMMANDS[command], f"hydra.run.dir={tmp_path / 'run'}")
    done = run(*words, library="torch", code="import os; os._exit(7)", folder=tmp_path)
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("loading torch")
    assert len(done.stdout.splitlines()) == 1


@on_unix
@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_while_hydra_is_loaded_is_one_word(command: str, tmp_path: Path) -> None:
    done = run(*COMMANDS[command], library="hydra", code=SIGNALLED, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.slow
@on_unix
@pytest.mark.parametrize(
    "code",
    [SIGNALLED, IN_A_CALLBACK, SWALLOWED],
    ids=["an import", "a callback of an import", "a library that swallows it"],
)
def test_ctrl_c_while_torch_is_loaded_ends_a_run(code: str, tmp_path: Path) -> None:
    done = run("run.py", f"hydra.run.dir={tmp_path / 'run'}", library="torch", code=code, folder=tmp_path)
    assert done.returncode == 130
    assert done.stderr.splitlines() == [
        "interrupted: ending, what is not finished is not kept; a second time ends at once",
        CLOSING,
    ]


@pytest.mark.slow
@on_unix
@pytest.mark.parametrize("code", [SIGNALLED, SWALLOWED], ids=["an import", "a library that swallows it"])
def test_ctrl_c_inside_an_import_ends_a_sweep_and_not_only_its_job(code: str, tmp_path: Path) -> None:
    words = ("-m", "noise.scale=1,2", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    done = run("run.py", *words, library="torch", code=code, folder=tmp_path)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines() == [
        "interrupted: the sweep ends, finished jobs stay; a second time ends at once",
        "error: interrupted; the same command with sweep.resume=last does the rest",
    ]
    assert not list((tmp_path / "sweep").rglob("failure.json"))


def test_a_wait_that_is_short_says_nothing_and_a_long_one_what_it_is_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BEFORE_A_WORD", 0.2)
    with caplog.at_level(logging.INFO):
        with progress.waiting("reading a stamp"):
            pass
        with progress.waiting("reading a library"):
            time.sleep(0.5)
    assert caplog.messages == ["reading a library ..."]


def test_what_takes_long_before_its_first_part_is_done_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BEFORE_A_WORD", 0.2)
    with caplog.at_level(logging.INFO), progress.Progress(8) as shown:
        time.sleep(0.5)
        shown.add(4)
        time.sleep(0.5)
    assert caplog.messages == ["0 of 8 frames are done, at work on the next ..."]


@on_unix
def test_ctrl_c_is_no_mistake_of_the_swept_settings(tmp_path: Path) -> None:
    """A job that was interrupted is not written down as failed: it is done when the sweep continues."""
    words = ("-m", "noise.scale=1,2", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    done = run("run.py", *words, library="torch", code=SIGNALLED, folder=tmp_path)
    assert done.returncode == 128 + signal.SIGINT
    assert not list(tmp_path.glob("sweep/*/failure.json"))


def test_what_was_done_before_a_training_went_on_counts_for_no_speed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(sys, "stderr", None)
    with caplog.at_level(logging.INFO), progress.Progress(100, "steps", done=80) as bar:
        now[0] += 20
        bar.add(10)
    assert caplog.messages == ["90 of 100 steps, 0.5 a second, 20 s left"]
