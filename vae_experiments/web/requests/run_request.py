"""Requests: what the browser asked for, as checked options and as the line that a person would type."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from vae_experiments.errors import SettingError, SourceError, VaeExperimentsError
from vae_experiments.manipulations import checked
from vae_experiments.models import load_pair
from vae_experiments.pipeline.experiment import Experiment
from vae_experiments.pipeline.run_folder import Output
from vae_experiments.pipeline.second_video import clip_of
from vae_experiments.web.requests.catalog import DEFAULT, chosen, typed_value
from vae_experiments.web.requests.controls import SECOND, patterns
from vae_experiments.web.state.uploads import same_content

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vae_experiments.manipulations import ChainStep
    from vae_experiments.models import Autoencoder, Model
    from vae_experiments.sources import Source
    from vae_experiments.web.requests.catalog import Offered
    from vae_experiments.web.state.uploads import Limits, Upload

VIDEO = "video"
LONGEST_CHAIN = 6
NOT_ASKED = ("path", "max_pixels")
"""Settings of a video that the page decides."""
PREVIEW_SIDE, FEWEST_FRAMES, MOST_FRAMES = 128, 8, 256
"""Of a preview: pixels of its longer side, and how many frames it may have."""


@dataclass(frozen=True)
class RawRequest:
    """What the browser sent, untyped and unchecked: names of choices and values of settings."""

    source: str = "moving_circle"
    source_values: Mapping[str, Any] = field(default_factory=dict)
    model: str = "tiny"
    model_values: Mapping[str, Any] = field(default_factory=dict)
    decoder: str = "same"
    chain: Sequence[str] = ("noise",)
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The settings of each manipulation, by its name."""


@dataclass(frozen=True)
class RunRequest:
    """One run: its parts, checked, and what to type for them."""

    source: Source
    model: Model
    links: tuple[ChainStep, ...]
    words: tuple[str, ...]
    title: str
    places: Mapping[str, str] = field(default_factory=dict)
    """Where the second upload lies, which the steps of a chain know by its name."""
    decoder: Model | None = None

    @property
    def chain(self) -> str:
        """The manipulations in their order, as ``noise + motion gain``."""
        return " + ".join(link.name.replace("_", " ") for link in self.links)

    @property
    def command(self) -> str:
        """What to type in a shell for the same run."""
        return shlex.join(["python", "run.py", *self.words])

    def experiment(self, output: Output | None = None) -> Experiment:
        """Make the experiment that ``python run.py`` would make of those words."""
        return Experiment(
            source=self.source,
            manipulations=list(self.links),
            model=self.model,
            decoder=self.decoder,
            output=output or Output(),
            places=self.places,
            command=self.command,
        )

    def swept_words(self, setting: str) -> list[str]:
        """Return the words with one setting among them, though it be at its default."""
        if any(word.startswith(f"{setting}=") for word in self.words):
            return list(self.words)
        name, _, key = setting.partition(".")
        link = next(link for link in self.links if link.name == name)
        return [*self.words, f"{setting}={typed_value(getattr(link, key))}"]

    def preview(self) -> RunRequest | None:
        """Return the same on the first frames, small; None where its settings speak only of later ones.

        What is right for the clip may be wrong for its first frames, as ``freeze.frame=12``.

        Raises:
            VaeExperimentsError: the settings do not fit the clip itself.
        """
        autoencoder = load_pair(self.model, self.decoder, self.experiment().device.choose())
        self._check(autoencoder)
        count = FEWEST_FRAMES
        while count <= MOST_FRAMES:
            small = self.smaller(count, autoencoder.stride)
            try:
                small._check(autoencoder)
            except VaeExperimentsError:
                count *= 2
            else:
                return small
        return None

    def _check(self, autoencoder: Autoencoder) -> None:
        clip = clip_of(self.source, autoencoder, self.experiment().batch_size, self.places)
        checked(self.links, clip)

    def smaller(self, frames: int, least_side: int) -> RunRequest:
        """Return the same with at most so many frames, small ones, which are no smaller than the model takes."""
        info = self.source.info
        small: dict[str, Any] = {"size": _scaled(info.size, PREVIEW_SIDE, least_side)}
        if info.frames > frames:
            small["frames"] = frames
        return replace(self, source=replace(self.source, **small))


def order_of(
    asked: RawRequest, upload: Upload | None, limits: Limits, second: Upload | None = None
) -> RunRequest:
    """Turn what the browser sent, and up to two uploads, into options.

    Raises:
        VaeExperimentsError: a name is unknown, a value breaks its rule, or it is too much work.
    """
    source, source_words = _source(asked, upload)
    offered = chosen("model", asked.model)
    model = cast("Model", offered.build(asked.model_values))
    is_same = asked.decoder == DEFAULT["decoder"]
    decoder = None if is_same else cast("Model", chosen("decoder", asked.decoder).build({}))
    chain = _chain(asked.chain)
    made = [cast("ChainStep", one.build(asked.values.get(one.name, {}))) for one in chain]
    name = _name_of(second, upload) if second and any(map(_asking, made)) else ""
    links = [_with_second(link, name).named(one.name) for one, link in zip(chain, made, strict=True)]
    info = source.info
    if info.frames * info.size.width * info.size.height > limits.pixels:
        raise SourceError(
            f"{info.frames} frames of {info.size} are more than this page takes",
            f"at most {limits.pixels // 10**6} million pixels: fewer frames or smaller ones",
        )
    words = [*source_words, *_choice("model", asked.model), *offered.words(model)]
    words += [*_choice("decoder", asked.decoder), *_choice_of(asked.chain)]
    titles = []
    for one, link in zip(chain, links, strict=True):
        own = one.words(link)
        words += own
        titles.append(" ".join([one.name, *(word.removeprefix(f"{one.name}.") for word in own)]))
    places = {name: str(second.path)} if second and name else {}
    title = " + ".join(titles) or "nothing changed"
    return RunRequest(source, model, tuple(links), tuple(words), title, places, decoder)


def first_settings(upload: Upload, side: int = 256, frames: int = 48) -> dict[str, Any]:
    """Suggest a size and a length that a laptop turns around in seconds; its own where that is smaller."""
    info = upload.info
    size = _scaled(info.size, side) if max(info.size) > side else ""
    return {"size": size, "frames": None if info.frames <= frames else frames}


def _scaled(size: Iterable[int], longest: int, least: int = 8) -> str:
    """Write a size whose longer side is at most so long, in steps of 8 pixels."""
    sides = list(size)
    share = min(1.0, longest / max(sides))
    return "x".join(str(max(8, least, round(side * share / 8) * 8)) for side in sides)


def _source(asked: RawRequest, upload: Upload | None) -> tuple[Source, list[str]]:
    offered = chosen("source", asked.source)
    given = {key: value for key, value in asked.source_values.items() if key not in NOT_ASKED}
    if asked.source != VIDEO:
        source = cast("Source", offered.build(given))
        return source, [*_choice("source", asked.source), *offered.words(source)]
    if upload is None:
        raise SourceError("no video was uploaded", "upload one, or choose a pattern")
    video = cast("Source", offered.build(given, path=str(upload.path)))
    words = [word for word in offered.words(video) if not word.startswith("source.path=")]
    return video, ["source=video", f"source.path={typed_value(upload.name)}", *words]


def _name_of(second: Upload, first: Upload | None) -> str:
    """Name the second upload as it is typed beside the first, and so that no pattern is meant."""
    if first is not None and first.name == second.name and not same_content(first, second):
        raise SourceError(f"both videos are called {first.name}", "upload one of them under another name")
    return f"./{second.name}" if second.name in patterns() else second.name


def _asking(link: ChainStep) -> list[str]:
    """Name the settings that ask for the second upload."""
    return [key for key, _, _ in link.settings() if getattr(link, key) == SECOND]


def _with_second(link: ChainStep, name: str) -> ChainStep:
    """Let a step that asks for the second upload know it by its name."""
    asking = _asking(link)
    if asking and not name:
        problem = f"{link.kind}.{asking[0]}: no second video was uploaded, or it is not kept any more"
        raise SourceError(problem, "upload one, or choose a pattern")
    return replace(link, **dict.fromkeys(asking, name)) if asking else link


def _chain(names: Sequence[str]) -> list[Offered]:
    if not isinstance(names, list | tuple) or len(names) > LONGEST_CHAIN:
        raise SettingError("manipulation", "...", "too many in a row", f"choose at most {LONGEST_CHAIN}")
    chain = [chosen("manipulation", name) for name in names]
    if len(set(names)) < len(names):
        raise SettingError("manipulation", ",".join(names), "names one twice", "choose each once")
    return chain


def _choice(group: str, name: str) -> list[str]:
    return [] if name == DEFAULT[group] else [f"{group}={name}"]


def _choice_of(chain: Sequence[str]) -> list[str]:
    typed = "none" if not chain else chain[0] if len(chain) == 1 else f"[{','.join(chain)}]"
    return [] if list(chain) == DEFAULT["manipulation"] else [f"manipulation={typed}"]
