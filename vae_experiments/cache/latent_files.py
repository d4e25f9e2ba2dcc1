"""Latents on disk: files of safetensors with their digests, whole or absent, read back by ``load_latents``.

    latents.json                  the files of each stream, in order
    encoded-00000.safetensors     one tensor ``latents``, time first, about 8 MB
    encoded.latent                in a run's folder: all of a stream once more, raw, as ComfyUI reads it
    SHA256SUMS                    written last: ``sha256sum -c SHA256SUMS`` checks the folder

The latent cache keeps its entries in the same way. zarr, which was made for chunked arrays, was tried
(3.1.6 with its crc32c codec) and left: of 400 bit flips in its metadata 6 gave a wrong array in silence,
and a chunk that is missing reads as zeros.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from vae_experiments.cache.comfyui_latent import SUFFIX, write_latent
from vae_experiments.errors import SourceError
from vae_experiments.files import (
    SUMS,
    atomic_write,
    digest_of,
    hidden_beside,
    named_as,
    publish,
    read_sums,
    write_json,
    write_sums,
)
from vae_experiments.options import Choice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from torch import Tensor

    from vae_experiments.cache.comfyui_latent import RawForm
    from vae_experiments.tensors import Latents

INDEX = "latents.json"
ENCODED, CHANGED = "encoded", "changed"
FILE_BYTES = 2 * 2**20
"""Of one file, unless one frame is larger. It is written and read in one go: several such are in memory for a
moment."""


class Which(Choice):
    """Which of a run's latents are read."""

    encoded = ENCODED
    changed = CHANGED


class LatentFolder:
    """Writes chunks into a folder; the folder appears when it is finished.

    The chunks are cut anew, so that the files do not tell the batch size. As a context, it is finished
    when the block ends without an error, and else leaves nothing behind. Whatever keeps it from being
    written is a WriteError. With a ``raw_form`` each stream is also one ``.latent``.
    """

    def __init__(self, folder: Path, raw_form: RawForm | None = None) -> None:
        self.folder, self.raw_form = folder, raw_form
        self._shapes: dict[str, list[int]] = {}
        self._hidden = hidden_beside(folder)
        self._files: dict[str, list[str]] = {}
        self._waiting: dict[str, list[Tensor]] = defaultdict(list)
        with named_as(self.folder):
            self._hidden.mkdir(parents=True)

    def __enter__(self) -> LatentFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            self.abandon()

    @property
    def names(self) -> list[str]:
        """The files that it writes."""
        raw = [f"{name}{SUFFIX}" for name in self._files if self.raw_form]
        return [*(file for files in self._files.values() for file in files), *raw, INDEX, SUMS]

    def write(self, name: str, chunk: Tensor) -> None:
        """Append a chunk, time first, to the stream of that name.

        Raises:
            WriteError: the disk is full or broken.
        """
        import torch

        self._files.setdefault(name, [])
        self._waiting[name].append(chunk.clone())  # what a caller writes into it later is not meant
        count = max(1, FILE_BYTES // max(1, chunk[:1].nbytes))
        if sum(map(len, self._waiting[name])) >= count:
            joined = torch.cat(self._waiting[name])
            whole_files = len(joined) - len(joined) % count
            for part in torch.split(joined[:whole_files], count):
                self._save(name, part)
            self._waiting[name] = [joined[whole_files:].clone()] if whole_files < len(joined) else []

    def finish(self) -> None:
        """Write what waits, the index and the digests, and publish the folder under its name.

        Raises:
            WriteError: the disk is full, or a folder of that name is there already.
        """
        import torch

        for name, waiting in self._waiting.items():
            if waiting:
                self._save(name, torch.cat(waiting))
        with named_as(self.folder):
            for name, shape in self._shapes.items():
                if self.raw_form:
                    place = self._hidden / f"{name}{SUFFIX}"
                    write_latent(place, shape, self._written(name), self.raw_form)
            write_json(self._hidden / INDEX, self._files)
            write_sums(self._hidden, {*self.names} - {SUMS}, INDEX)
            publish(self._hidden, self.folder)

    def abandon(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self._hidden, ignore_errors=True)

    def _save(self, name: str, chunk: Tensor) -> None:
        from safetensors.torch import save

        file = self._hidden / f"{name}-{len(self._files[name]):05d}.safetensors"
        with named_as(self.folder), atomic_write(file) as hidden:
            # Not by safetensors' own save_file, whose errors do not say which error of the system they were.
            hidden.write_bytes(save({"latents": chunk.contiguous()}))
        self._files[name].append(file.name)
        self._shapes[name] = [sum(self._shapes.get(name, [])[:1]) + len(chunk), *chunk.shape[1:]]

    def _written(self, name: str) -> Iterator[Tensor]:
        from safetensors.torch import load

        for file in self._files[name]:
            yield load((self._hidden / file).read_bytes())["latents"]


def checked_chunks(folder: Path, name: str) -> Iterator[Tensor]:
    """Read the chunks of one stream, each compared with its digest before it is given.

    Raises:
        ValueError: a file is missing, or is not what was written, or there is no such stream.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        files = _streams(folder)
        if name not in files:
            raise ValueError(f"it holds {', '.join(files) or 'nothing'}")
        sums = read_sums(folder, INDEX)
        for file in files[name]:
            yield load(_checked(folder, file, sums))["latents"]
    except (OSError, KeyError, TypeError, SafetensorError) as error:
        raise ValueError(str(error)) from error


def stream_digest(folder: Path, name: str) -> str:
    """Identify a stream by the digests of its files.

    Raises:
        ValueError: there is no such stream, or not all that tells of it.
    """
    try:
        sums = read_sums(folder, INDEX)
        return digest_of([sums[file] for file in _streams(folder)[name]])
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from error


def _streams(folder: Path) -> dict[str, list[str]]:
    """Read the index: the files of each stream."""
    files: dict[str, list[str]] = json.loads(_checked(folder, INDEX, read_sums(folder, INDEX)))
    return files


def _checked(folder: Path, file: str, sums: dict[str, str]) -> bytes:
    """Read a file in one go: bytes that were compared must be the bytes that are used."""
    data = (folder / file).read_bytes()
    if sha256(data).hexdigest() != sums[file]:
        raise ValueError(f"{file} is damaged: its SHA-256 is not the one in {SUMS}")
    return data


def load_latents(folder: Path | str, name: str = ENCODED) -> Latents:
    """Read latents back from a run folder (or its ``latents`` folder) as one tensor ``T C h w``.

    ``name`` is ``encoded`` or ``changed``. Normalised: about unit variance in every model.

    Raises:
        SourceError: the folder has no latents, or none of that name, or a file is not what was written.
    """
    import torch

    place = Path(folder)
    place = place if (place / INDEX).is_file() else place / "latents"
    if not (place / INDEX).is_file():
        raise SourceError(f"no latents in {folder}", "run with output.latents=true")
    try:
        files = _streams(place)
        if name not in files:
            raise SourceError(f"no {name} latents in {folder}", f"it has: {', '.join(files)}")
        return torch.cat(list(checked_chunks(place, name)))
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{place} cannot be read ({error})", "run again with output.latents=true"
        ) from error
