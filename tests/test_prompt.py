"""A command in a fork of the helper is what it is in a fresh interpreter, to its end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.prompt import Prompt, run_afresh

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., subprocess.CompletedProcess[str]]

SCRIPT = """
import atexit, os, signal, sys, threading
atexit.register(print, "the end")
print(sys.argv, sys.path, sys.warnoptions, __name__, __file__, os.getcwd(), sys.modules["__main__"].__name__)
print(sorted(item for item in os.environ.items() if item[0] != "LC_CTYPE"))
print([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)])
print(repr(sys.stdin.read()), threading.active_count(), sys.stdout.line_buffering, sys.stdout.encoding)
"""
ENDS = [
    "",
    "sys.exit(3)",
    "sys.exit('a sentence')",
    "1 / 0",
    "raise KeyboardInterrupt",
    "os.kill(os.getpid(), 9)",
]
SAYS_WHETHER_TORCH_IS_LOADED = "import sys; print('torch' in sys.modules)"


def last_line(said: str) -> str:
    return said.splitlines()[-1] if said else ""


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", ["a file", "a module"])
def test_a_command_sees_and_says_the_same_in_a_fork(
    way: str, end: str, type_command: Command, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(f"{SCRIPT}\nprint('one', file=sys.stderr)\n{end}\n")
    words = ("script.py", "a=1", "--b") if way == "a file" else ("-m", "script", "a=1", "--b")
    forked, fresh = (type_command(*words, where=tmp_path, fresh=fresh) for fresh in (False, True))
    assert forked.returncode == fresh.returncode
    assert forked.stdout == fresh.stdout
    assert last_line(forked.stderr) == last_line(fresh.stderr)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_only_a_command_that_may_depend_on_how_the_libraries_were_loaded_starts_afresh(
    type_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SAYS_WHETHER_TORCH_IS_LOADED)
    assert type_command(str(script)).stdout == "True\n"
    assert type_command(str(script), "--help").stdout == "False\n"
    monkeypatch.setenv("VAE_EXPERIMENTS_CACHE", "elsewhere")
    assert type_command(str(script)).stdout == "True\n"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1")
    assert type_command(str(script)).stdout == "False\n"


@pytest.mark.slow
def test_a_command_that_takes_too_long_is_killed_and_the_next_one_runs(
    type_command: Command, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text("import pathlib, sys, time; time.sleep(60 * (len(sys.argv) > 1)); print('done')")
    with pytest.raises(subprocess.TimeoutExpired):
        type_command(str(script), "long", timeout=1)
    assert type_command(str(script)).stdout == "done\n"


def test_a_prompt_that_was_closed_leaves_no_process() -> None:
    prompt = Prompt()
    prompt.close()
    assert prompt.helper is None


def test_where_nothing_forks_a_command_starts_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "script.py").write_text(SAYS_WHETHER_TORCH_IS_LOADED)
    monkeypatch.delattr("os.fork", raising=False)
    said = Prompt().run(["script.py"], tmp_path, os.environ, 60)
    assert said.stdout == run_afresh(["script.py"], tmp_path, os.environ, 60).stdout == "False\n"
