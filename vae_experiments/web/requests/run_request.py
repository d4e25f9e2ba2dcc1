"""Orders: what the browser asked for, as checked options and as the line that a person would type."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from vae_experiments.errors import SettingError, SourceError
from vae_experiments.pipeline.experiment import Experiment
from vae_experiments.pipeline.run_folder import Output
from vae_experiments.web.requests.catalog import DEFAULT, Offered, chosen, typed_value
from vae_experiments.web.requests.controls import SECOND, patterns, typed
from vae_experiments.web.state.uploads import same_content

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vae_experiments.manipulations import ChainStep
    from vae_experiments.models import Model
    from vae_experiments.sources import Source, Video
    from vae_experiments.web.state.uploads import Limits, Upload

VIDEO = "video"
LONGEST_CHAIN = 6
NOT_ASKED = ("path", "max_pixels")
"""Settings of a video that the page decides."""
PREVIEW_SIDE = 128


@dataclass(frozen=True)
class RawRequest:
    """What the browser sent, untyped and unchecked: names of choices and values of settings."""

    source: str = "moving_circle"
    source_values: Mapping[str, Any] = field(default_factory=dict)
    model: str = "tiny"
    model_values: Mapping[str, Any] = field(default_factory=dict)
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

    @property
    def chain(self) -> str:
        """Name the manipulations in their order, as ``noise + motion gain``."""
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

    def smaller(self, frames: int, least_side: int) -> RunRequest:
        """Return the same with at most so many frames, small ones, which are no smaller than the model takes."""
        width, height = self.source.info.size
        share = min(1.0, PREVIEW_SIDE / max(width, height))
        sides = [max(8, least_side, round(side * share / 8) * 8) for side in (width, height)]
        small: dict[str, Any] = {"size": f"{sides[0]}x{sides[1]}"}
        count = self.source.info.frames
        if count is None or count > frames:
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
    chain = _chain(asked.chain)
    made = [_link(one, asked) for one in chain]
    name = _name_of(second, upload) if second and any(map(_asking, made)) else ""
    links = tuple(_with_second(one, name).named(choice.name) for choice, one in zip(chain, made, strict=True))
    check_work(source, limits)
    words = [*source_words, *_choice("model", asked.model), *offered.words(model), *_choice_of(chain)]
    titles = []
    for one, link in zip(chain, links, strict=True):
        own = one.words(link)
        words += own
        titles.append(" ".join([one.name, *(word.removeprefix(f"{one.name}.") for word in own)]))
    places = {name: str(second.path)} if second and name else {}
    return RunRequest(source, model, links, tuple(words), " + ".join(titles) or "nothing changed", places)


def with_value(asked: RawRequest, setting: str, value: float) -> RawRequest:
    """Return the same with one setting of a manipulation changed, as ``noise.scale``.

    Raises:
        SettingError: the chain has no such setting.
    """
    name, _, key = setting.partition(".")
    if name not in asked.chain or not any(c.name == key for c in chosen("manipulation", name).controls()):
        raise SettingError("setting", setting, "not part of this chain", "choose one of the list")
    return replace(asked, values={**asked.values, name: {**asked.values.get(name, {}), key: value}})


def check_work(source: Source, limits: Limits) -> None:
    """Refuse what would keep everybody else waiting.

    Raises:
        SourceError: there are more pixels than the page takes.
    """
    info = source.info
    width, height = info.size
    if info.frames * width * height > limits.pixels:
        problem = f"{info.frames} frames of {info.size} are more than this page takes"
        raise SourceError(
            problem, f"at most {limits.pixels // 10**6} million pixels: fewer frames or smaller ones"
        )


def first_settings(upload: Upload, side: int = 256, frames: int = 48) -> dict[str, Any]:
    """Suggest a size and a length that a laptop turns around in seconds; its own where that is smaller."""
    width, height = upload.info.size
    share = side / max(width, height)
    size = "" if share >= 1 else "x".join(str(max(8, round(s * share / 8) * 8)) for s in (width, height))
    return {"size": size, "frames": None if upload.info.frames <= frames else frames}


def _source(asked: RawRequest, upload: Upload | None) -> tuple[Source, list[str]]:
    offered = chosen("source", asked.source)
    given = {key: value for key, value in asked.source_values.items() if key not in NOT_ASKED}
    if asked.source != VIDEO:
        source = cast("Source", offered.build(given))
        return source, [*_choice("source", asked.source), *offered.words(source)]
    if upload is None:
        raise SourceError("no video was uploaded", "upload one, or choose a pattern")
    values = {**_typed(offered, given), "path": str(upload.path)}
    video = cast("Video", offered.made({**offered.defaults, **values}))
    words = [word for word in offered.words(video) if not word.startswith("source.path=")]
    return video, ["source=video", f"source.path={typed_value(upload.name)}", *words]


def _link(one: Offered, asked: RawRequest) -> ChainStep:
    return cast("ChainStep", one.build(asked.values.get(one.name, {})))


def _name_of(second: Upload, first: Upload | None) -> str:
    """Name the second upload as it is typed beside the first, and so that no pattern is meant.

    Raises:
        SourceError: both have one name, and the line that repeats the run could not tell them apart.
    """
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


def _typed(offered: Offered, values: Mapping[str, Any]) -> dict[str, Any]:
    known = {name for name, _, _ in offered.kind.settings()}
    return {
        name: typed(offered.kind, name, value, offered.address)
        for name, value in values.items()
        if name in known
    }


def _chain(names: Sequence[str]) -> list[Offered]:
    if not isinstance(names, list | tuple) or len(names) > LONGEST_CHAIN:
        raise SettingError("manipulation", "...", "too many in a row", f"choose at most {LONGEST_CHAIN}")
    chain = [chosen("manipulation", name) for name in names]
    if len(set(names)) < len(names):
        raise SettingError("manipulation", ",".join(names), "names one twice", "choose each once")
    return chain


def _choice(group: str, name: str) -> list[str]:
    return [] if name == DEFAULT[group] else [f"{group}={name}"]


def _choice_of(chain: Sequence[Offered]) -> list[str]:
    names = [one.name for one in chain]
    if names == DEFAULT["manipulation"]:
        return []
    return (
        ["manipulation=none"]
        if not names
        else [f"manipulation={names[0] if len(names) == 1 else '[' + ','.join(names) + ']'}"]
    )
