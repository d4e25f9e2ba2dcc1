"""A signal is answered at once, ends a command in good order, and is never lost; real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are Unix's")

BEGIN = """
import os, signal, sys, time
from pathlib import Path
from vae_experiments.files import atomic_write
from vae_experiments.runtime.interruption import *
from vae_experiments.runtime.interruption import take_signals, promise, held, check, asked, ECHO_SECONDS
from vae_experiments.runtime.progress import Progress
def send(number=signal.SIGINT): os.kill(os.getpid(), number)
take_signals()
"""
ANSWER = "interrupted: ending; a second time ends at once\n"
STATUS = 128 + signal.SIGINT


def run(script: str, folder: Path = REPOSITORY, begin: str = BEGIN) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-c", begin + script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_anything_began_is_one_word_and_its_status(number: signal.Signals) -> None:
    done = run(f"send({int(number)}); time.sleep(9)")
    words = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
    assert (done.returncode, done.stderr) == (128 + number, f"{words[number]}\n")


@pytest.mark.parametrize(
    "swallow",
    [
        "class Dying:\n    def __del__(self): send()\nDying()",
        "import weakref\nclass Seen: pass\nseen = Seen()\nkept = weakref.ref(seen, lambda _: send())\ndel seen",
    ],
    ids=["a finaliser", "a callback of an import's lock"],
)
def test_an_interruption_that_python_swallows_is_raised_again_by_itself(swallow: str) -> None:
    done = run(f"promise('ending')\n{swallow}\ntime.sleep(40)\nprint('went on')")
    assert (done.returncode, done.stdout, done.stderr) == (STATUS, "", ANSWER)


def test_an_interruption_that_a_library_swallows_comes_out_with_the_next_progress() -> None:
    done = run("""
promise('ending')
with Progress(3) as progress:
    progress.add(1)
    try:
        send()
    except BaseException:
        print("swallowed")
    progress.add(1)
    print("went on")
""")
    assert (done.returncode, done.stdout, done.stderr) == (STATUS, "swallowed\n", ANSWER)


def test_a_block_that_is_held_is_finished_and_the_answer_does_not_wait_for_it() -> None:
    done = run("""
os.dup2(1, 2)
promise('this is finished')
with held():
    send()
    check()
    os.write(1, b"finished\\n")
os.write(1, b"went on\\n")
""")
    said = "interrupted: this is finished; a second time ends at once\nfinished\n"
    assert (done.returncode, done.stdout) == (STATUS, said)


def test_an_error_of_a_held_block_is_not_hidden_by_the_signal_and_the_signal_is_remembered() -> None:
    done = run("""
promise('ending')
try:
    with held():
        send()
        raise OSError("disk full")
except OSError as error:
    print(error, asked())
check()
""")
    assert (done.returncode, done.stdout) == (STATUS, f"disk full {int(signal.SIGINT)}\n")


def test_a_second_signal_ends_at_once_and_takes_the_hidden_files_away(tmp_path: Path) -> None:
    done = run(
        """
promise('ending')
with held(), atomic_write(Path('result.txt')) as hidden:
    hidden.write_text('half')
    send()
    time.sleep(ECHO_SECONDS)
    send()
    time.sleep(9)
""",
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (STATUS, ANSWER)
    assert not list(tmp_path.iterdir())


def test_a_second_signal_waits_for_a_save_that_is_under_way(tmp_path: Path) -> None:
    done = run(
        """
promise('ending')
with held():
    with held(firm=True), atomic_write(Path('result.txt')) as hidden:
        hidden.write_text('all of it')
        send()
        time.sleep(ECHO_SECONDS)
        send()
    time.sleep(9)
""",
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (STATUS, ANSWER)
    assert [path.name for path in tmp_path.iterdir()] == ["result.txt"]


def test_a_signal_that_a_shell_sends_twice_counts_once(tmp_path: Path) -> None:
    """``timeout`` sends one to the process and one to its group."""
    done = run("""
promise('ending')
with held():
    send(signal.SIGTERM)
    send(signal.SIGTERM)
    print("finished", flush=True)
""")
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "finished\n")
    assert done.stderr == "terminated: ending; a second time ends at once\n"


def test_a_signal_that_is_ignored_stays_ignored_as_below_nohup() -> None:
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    done = run("send(signal.SIGHUP); print('went on')", begin=f"{ignoring}\n{BEGIN}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")


def test_a_forked_child_does_not_speak_for_the_command() -> None:
    done = run("""
promise('ending')
child = os.fork()
if child == 0:
    send(signal.SIGTERM)
    time.sleep(9)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), asked())
""")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{-signal.SIGTERM} 0\n", "")


def test_from_python_a_held_block_is_finished_and_the_handlers_are_as_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    done = run(
        """
import os, signal
from vae_experiments.runtime.interruption import held, asked
try:
    with held():
        os.kill(os.getpid(), signal.SIGTERM)
        print("finished", flush=True)
except KeyboardInterrupt as error:
    print(type(error).__name__, asked(), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
os.kill(os.getpid(), signal.SIGTERM)
""",
        begin="",
    )
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert done.stdout.splitlines()[0] == "finished"
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
