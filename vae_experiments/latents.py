"""Latents on disk: chunks of safetensors, whole or absent, read back by ``load_latents``."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.errors import SourceError
from vae_experiments.files import whole, write_error, write_json

if TYPE_CHECKING:
    from vae_experiments.tensors import Latents

INDEX = "latents.json"
ENCODED, CHANGED = "encoded", "changed"


class LatentFolder:
    """Writes latents into a folder, a file a chunk; the folder appears when it is finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hidden = folder.with_name(f".{folder.name}.{os.getpid()}")
        self._files: dict[str, list[str]] = {}
        try:
            self._hidden.mkdir(parents=True)
        except OSError as error:
            raise write_error(folder, error) from error

    def write(self, name: str, latents: Latents) -> None:
        """Append a chunk ``T C h w`` to the latents of that name."""
        from safetensors.torch import save_file

        files = self._files.setdefault(name, [])
        file = self._hidden / f"{name}-{len(files):05d}.safetensors"
        with whole(file) as hidden:
            save_file({"latents": latents.contiguous()}, hidden)
        files.append(file.name)

    def finish(self) -> None:
        """Write the index and publish the folder under its name."""
        write_json(self._hidden / INDEX, self._files)
        try:
            self._hidden.replace(self.folder)
        except OSError as error:
            raise write_error(self.folder, error) from error

    def abandon(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self._hidden, ignore_errors=True)


def load_latents(folder: Path | str, name: str = ENCODED) -> Latents:
    """Read latents back from a run folder (or its ``latents`` folder) as one tensor ``T C h w``.

    ``name`` is ``encoded`` or ``changed``. Normalised: about unit variance in every model.

    Raises:
        SourceError: the folder has no latents, or none of that name.
    """
    import torch
    from safetensors.torch import load_file

    place = Path(folder)
    place = place if (place / INDEX).is_file() else place / "latents"
    if not (place / INDEX).is_file():
        raise SourceError(f"no latents in {folder}", "run with output.latents=true")
    files = json.loads((place / INDEX).read_text())
    if name not in files:
        raise SourceError(f"no {name} latents in {folder}", f"it has: {', '.join(files)}")
    return torch.cat([load_file(place / file)["latents"] for file in files[name]])
