"""What a repository on the hub has of an autoencoder: asked once, with a time limit, and fetched into the cache."""

from __future__ import annotations

import logging
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_experiments.errors import ModelError
from vae_experiments.files import digest
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

    @classmethod
    def of(cls, place: HubRepo) -> RemoteFiles:
        """Ask the hub, once.

        Raises:
            ModelError: it cannot be reached in time, refuses, or has no autoencoder in safetensors there.
        """
        info = _asked(place)
        everything = {file.rfilename: file for file in info.siblings or []}
        inside = place.path("")
        there = {
            path.removeprefix(inside): file for path, file in everything.items() if path.startswith(inside)
        }
        weights = Weights.among(there)
        if CONFIG not in there or weights is None:
            raise _nothing(place, everything)
        files = (
            RemoteFile(name, there[name].size or 0, there[name].lfs.sha256 if there[name].lfs else None)
            for name in (CONFIG, STATISTICS, *weights.names)
            if name in there
        )
        return cls(place, str(info.sha), tuple(files))

    @property
    def size_bytes(self) -> int:
        """Add up the files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """How much of it is not in the cache yet."""
        snapshot = self.place.cache / "snapshots" / self.commit
        missing = (file for file in self.files if not (snapshot / self.place.path(file.name)).exists())
        return sum(file.size_bytes for file in missing)

    def fetch(self) -> Path:
        """Bring what is missing into the cache, check it, and give the folder.

        Raises:
            ModelError: one sentence for whatever stops it; files that came whole stay for the next try.
        """
        # It takes up a connection that broke by itself; of one that stays broken there is a sentence here.
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        missing, free = self.missing_bytes, free_bytes(self.place)
        if free < missing:
            raise ModelError(
                f"model: {self.place.repository} needs {megabytes(missing)} more, "
                f"and {self.place.cache.parent} has {megabytes(free)} free",
                "free some space, or set HF_HOME to a folder on another disk",
            )
        try:
            with _Megabytes(self.size_bytes, self.size_bytes - missing) as progress:
                folders = [self._fetch_one(file, _bar(progress.add)).parent for file in self.files]
        except ModelError:
            raise
        except Exception as error:
            raise self.place.refusal(error) from error
        return folders[0]

    def _fetch_one(self, file: RemoteFile, bar: type) -> Path:
        from huggingface_hub import hf_hub_download, hf_hub_url

        repository, _, revision = self.place
        path = self.place.path(file.name)
        entered = Path(
            hf_hub_download(
                repository,
                path,
                revision=revision,
                cache_dir=self.place.cache.parent,
                etag_timeout=HUB_TIMEOUT_SECONDS,
                tqdm_class=bar,
            )
        )
        came = entered.stat().st_size
        if came != file.size_bytes:
            problem = f"is {came} bytes long, not {file.size_bytes}"
        elif file.sha256 and digest(entered) != file.sha256:
            problem = f"has another SHA-256 than the hub gives, {file.sha256[:12]}..."
        else:
            return entered
        for copy in (entered.resolve(), entered):
            copy.unlink(missing_ok=True)
        raise ModelError(
            f"model: what came from {hf_hub_url(repository, path, revision=self.commit)} {problem}; it was deleted",
            "try again; if it stays so, a proxy or HF_ENDPOINT changes files",
        )


def free_bytes(place: HubRepo) -> int:
    """Return how much there is room for in the cache, which need not be there yet."""
    cache = place.cache
    return shutil.disk_usage(next(folder for folder in (cache, *cache.parents) if folder.exists())).free


def megabytes(count: int) -> str:
    """Write a number of bytes as people read it."""
    return f"{count / MEGABYTE:.0f} MB" if count >= MEGABYTE else f"{count / MEGABYTE:.2f} MB"


def _asked(place: HubRepo) -> Any:
    """Ask for the list of files; a thread, since no timeout of a library covers name resolution."""
    from huggingface_hub import HfApi

    answers: list[Any] = []

    def ask() -> None:
        try:
            info = HfApi().model_info(
                place.repository, revision=place.revision, files_metadata=True, timeout=HUB_TIMEOUT_SECONDS
            )
            answers.append(info)
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT_SECONDS)
    answer = answers[0] if answers else TimeoutError(f"no answer in {HUB_TIMEOUT_SECONDS:g} seconds")
    if isinstance(answer, Exception):
        raise place.refusal(answer) from answer
    return answer


def _nothing(place: HubRepo, names: Iterable[str]) -> ModelError:
    """Return what there is instead of an autoencoder in safetensors."""
    names = sorted(names)
    config = place.path(CONFIG)
    folders = sorted({name.rpartition("/")[0] for name in names if name.endswith(f"/{CONFIG}")})
    elsewhere = (
        f"give model.subfolder, one of: {', '.join(folders)}" if folders else "choose another repository"
    )
    if config not in names:
        where = f"the folder {place.subfolder}" if place.subfolder else "its top folder"
        return ModelError(f"model: {place.repository} has no {CONFIG} in {where}", elsewhere)
    for name in names:
        if name.rpartition("/")[0] == place.subfolder and name.endswith(PICKLED):
            return ModelError(
                f"model: {place.repository} has its weights in {name} only, which can run code when it is "
                "opened; only safetensors are downloaded",
                "convert them where you trust them, with save_pretrained(..., safe_serialization=True), "
                "and use model=folder",
            )
    return ModelError(f"model: {place.repository} has no weights in safetensors beside {config}", elsewhere)


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


def _bar(add: Callable[[int], None]) -> type:
    """Return a bar for the library that shows nothing itself and hands on how many bytes came."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **{**settings, "disable": True})

        def update(self, n: float = 1) -> None:
            add(int(n))

        def update_transfer(self, _: Any) -> None:
            """Leave out what Xet tells of compressed bytes: the same ones would count twice."""

        set_transfer_postfix_str = update_transfer

    return Bar
