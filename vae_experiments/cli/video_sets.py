"""A sweep over a set of videos: its one path becomes the paths of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf, open_dict

from vae_experiments.cli.hydra_setup import typed_words
from vae_experiments.cli.overrides import as_text
from vae_experiments.errors import one_line
from vae_experiments.options import kinds

if TYPE_CHECKING:
    from omegaconf import DictConfig

PATH = "source.path"


def take_each_video(config: DictConfig) -> None:
    """Put every video of a set in the place of its folder or pattern, as if all had been typed.

    Raises:
        SourceError: there is none.
    """
    if OmegaConf.get_type(config.source) is not kinds("source")["videos"]:
        return
    words = typed_words(config.hydra, "task")
    if OmegaConf.is_missing(config.source, "path"):
        return  # the jobs say so
    source: Any = OmegaConf.to_object(config.source)
    videos, others = source.videos(), source.passed_over()
    beside = f", and {others} other file{'s' * (others > 1)}, passed over" if others else ""
    print(one_line(f"{source.path}: {len(videos)} video{'s' * (len(videos) > 1)}{beside}"))
    word = f"{PATH}={','.join(as_text(video) for video in videos)}"
    places = [place for place, one in enumerate(words) if one.lstrip("+").startswith(f"{PATH}=")]
    before = [one for place, one in enumerate(words) if place not in places]
    # Where it was typed: the first setting changes last.
    before.insert(places[0] if places else len(before), word)
    with open_dict(config):
        config.hydra.overrides.task = before
