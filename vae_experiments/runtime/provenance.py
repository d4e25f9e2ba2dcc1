"""Provenance: all that it takes to repeat a run, or to say why it cannot be repeated."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "diffusers", "hydra-core", "omegaconf", "av", "numpy", "pillow", "safetensors")


def provenance() -> dict[str, Any]:
    """Collect versions, machine, git commit, command line, folder and time of this process."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "working_directory": str(Path.cwd()),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "versions": {
            "python": platform.python_version(),
            **{name: version_of(name) for name in ("vae_experiments", *PACKAGES)},
        },
        "platform": platform.platform(),
    }


def git_commit() -> str | None:
    """Name the commit of this package's checkout, marked where files differ from it; None outside one."""
    try:
        # Installed inside somebody's repository, this file is not of that repository.
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*") or None
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*words: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()


def version_of(package: str) -> str | None:
    """Name the version of a package that is installed; None where it is not."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
