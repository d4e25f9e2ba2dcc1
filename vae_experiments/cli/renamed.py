"""Settings that had other names once: a config that was saved then is still read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

RENAMED: dict[str, dict[str, str]] = {
    "training": {
        "rate": "learning_rate",
        "warm_up": "warmup_steps",
        "kl_warm_up": "kl_warmup_steps",
        "accumulate": "gradient_accumulation",
        "clip": "max_grad_norm",
        "averaging": "ema_decay",
        "start": "init_from",
        "free": "quantize_after",
        "window": "buffer_size",
        "fresh": "refresh",
        "large_share": "large_fraction",
    },
    "data": {"validation_share": "validation_fraction"},
}
"""For each group the old name of a setting, and its name of today."""


def under_new_names(group: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a group under the names that they have today."""
    names = RENAMED.get(group, {})
    return {names.get(name, name): value for name, value in values.items()}
