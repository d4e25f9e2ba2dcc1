"""Where on the hub an autoencoder is, and where in the local cache."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vae_experiments.errors import ModelError, system_reason
from vae_experiments.files import digest
from vae_experiments.models.hub.weight_files import Weights

if TYPE_CHECKING:
    from collections.abc import Iterator


NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class HubRepo(NamedTuple):
    """A folder of a repository on the hub, at a branch, tag or commit."""

    repository: str
    subfolder: str
    revision: str

    def path(self, name: str) -> str:
        """Return a file's path in the repository."""
        return f"{self.subfolder}/{name}" if self.subfolder else name

    @property
    def cache(self) -> Path:
        """The repository's own folder in the hub's cache, which HF_HOME and HF_HUB_CACHE move."""
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE).resolve() / f"models--{self.repository.replace('/', '--')}"

    def existing(self) -> Path:
        """Return the cache's folder, or the nearest one above it that is there."""
        return next(folder for folder in (self.cache, *self.cache.parents) if folder.exists())

    def check(self) -> None:
        """Refuse what cannot be a name on the hub.

        Raises:
            ModelError: the repository is not owner/name.
        """
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

        try:
            validate_repo_id(self.repository)
        except HFValidationError as error:
            raise ModelError(
                f"model.repository={self.repository}: must be owner/name on the hub",
                "for a folder on disk use model=folder model.path=DIR",
            ) from error

    def cached(self, anything: bool = False) -> Path | None:
        """Find the weights in the cache without asking the hub: the plain ones, or ``anything``.

        A variant in fewer bits is not the model that was asked for, as long as the hub may have that.
        """
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(
            self.repository, self.path("config.json"), cache_dir=self.cache.parent, revision=self.revision
        )
        if not isinstance(found, str):
            return None
        folder = Path(found).parent
        weights = Weights.among(file.name for file in folder.iterdir() if file.exists())
        return folder if weights and (anything or not weights.variant) else None

    @staticmethod
    def damaged(folder: Path) -> Iterator[Path]:
        """Name the files of a cached folder whose bytes have changed: the cache names each by its digest.

        Nothing is known of a file that is not a link into the cache, or that was not in git-lfs.
        """
        for file in sorted(folder.iterdir()):
            sha256 = file.readlink().name if file.is_symlink() else ""
            if re.fullmatch("[0-9a-f]{64}", sha256) and digest(file) != sha256:
                yield file


def disk_error(place: HubRepo, error: OSError) -> ModelError:
    """Return what it means for a person that the hub's cache cannot be written."""
    if error.errno in NO_SPACE:
        return ModelError(
            f"model: no space left in {place.cache.parent} for {place.repository}",
            "free some space, or set HF_HOME to a folder on another disk; what has come is kept",
        )
    return ModelError(
        f"model: cannot write {error.filename or place.cache} ({system_reason(error)})",
        "set HF_HOME to a folder that can be written",
    )
