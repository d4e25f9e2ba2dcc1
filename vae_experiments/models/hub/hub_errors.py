"""What a hub that refuses, is not there or breaks off means for a person: one sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vae_experiments.errors import ModelError
from vae_experiments.models.hub.repo import NO_SPACE, disk_error

if TYPE_CHECKING:
    from vae_experiments.models.hub.repo import HubRepo

MALFORMED_TOKEN = "Invalid credentials in Authorization header"
REASON_LENGTH = 120


class UnreachableError(ModelError):
    """The hub is not there, does not answer, or breaks off: no other model of it can be had now either."""


def refusal(place: HubRepo, error: Exception) -> ModelError:
    """Turn any error of the hub's library, of the connection or of the disk into its sentence."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    repository, hub = place.repository, constants.ENDPOINT
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(error, OSError) and (error.errno in NO_SPACE or error.filename):
        return disk_error(place, error)
    if status == 401 and response.headers.get("X-Error-Message") == MALFORMED_TOKEN:  # type: ignore[union-attr]
        return ModelError(f"model: {hub} does not know the token that was sent", "renew or unset HF_TOKEN")
    if isinstance(error, GatedRepoError) or status == 403:
        return ModelError(
            f"model: {repository} is gated, and {hub} does not give it to this account",
            f"accept its terms at {hub}/{repository}, and set HF_TOKEN to a token that may read it",
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelError(
            f"model.revision={place.revision}: {repository} has no such branch, tag or commit",
            "leave it out for main",
        )
    if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
        return ModelError(
            f"model: {hub} has no repository {repository}, or it is private",
            "look for a typing mistake in model.repository, or set HF_TOKEN",
        )
    return _unreachable(place, error)


def _unreachable(place: HubRepo, error: Exception) -> UnreachableError:
    from huggingface_hub import is_offline_mode

    folder = f"DIR/{place.subfolder}" if place.subfolder else "DIR"
    files = " ".join(f"'{place.path(name)}'" for name in ("config.json", "*.safetensors"))
    by_hand = (
        f"hf download {place.repository} --include {files} --local-dir DIR, "
        f"and use model=folder model.path={folder}"
    )
    if is_offline_mode():
        return UnreachableError(
            f"model: {place.repository} is not in {place.cache.parent}, and HF_HUB_OFFLINE forbids to download it",
            f"unset HF_HUB_OFFLINE, or where there is a network run: {by_hand}",
        )
    lines = str(error).strip().splitlines()
    reason = lines[0][:REASON_LENGTH] if lines else type(error).__name__
    return UnreachableError(
        f"model: cannot download {place.repository} ({reason})",
        f"try again, or where there is a network run: {by_hand}",
    )
