"""What is typed is what is meant: a folder called 2024_05_17 is no number, and a schedule no function."""

from __future__ import annotations

import pytest

from tests.test_config import composed
from vae_experiments.cli.config import experiment_from
from vae_experiments.cli.overrides import as_text, quoted

NAMES = (
    "2024_05_17",
    "1.10",
    "1e3",
    "null",
    "true",
    "True",
    "007",
    "+5",
    "1_000",
    "nan",
    "-inf",
    "NULL",
    ".5",
    "1.",
)
FILES = (
    "my clip (1).mp4",
    "bad\udcff.mp4",
    "a'b.mp4",
    "a[1]*.mp4",
    "x\ny.mp4",
    "日本 ü.mp4",
    "C:\\dir\\",
    "a\\'b",
    "#1!.mp4",
    "a=b.mp4",
    "a{1}.mp4",
    " in spaces.mp4 ",
    "-dash.mp4",
    "~nobody/a.mp4",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES + FILES)
def test_a_path_is_what_is_typed(name: str) -> None:
    video = experiment_from(composed("source=video", quoted(f"source.path={name}")))
    assert video.source.path == name  # type: ignore[attr-defined]
    folder = experiment_from(composed("model=folder", quoted(f"model.path={name}")))
    assert folder.model.path == name  # type: ignore[attr-defined]
    mixed = experiment_from(composed("manipulation=interpolate", quoted(f"interpolate.path={name}")))
    assert mixed.manipulations[0].path == name  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["d${x}.mp4", "${now:%Y}", "a${b", "a\\${b}", "it's ${seed}"])
def test_a_path_with_a_reference_in_its_name_is_typed_with_a_backslash(name: str) -> None:
    video = experiment_from(composed("source=video", f"source.path={as_text(name)}", "seed=5"))
    assert video.source.path == name  # type: ignore[attr-defined]
    if "\\" not in name:
        typed = quoted("source.path=" + name.replace("${", "\\${"))
        assert experiment_from(composed("source=video", typed)).source == video.source


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        ("data.path=2024_05_17", "data.path='2024_05_17'"),
        ("hydra.run.dir=2024_05_17", "hydra.run.dir='2024_05_17'"),
        ("+grain.path=1e3", "+grain.path='1e3'"),
        ("source.path=a.mp4,1_0,true", "source.path=a.mp4,'1_0','true'"),
        ("source.path=choice(1e3,b)", "source.path=choice('1e3',b)"),
        ("source.path='1.10'", "source.path='1.10'"),
        ("source.path=clip.mp4", "source.path=clip.mp4"),
        ("source.fps=null", "source.fps=null"),
        ("source.fps=29.970029970029970", "source.fps='29.970029970029970'"),
        ("source.size=256", "source.size=256"),
        ("source.frames=1_0", "source.frames=1_0"),
        ("noise.scale=1e3", "noise.scale=1e3"),
        ("noise.scale=ramp(0,1),0.5", "noise.scale='ramp(0,1)',0.5"),
        ("noise.scale=range(0,1)", "noise.scale=range(0,1)"),
        ("manipulation=true", "manipulation=true"),
        ("-m", "-m"),
    ],
)
def test_only_what_would_be_read_otherwise_is_put_in_quotes(typed: str, given: str) -> None:
    assert quoted(typed) == given
