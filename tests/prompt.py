"""Starts a command in a process that has torch and diffusers loaded, which a fresh one spends four seconds on.

A helper process, one for each worker of pytest, loads the libraries once and waits. For each command it
forks, and the child continues as a fresh interpreter would: its own arguments, folder, environment, output
and end. What differs from a fresh start is what the libraries read while they are loaded, so a command in
an environment that may be of that kind gets a fresh process, and so does every command where nothing forks.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

PYTHON = (sys.executable, "-W", "error::UserWarning")
LIBRARIES = (
    "vae_experiments",  # first: it settles how torch's threads wait
    "torch._dynamo",
    "diffusers.models.autoencoders.autoencoder_tiny",
    "diffusers.models.autoencoders.autoencoder_kl",
    "av",
    "einops",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "PIL.Image",
    "safetensors.torch",
    "tqdm",
    "hydra.main",
    "vae_experiments.cli.entry",
)
READ_LATE = {"PYTEST_CURRENT_TEST", "VAE_EXPERIMENTS_CACHE", "OMP_WAIT_POLICY", "TORCHINDUCTOR_CACHE_DIR"}
"""A child may have others than the helper: we look them up when we need them, or the libraries set them."""

ASKING = {"-h", "--help", "--hydra-help"}
"""What is answered with a text that is made while ``vae_experiments.cli.entry`` is imported."""


def run_afresh(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command in a new interpreter."""
    return subprocess.run(
        [*PYTHON, *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


class Prompt:
    """Takes commands for one helper, which starts with the first of them."""

    def __init__(self) -> None:
        self.helper: subprocess.Popen[bytes] | None = None
        self.environment = dict(os.environ)

    def run(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run ``run.py ...`` or ``-m module ...`` in a folder, and give its status and what it said."""
        early = _read_early(environment) != _read_early(self.environment) or ASKING & set(words)
        if early or not hasattr(os, "fork"):
            return run_afresh(words, folder, environment, timeout)
        self._start()
        with tempfile.TemporaryDirectory() as place, ExitStack() as if_it_fails:
            # A helper that was left in the middle of a command, as by pytest's own timeout, takes no other.
            if_it_fails.callback(self.close)
            said = [Path(place) / name for name in ("stdout", "stderr")]
            asked = {"words": list(words), "folder": str(folder), "environment": dict(environment)}
            status = self._ask(asked | {"said": list(map(str, said))}, timeout)
            if_it_fails.pop_all()
            return subprocess.CompletedProcess(list(words), status, *(file.read_text() for file in said))

    def close(self) -> None:
        """End the helper, if there is one."""
        if self.helper is not None:
            with self.helper:
                self.helper.kill()
            self.helper = None

    def _start(self) -> None:
        if self.helper is None:
            # The threads that numpy would start for itself do not survive a fork.
            alone = {"OPENBLAS_NUM_THREADS": "1"}
            self.helper = subprocess.Popen(
                [*PYTHON, __file__],
                env={**alone, **self.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )

    def _ask(self, asked: dict[str, Any], timeout: float) -> int:
        assert self.helper is not None
        assert self.helper.stdin is not None
        assert self.helper.stdout is not None
        self.helper.stdin.write(json.dumps(asked).encode() + b"\n")
        child = int(self.helper.stdout.readline())
        try:
            if not select.select([self.helper.stdout], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(asked["words"], timeout)
        except BaseException:
            os.kill(child, 9)
            raise
        return int(self.helper.stdout.readline())


def _read_early(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in READ_LATE}


def wait_for_a_command() -> list[str]:
    """Fork for each command; return in the children only, where everything is as the command wants it."""
    for name in LIBRARIES:
        importlib.import_module(name)
    from hydra.core.global_hydra import GlobalHydra

    assert not GlobalHydra.instance().is_initialized(), "a child would find the config of another"
    gc.freeze()  # or each child would look through all of it
    for line in sys.stdin:
        assert threading.active_count() == 1, threading.enumerate()
        child = os.fork()
        if child == 0:
            return become(**json.loads(line))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def become(words: list[str], folder: str, environment: dict[str, str], said: list[str]) -> list[str]:
    """Make this process what a fresh one is before the first line of its command."""
    for number, path in enumerate((os.devnull, *said)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # it would be the same in every child
    return words


def run(words: list[str]) -> None:
    """Do what ``python`` does with its arguments, up to the exception that ends it."""
    if words[0] == "-m":
        sys.argv[:], sys.path[0] = words[1:], str(Path.cwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        script = Path(words[0]).resolve()
        sys.argv[:], sys.path[0] = words, str(script.parent)
        main = sys.modules["__main__"] = ModuleType("__main__")
        main.__file__ = str(script)
        # As runpy.run_path does, which would change the first argument.
        exec(compile(script.read_bytes(), script, "exec"), main.__dict__)


if __name__ == "__main__":
    run(wait_for_a_command())
