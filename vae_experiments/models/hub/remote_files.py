"""What a repository on the hub offers: asked once, with a time limit, and fetched into the local cache."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.errors import ModelError
from vae_experiments.models.hub.download import Wanted, part_of, size_bytes, transfer
from vae_experiments.models.hub.hub_errors import refusal
from vae_experiments.models.hub.weight_files import PICKLED, Weights
from vae_experiments.runtime.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vae_experiments.models.hub.repo import HubRepo

HUB_TIMEOUT_SECONDS = 3.0
"""How long the hub has to answer, name resolution and proxies included."""
MEGABYTE = 10**6
CONFIG, STATISTICS = "config.json", "latent_statistics.json"


class RemoteFile(NamedTuple):
    """One file of a repository, its size and, where it is kept in git-lfs, its digest."""

    name: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class RemoteFiles:
    """The files that a place on the hub holds of an autoencoder, at one commit."""

    place: HubRepo
    commit: str
    files: tuple[RemoteFile, ...]
    weights: Weights

    @classmethod
    def of(cls, place: HubRepo) -> RemoteFiles:
        """Ask the hub, once.

        Raises:
            ModelError: it cannot be reached in time, refuses, or has no autoencoder in safetensors there.
        """
        info = _asked(place)
        inside = place.path("")
        listed = [file for file in info.siblings or [] if file.rfilename.startswith(inside)]
        there = {file.rfilename.removeprefix(inside): file for file in listed}
        weights = Weights.among(there)
        if CONFIG not in there or weights is None:
            raise _nothing(place, [file.rfilename for file in info.siblings or []])
        names = [CONFIG, *(name for name in (STATISTICS,) if name in there), *weights.names]
        files = (
            RemoteFile(name, there[name].size or 0, there[name].lfs.sha256 if there[name].lfs else None)
            for name in names
        )
        return cls(place, str(info.sha), tuple(files), weights)

    @property
    def size_bytes(self) -> int:
        """Add up the files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """How much of it is not in the cache yet."""
        return self.size_bytes - sum(self._here_bytes(file) for file in self.files)

    def fetch(self) -> Path:
        """Bring what is missing into the cache, check it, and give the folder.

        Raises:
            ModelError: one sentence for whatever stops it; what has come stays for the next try.
        """
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

        cache = self.place.cache
        lock = cache.parent / ".locks" / cache.name / f"{self.commit}.lock"
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with WeakFileLock(lock):
                self._check_space()
                with _Megabytes(self.size_bytes, self.size_bytes - self.missing_bytes) as progress:
                    folders = [self._fetch_one(file, progress.add).parent for file in self.files]
        except ModelError:
            raise
        except Exception as error:
            raise refusal(self.place, error) from error
        return folders[0]

    def _fetch_one(self, file: RemoteFile, add: Callable[[int], None]) -> Path:
        """Fetch what is large by ourselves, then let the library enter it into its cache."""
        from huggingface_hub import hf_hub_download, hf_hub_url

        repository, _, revision = self.place
        path = self.place.path(file.name)
        if file.sha256 and not self._blob(file.sha256).exists():
            url = hf_hub_url(repository, path, revision=self.commit)
            transfer(Wanted(url, file.size_bytes, file.sha256), self._blob(file.sha256), add)
        entered = Path(
            hf_hub_download(
                repository,
                path,
                revision=revision,
                cache_dir=self.place.cache.parent,
                etag_timeout=HUB_TIMEOUT_SECONDS,
                tqdm_class=_silent(),
            )
        )
        if size_bytes(entered) != file.size_bytes:
            raise ModelError(
                f"model: {entered} is {size_bytes(entered)} bytes long, the hub says {file.size_bytes}",
                "delete it and try again",
            )
        return entered

    def _check_space(self) -> None:
        free = free_bytes(self.place)
        if free < self.missing_bytes:
            raise ModelError(
                f"model: {self.place.repository} needs {megabytes(self.missing_bytes)} more, "
                f"and {self.place.cache.parent} has {megabytes(free)} free",
                "free some space, or set HF_HOME to a folder on another disk",
            )

    def _blob(self, sha256: str) -> Path:
        return self.place.cache / "blobs" / sha256

    def _here_bytes(self, file: RemoteFile) -> int:
        if file.sha256 is None:
            entered = self.place.cache / "snapshots" / self.commit / self.place.path(file.name)
            return min(size_bytes(entered), file.size_bytes)
        blob = self._blob(file.sha256)
        return file.size_bytes if blob.exists() else min(size_bytes(part_of(blob)), file.size_bytes)


def free_bytes(place: HubRepo) -> int:
    """Return how much there is room for in the cache."""
    return shutil.disk_usage(place.existing()).free


def megabytes(count: int) -> str:
    """Write a number of bytes as people read it."""
    return f"{count / MEGABYTE:.0f} MB" if count >= MEGABYTE else f"{count / MEGABYTE:.2f} MB"


def _asked(place: HubRepo) -> Any:
    """Ask for the list of files; a thread, since no timeout of a library covers name resolution."""
    from huggingface_hub import HfApi

    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(
                HfApi().model_info(
                    place.repository,
                    revision=place.revision,
                    files_metadata=True,
                    timeout=HUB_TIMEOUT_SECONDS,
                )
            )
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT_SECONDS)
    answer = answers[0] if answers else TimeoutError(f"no answer in {HUB_TIMEOUT_SECONDS:g} seconds")
    if isinstance(answer, Exception):
        raise refusal(place, answer) from answer
    return answer


def _nothing(place: HubRepo, names: Iterable[str]) -> ModelError:
    """Return what there is instead of an autoencoder in safetensors."""
    names = sorted(names)
    inside = place.path("")
    folders = sorted({name.rpartition("/")[0] for name in names if name.endswith(f"/{CONFIG}")})
    here = [name for name in names if name.rpartition("/")[0] == place.subfolder]
    pickled = [name for name in here if name.endswith(PICKLED)]
    if f"{inside}{CONFIG}" not in names:
        where = f"the folder {place.subfolder}" if place.subfolder else "its top folder"
        return ModelError(
            f"model: {place.repository} has no {CONFIG} in {where}",
            f"give model.subfolder, one of: {', '.join(folders)}" if folders else "choose another repository",
        )
    if pickled:
        return ModelError(
            f"model: {place.repository} has its weights in {pickled[0]} only, which can run code when it is "
            "opened; only safetensors are downloaded",
            "convert them where you trust them, with save_pretrained(..., safe_serialization=True), "
            "and use model=folder",
        )
    return ModelError(
        f"model: {place.repository} has no weights in safetensors beside {inside}{CONFIG}",
        f"give model.subfolder, one of: {', '.join(folders)}" if folders else "choose another repository",
    )


class _Megabytes:
    """Shows progress in whole megabytes."""

    def __init__(self, total: int, done: int) -> None:
        self._bytes = done
        self._progress = Progress(-(-total // MEGABYTE), "MB", done // MEGABYTE)

    def __enter__(self) -> _Megabytes:
        self._progress.__enter__()
        return self

    def add(self, count: int) -> None:
        before = self._bytes // MEGABYTE
        self._bytes += count
        if (more := self._bytes // MEGABYTE - before) != 0:
            self._progress.add(more)

    def __exit__(self, *raised: Any) -> None:
        self._progress.__exit__(*raised)


def _silent() -> Any:
    """Keep the library from a bar of its own for each small file."""
    from tqdm import tqdm

    class Silent(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **{**settings, "disable": True})

    return Silent
