"""Where on the hub an autoencoder is, where in the local cache, and what it means that it cannot be had."""

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
MALFORMED_TOKEN = "Invalid credentials in Authorization header"
REASON_LENGTH = 120


class UnreachableError(ModelError):
    """The hub is not there, does not answer, or breaks off: no other model of it can be had now either."""


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

    def refusal(self, error: Exception) -> ModelError:
        """Turn any error of the hub's library, of the connection or of the disk into its sentence."""
        from huggingface_hub import constants
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        repository, hub = self.repository, constants.ENDPOINT
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None)
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            return ModelError(
                f"model: no space left in {self.cache.parent} for {repository}",
                "free some space, or set HF_HOME to a folder on another disk; files that came whole are kept",
            )
        if isinstance(error, OSError) and error.filename:
            return ModelError(
                f"model: cannot write {error.filename} ({system_reason(error)})",
                "set HF_HOME to a folder that can be written",
            )
        if status == 401 and response.headers.get("X-Error-Message") == MALFORMED_TOKEN:  # type: ignore[union-attr]
            return ModelError(
                f"model: {hub} does not know the token that was sent", "renew or unset HF_TOKEN"
            )
        if isinstance(error, GatedRepoError) or status == 403:
            return ModelError(
                f"model: {repository} is gated, and {hub} does not give it to this account",
                f"accept its terms at {hub}/{repository}, and set HF_TOKEN to a token that may read it",
            )
        if isinstance(error, RevisionNotFoundError):
            return ModelError(
                f"model.revision={self.revision}: {repository} has no such branch, tag or commit",
                "leave it out for main",
            )
        if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
            return ModelError(
                f"model: {hub} has no repository {repository}, or it is private",
                "look for a typing mistake in model.repository, or set HF_TOKEN",
            )
        return self._unreachable(error)

    def _unreachable(self, error: Exception) -> UnreachableError:
        from huggingface_hub import is_offline_mode

        folder = f"DIR/{self.subfolder}" if self.subfolder else "DIR"
        files = " ".join(f"'{self.path(name)}'" for name in ("config.json", "*.safetensors"))
        by_hand = (
            f"where there is a network run: hf download {self.repository} --include {files} --local-dir DIR, "
            f"and use model=folder model.path={folder}"
        )
        if is_offline_mode():
            return UnreachableError(
                f"model: {self.repository} is not in {self.cache.parent}, and HF_HUB_OFFLINE forbids to download it",
                f"unset HF_HUB_OFFLINE, or {by_hand}",
            )
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:REASON_LENGTH]
        return UnreachableError(
            f"model: cannot download {self.repository} ({reason})", f"try again, or {by_hand}"
        )
