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

PACKAGES = (
    "torch",
    "diffusers",
    "hydra-core",
    "omegaconf",
    "av",
    "imageio",
    "numpy",
    "pillow",
    "safetensors",
)


def provenance() -> dict[str, Any]:
    """Collect versions, machine, git commit, command line and time of this process."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in ("vae_experiments", *PACKAGES)},
        },
        "platform": platform.platform(),
    }


def git_commit() -> str | None:
    """Name the commit of this package's checkout, marked where files differ from it; None outside one."""
    package = Path(__file__).parent
    try:
        said = subprocess.run(
            ["git", "-C", str(package), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
