"""Every manipulation, as it is chosen, takes the latents of every class."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.conftest import NETWORKS
from tests.test_config import composed
from vae_experiments import MovingCircle
from vae_experiments.cli.config import experiment_from
from vae_experiments.cli.settings_help import grouped
from vae_experiments.manipulations import chain, outcome
from vae_experiments.options import kinds
from vae_experiments.pipeline.runner import in_step, with_bent_decoder
from vae_experiments.pipeline.second_video import clip_of
from vae_experiments.tensors import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vae_experiments.manipulations import ChainStep, Clip
    from vae_experiments.models import Autoencoder
    from vae_experiments.tensors import Latents

SIZE, COUNT = Size(67, 65), 9


@pytest.fixture(scope="module")
def links() -> Sequence[ChainStep]:
    """Give every manipulation with the settings of its file in conf/."""
    every = ",".join(sorted(kinds("manipulation")))
    links: Sequence[ChainStep] = experiment_from(composed(f"manipulation=[{every}]")).manipulations
    assert len(links) == len(kinds("manipulation")) >= 47
    return links


def remembering(clip: Clip) -> Clip:
    """Encode each other video once, although several manipulations ask for it."""
    begun: dict[str, Iterator[Latents]] = {}
    assert clip.latents_of is not None
    encode = clip.latents_of

    def latents_of(path: str) -> Iterator[Latents]:
        begun[path], again = itertools.tee(begun[path] if path in begun else encode(path))
        return again

    return replace(clip, latents_of=latents_of)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_manipulation_takes_the_latents_of_every_class(
    name: str, load: Callable[[str], Autoencoder], links: Sequence[ChainStep]
) -> None:
    autoencoder = load(name)
    source = MovingCircle(size=str(SIZE), frames=COUNT)
    clip = remembering(clip_of(source, autoencoder, 4))
    latents = torch.cat(list(autoencoder.encode(source.chunks(4))))
    before, same = latents.clone(), []
    for link in links:
        link.check(clip)
        changed = torch.cat(list(chain([link], latents.split(2), clip)))
        assert changed.isfinite().all(), link
        assert changed.shape[1:] == latents.shape[1:], link
        assert len(changed) == (outcome([link], clip).latents or len(latents)), link
        assert torch.equal(latents, before), f"{link} wrote into its input"
        same += [link.name] if torch.equal(changed, latents) else []
    # bend changes weights and no latents; where a latent stands for 4 frames, there are few to move in time.
    idle = {"bend", "posterior_temperature"} if not autoencoder.has_posterior else {"bend"}  # type: ignore[attr-defined]
    idle |= set(grouped()["Motion and time"]) if len(latents) < COUNT else set()
    assert set(same) <= idle


@pytest.mark.parametrize("name", NETWORKS)
def test_changed_latents_are_decoded_to_as_many_frames(
    name: str, load: Callable[[str], Autoencoder], links: Sequence[ChainStep]
) -> None:
    autoencoder, by_name = load(name), {link.name: link for link in links}
    source = MovingCircle(size=str(SIZE), frames=COUNT)
    clip = clip_of(source, autoencoder, 4)
    latents = torch.cat(list(autoencoder.encode(source.chunks(4))))
    chained = [by_name["noise"], by_name["wave"], by_name["bend"]]
    changed = chain(chained, latents.split(2), clip)
    decoded: Any = with_bent_decoder(autoencoder, chained).decode(changed, SIZE)
    untouched = autoencoder.decode([latents], SIZE)
    steps = list(in_step(autoencoder.time_stride, source.chunks(4), untouched, decoded))
    assert sum(step.frames for step in steps) == COUNT
    for step in steps:
        assert step.changed is not None
        assert step.changed.shape == step.original.shape  # type: ignore[union-attr]
        assert step.changed.isfinite().all()
        assert not torch.allclose(step.changed, step.reconstructed, atol=1e-4)  # type: ignore[arg-type]
