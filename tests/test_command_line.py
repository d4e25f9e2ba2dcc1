"""Every mistake is one line on standard error, an exit status that is not 0, and no half-written file."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REPOSITORY
from tests.sources.conftest import write_film

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., subprocess.CompletedProcess[str]]

MISTAKES = {
    "noise.scael=1": r"noise.scael=1: noise has no such setting; did you mean scale\?",
    "+noise.scael=1": r"noise.scael=1: noise has no such setting; did you mean scale\?",
    "+sede=1": r"sede=1: no such setting in this run; did you mean seed\?",
    "manipulatoin=noise": r"manipulatoin=noise: no such setting in this run; did you mean manipulation\?",
    "manipulation=nois": r"manipulation=nois: no such choice; did you mean noise\? choose from: adain, .*, noise, none",
    "manipulation=[noise,nois]": r"manipulation=nois: no such choice; did you mean noise\? choose from: adain, .*, noise, none",
    "noise.scale=rmap(0,1)": r"noise.scale=rmap\(0,1\): must be a number or a schedule \(there is no rmap\(\)\); write a number, ramp\(0,1\)",
    "noise.seed=1" + "0" * 400: r"noise.seed=10+: must be less than 2\^63",
    "noise.frames=100:200": r"noise.frames=100:200: none of the clip's 24 frames; write as 10:20",
    "manipulation=[noise,noise]": r"manipulation=\[noise,noise\]: names one twice; give the second one a name",
    "noise.scale=abc": r"noise.scale=abc: must be a number or a schedule",
    "noise.scale=-1": r"noise.scale=-1: must be at least 0 standard deviations of the latents; the default is 0.5",
    "noise.scale=nan": r"noise.scale=nan: must be a finite number; the default is 0.5",
    "noise.scale=-1e400": r"noise.scale=-inf: must be a finite number",
    "noise.correlation=2": r"noise.correlation=2: must be at least 0 and at most 1",
    "noise=5": r"noise=5: must be a block of settings",
    "batch_size=0": r"batch_size=0: must be at least 1; the default is 8",
    "batch_size=many": r"batch_size=many: must be a whole number",
    "seed=-1": r"seed=-1: must be at least 0",
    "seed=${foo}": r"Interpolation key 'foo' not found; refer to a key that exists, and type \\\$\{ where a name has",
    "output.latents=maybe": r"output.latents=maybe: must be true or false",
    "model.posterior=modus": r"model.posterior=modus: must be one of mode, sample",
    "model=folder": r"model.path=: has no value; give one: model.path=...",
    "model=nope": r"model=nope: no such choice; choose from: allegro, .*, folder, hub, .*, tiny, ",
    "source=video": r"source.path=: has no value; give one: source.path=...",
    "source.size=12x": r"source.size=12x: must be",
    "source.frames=0": r"source.frames=0: must be at least 1",
    "source.fps=0": r"source.fps=0: must be",
    "noise.scale=0.1,0.5": r"Ambiguous value for argument 'noise.scale=0.1,0.5'; add -m in front for a sweep",
    "noise.channels=3": r"noise.channels=3: must be a list in brackets, as \[0,1\]",
    "source.path=clip.mp4": r"source.path=clip.mp4: this source has no such setting, source=video, videos and latents have; add source=video",
    "source=clip.mp4": r"source=clip.mp4: no such choice; .*; for a file: source=video source.path=FILE",
    "manipulation.noise.scale=1": r"manipulation.noise.scale=1: a manipulation is set under its own name; type noise.scale=1",
    "model.path=DIR": r"model.path=DIR: this model has no such setting, model=folder and file have; add model=folder",
    "manipulation=null": r"manipulation=null: must be the name of a choice, or a list of names; as in manipulation=none",
    "manipulation=[[noise]]": r"manipulation=\[\[noise\]\]: must be the name of a choice, or a list of names; as in",
    "manipulation=[5,noise]": r"manipulation=\[5,noise\]: must be the name of a choice, or a list of names; as in",
    "+noise.scale.a=1": r"noise.scale=.*: must be a number or a schedule; leave it out for the default",
    "source.size=256,256": r"Ambiguous value .*; add -m in front for a sweep, or .* twice: source.size='\"256,256\"'",
    "+manipulation=[noise,noise]": r"manipulation=\[noise,noise\]: names one twice; give the second one a name",
    "device.threads=100000": r"device.threads=100000: must be at least 0 and at most 256",
    "experiment=nope": r"experiment=nope: no such choice; choose from: all_manipulations, batch_sizes, ",
    "device=tpu": r"device=tpu: no such choice; did you mean cpu\? choose from: auto, cpu, cuda, mps",
    "manipulation=noise,blur": r"manipulation=noise,blur: must be one name, or a list; 'manipulation=\[noise,blur\]' is a chain, and with -m in front each is a run",
    "target.psnr_db=1e9": r"target.psnr_db=1000000000.0: must be more than 0 and at most 150 dB",
    "hydra.job.name=a/b": r"hydra.job.name=a/b: names the log file; give a short name without a folder",
    "hydra.searchpath=[pkg://evil]": r"hydra.searchpath=pkg://evil: may name folders only",
    "source.fps=29,97": r"Ambiguous value for argument 'source.fps=29,97'; add -m in front for a sweep",
    "+model._target_=os.system": r"model._target_=os.system: model has no such setting",
}


def said_in_one_line(result: subprocess.CompletedProcess[str]) -> str:
    """Check the form of a mistake and give its sentence."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert "Traceback" not in result.stdout
    return lines[0].removeprefix("error: ")


def videos_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix in (".mp4", ".json", ".png", ".html", ".csv")]


@pytest.mark.parametrize("typed", MISTAKES)
@pytest.mark.slow
def test_a_mistake_is_one_line_with_the_cure(typed: str, type_command: Command, tmp_path: Path) -> None:
    result = type_command("run.py", typed, folder=tmp_path / "run")
    assert re.match(MISTAKES[typed], said_in_one_line(result)), result.stderr
    assert result.returncode == 1
    assert videos_below(tmp_path) == []


@pytest.mark.slow
def test_a_folder_that_hydra_would_take_for_a_reference_is_refused_at_once(
    type_command: Command, tmp_path: Path
) -> None:
    (tmp_path / "a ${b}").mkdir()
    for words, where in (((), tmp_path / "a ${b}"), (("hydra.run.dir=a \\${b}",), tmp_path)):
        done = type_command(str(REPOSITORY / "run.py"), *words, where=where)
        assert re.search(r"Hydra would look up what .* in this folder's name; choose", said_in_one_line(done))
        assert done.returncode == 2
    assert videos_below(tmp_path) == []


@pytest.mark.slow
def test_what_hydras_own_parser_refuses_ends_with_2(type_command: Command, tmp_path: Path) -> None:
    result = type_command("run.py", "noise.scale={", folder=tmp_path / "run")
    assert result.returncode == 2
    assert "cannot read 'noise.scale={'" in said_in_one_line(result)
    assert "put a value with special characters in quotes twice" in result.stderr


@pytest.mark.parametrize(
    ("word", "hint"), [("sd", "model=sd"), ("plasma", "source=plasma"), ("echo", "manipulation=echo"), ("0.5", "noise.scale=0.5"),
     ("clip.mp4", "source=video source.path=clip.mp4"), ("tests", "source=video source.path=tests"),
     ("my clip (1).MP4", "source=video 'source.path=my clip (1).MP4'"), ("../shot.0001.exr", "source=video source.path=../shot.0001.exr")]
)  # fmt: skip
def test_a_word_alone_is_shown_how_it_is_typed(
    word: str, hint: str, type_command: Command, tmp_path: Path
) -> None:
    result = type_command("run.py", word, folder=tmp_path / "run")
    assert said_in_one_line(result) == f"cannot read '{word}': a setting is typed as KEY=VALUE, as in {hint}"
    assert result.returncode == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["noise.scale", "0.5"], "cannot read 'noise.scale': a setting is typed as KEY=VALUE, as in noise.scale=..."),
        (["train"], "cannot read 'train': a setting is typed as KEY=VALUE, and a command as vae-experiments train"),
        (["a" * 500], f"cannot read '{'a' * 250}"),
        (["--noise.scale=1"], "--noise.scale=1: a setting has no dashes in front; type noise.scale=1"),
        (["seed=1", "--nope"], "--nope: no such flag; a setting is typed as KEY=VALUE, and --help lists all of them"),
        (["-x"], "-x: no such flag; a setting"),
        (["--config-path"], "--config-path/-cp: expected one argument; --hydra-help lists what each flag takes"),
        (["--info=x"], "--info/-i: invalid choice: 'x' (choose from "),
        (["noise.scale=\u22120.5"], "has quotes, dashes or spaces of a text editor; type plain ones: noise.scale=-0.5"),
        (["manipulation=\u2018noise\u2019"], "of a text editor; type plain ones: manipulation='noise'"),
        (["\u2014m"], "of a text editor; type plain ones: -m"),
        (["noise.scale=1 seed=2"], "; type each setting in quotes of its own"),
        (["noise.scale=\x01"], "has a sign that a value cannot have; put a value"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line_that_says_how_it_is_typed(
    words: list[str], sentence: str, type_command: Command, tmp_path: Path
) -> None:
    result = type_command(str(REPOSITORY / "run.py"), *words, where=tmp_path)
    assert sentence[:300] in said_in_one_line(result)
    assert result.returncode == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "value", "letters", "most"),
    [
        ("noise.channels", f"[{'1,' * 40_000}1]", 80_018, 4000),
        ("noise.scale", "a" * 100_000, 100_012, 20_000),
    ],
    ids=["a list", "a text"],
)
def test_a_value_that_would_take_minutes_to_read_is_refused_at_once(
    setting: str, value: str, letters: int, most: int, type_command: Command, tmp_path: Path
) -> None:
    result = type_command("run.py", f"{setting}={value}", folder=tmp_path / "run", timeout=60)
    sentence = f"has {letters} letters, and {most} are read in one word; give a shorter value"
    assert said_in_one_line(result) == f"{setting}={value[:40]}...: {sentence}"
    assert result.returncode == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ("noise: {scael: 1}", "noise.scael in experiment/wrong.yaml: no such setting; did you mean scale? choose"),
        ("noise: {scale: [1, 2]}", "noise.scale in experiment/wrong.yaml: must be a number or a schedule; correct"),
        ("hydra: {launcher: {evil: 1}}", "hydra.launcher.evil in experiment/wrong.yaml: no such setting; take it out"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_names_the_file_and_the_setting(
    block: str, sentence: str, type_command: Command, tmp_path: Path
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "wrong.yaml").write_text(f"# @package _global_\n{block}\n")
    result = type_command(
        "run.py", "--config-dir", str(tmp_path), "experiment=wrong", folder=tmp_path / "run"
    )
    assert said_in_one_line(result).startswith(sentence)
    assert result.returncode == 1


def test_a_wrong_source_is_told_of_before_the_model_is_loaded(type_command: Command, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("no video")
    words = ("source=video", f"source.path={tmp_path / 'clip.mp4'}")
    result = type_command("run.py", *words, folder=tmp_path / "run")
    assert "this is a text, not a video" in said_in_one_line(result)
    assert "loading the model" not in result.stdout


@pytest.mark.parametrize(
    "command", ["run", "train", "analysis", "download", "doctor", "benchmark", "gallery"]
)
def test_every_command_refuses_a_strange_flag_in_one_line(
    command: str, type_command: Command, tmp_path: Path
) -> None:
    result = type_command("-m", "vae_experiments", command, "--nope", where=tmp_path)
    assert said_in_one_line(result).startswith("--nope: no such flag; ")
    assert result.returncode == 2


@pytest.mark.slow
def test_help_explains_every_choice_that_is_named_beside_it(type_command: Command) -> None:
    said = type_command("run.py", "source=video", "manipulation=[noise]", "--help").stdout
    assert "video: Reads a video file" in said
    assert re.search(r"source\.start=0 +where to begin, in seconds; at least 0\n", said)
    assert re.search(r"source\.path= +the file, or the folder of numbered pictures\n", said)
    assert re.search(r"noise\.scale=0\.5 +strength of the noise", said)
    training = type_command("-m", "vae_experiments.training", "training=vae", "--help").stdout
    assert re.search(r"training\.steps=18000 +how many updates", training)


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has a GPU")
def test_an_explicit_device_is_never_silently_replaced(type_command: Command, tmp_path: Path) -> None:
    result = type_command("run.py", "device=cuda", folder=tmp_path / "run")
    assert said_in_one_line(result).startswith(
        "device=cuda: torch finds no such device here; use device=auto, or one of: cpu"
    )
    assert result.returncode == 1


def test_the_mistake_stands_in_the_log_of_the_run(type_command: Command, tmp_path: Path) -> None:
    type_command("run.py", "noise.scale=-1", folder=tmp_path / "run")
    assert "noise.scale=-1: must be at least 0" in (tmp_path / "run" / "run.log").read_text()


def test_hydra_full_error_shows_the_traceback(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "run.py", "noise.scael=1", f"hydra.run.dir={tmp_path}"],
        cwd=REPOSITORY,
        env={**os.environ, "HYDRA_FULL_ERROR": "1"},
        capture_output=True,
        text=True,
    )
    assert "Traceback" in result.stderr


def test_a_finished_run_is_never_written_over(type_command: Command, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    result = type_command("run.py", folder=tmp_path)
    assert "holds metrics.json, which is not this run's; choose another folder" in said_in_one_line(result)
    assert (tmp_path / "metrics.json").read_text() == "{}"


@pytest.mark.parametrize("flags", [("--help",), ("--cfg", "job")])
def test_questions_are_answered_at_once(flags: tuple[str, ...], type_command: Command) -> None:
    type_command("run.py", *flags, fresh=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = type_command("run.py", *flags, fresh=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # The processor's time and not the clock's: other work on the machine must not fail this test.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
    assert result.returncode == 0
    assert "noise" in result.stdout
    assert "schema" not in result.stdout


TINY_RUN = ("run.py", "source.size=32", "source.frames=3", "output=minimal")


@pytest.mark.slow
def test_two_runs_started_in_one_second_never_share_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "run.py"), "noise.scale=-1"]
    runs = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) for _ in range(6)]
    for run in runs:
        run.wait(60)
    assert len(list((tmp_path / "outputs").glob("*/*"))) == 6


def test_a_saved_config_runs_again_to_the_same_numbers(type_command: Command, tmp_path: Path) -> None:
    settings = ("noise.scale=0.3", "seed=5", "noise.channels=[1,2]", "source=bars", "batch_size=2")
    first = type_command(*TINY_RUN, *settings, folder=tmp_path / "first")
    assert first.returncode == 0, first.stderr
    again = type_command(
        "run.py",
        "--config-path",
        str(tmp_path / "first" / ".hydra"),
        "--config-name",
        "config",
        folder=tmp_path / "again",
        fresh=True,
    )
    assert again.returncode == 0, again.stderr
    numbers = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("first", "again")]
    for metrics in numbers:
        del metrics["timing"], metrics["peak_memory_bytes"]
    assert numbers[0] == numbers[1]
    assert numbers[0]["seed"] == 5
    files = [(tmp_path / name / "reconstructed_with_noise.mp4").read_bytes() for name in ("first", "again")]
    assert files[0] == files[1]


@pytest.mark.slow
def test_a_saved_config_that_runs_again_on_another_content_warns_with_both_digests(
    type_command: Command, tmp_path: Path
) -> None:
    film = write_film(tmp_path / "video.mkv", count=2)
    words = ["run.py", "source=video", f"source.path={film}", "source.size=32"]
    first = type_command(*words, folder=tmp_path / "first")
    assert first.returncode == 0, first.stderr

    def repeated(name: str, *more: str) -> tuple[str, str]:
        saved = ("--config-path", str(tmp_path / "first" / ".hydra"), "--config-name", "config")
        again = type_command("run.py", *saved, *more, folder=tmp_path / name)
        assert again.returncode == 0, again.stderr
        said = json.loads((tmp_path / name / "provenance.json").read_text())
        return (tmp_path / name / "run.log").read_text(), said["source_digest"]

    log, before = repeated("same")
    assert "other content" not in log
    write_film(film, count=3)
    log, now = repeated("other")
    assert f"source: other content than in the run that is repeated: digest {now} now, {before} in its" in log
    log, _ = repeated("asked for", "source.size=40")
    assert "other content" not in log


@pytest.mark.slow
def test_a_saved_config_still_refuses_what_is_wrong(type_command: Command, tmp_path: Path) -> None:
    config = type_command("run.py", "--cfg", "job", "noise.scale=0.3").stdout
    (tmp_path / "config.yaml").write_text(config.replace("scale: 0.3", "scale: -3"))
    result = type_command(
        "run.py", "--config-path", str(tmp_path), "--config-name", "config", folder=tmp_path / "run"
    )
    assert "noise.scale=-3: must be at least 0" in said_in_one_line(result)


def test_the_last_of_two_values_is_the_one_that_counts(type_command: Command, tmp_path: Path) -> None:
    result = type_command("run.py", "source.frames=2", "source.frames=1.5", folder=tmp_path / "run")
    assert said_in_one_line(result).startswith("source.frames=1.5: must be a whole number")


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/run"])
def test_a_folder_that_cannot_be_made_is_one_sentence(place: str, type_command: Command) -> None:
    result = type_command("run.py", folder=place)
    assert said_in_one_line(result).startswith(f"cannot write {place} (")
    assert result.returncode == 1


def test_a_finished_sweep_is_never_written_over(type_command: Command, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "metrics.json").write_text("{}")
    result = type_command("run.py", "-m", "noise.scale=1,2", f"hydra.sweep.dir={tmp_path}")
    assert "holds a finished run already" in said_in_one_line(result)


FAULT = """
import runpy, sys, vae_experiments.pipeline.experiment as module
def run(*_): raise TypeError('a fault')
module.Experiment.run = run
sys.argv = ['run.py', *sys.argv[1:]]
runpy.run_path('run.py', run_name='__main__')
"""


@pytest.mark.slow
def test_a_fault_of_the_program_is_one_line_that_says_where_its_traceback_is(tmp_path: Path) -> None:
    words = [sys.executable, "-c", FAULT, f"hydra.run.dir={tmp_path}"]
    result = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 1
    assert said_in_one_line(result) == (
        "internal: TypeError: a fault; this is a fault of vae_experiments, "
        f"its traceback is in {tmp_path / 'run.log'}"
    )
    assert "Traceback" in (tmp_path / "run.log").read_text()
    assert "TypeError: a fault" in (tmp_path / "run.log").read_text()


@pytest.mark.slow
def test_a_fault_in_a_job_is_said_in_the_same_way(tmp_path: Path) -> None:
    words = [sys.executable, "-c", FAULT, "-m", "seed=1,2", f"hydra.sweep.dir={tmp_path}"]
    result = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    for job in "01":
        sentence = f"this is a fault of vae_experiments, its traceback is in {tmp_path / job / 'run.log'}"
        assert sentence in result.stderr
        assert "Traceback" in (tmp_path / job / "run.log").read_text()


def test_a_log_that_cannot_be_written_is_one_line(type_command: Command, tmp_path: Path) -> None:
    (tmp_path / "run.log").mkdir()
    result = type_command(*TINY_RUN, folder=tmp_path)
    assert "holds run.log, which is not this run's; choose another folder" in said_in_one_line(result)
    assert result.returncode == 1
    assert videos_below(tmp_path) == []


@pytest.mark.parametrize("name", ["a\x1b[31mred\nline.mp4", "bad\udcff.mp4", "x" * 20_000])
def test_a_name_that_a_terminal_would_act_on_is_written_out(
    name: str, type_command: Command, tmp_path: Path
) -> None:
    words = ("source=video", f"source.path='{name}'", f"hydra.run.dir={tmp_path / 'run'}")
    said = said_in_one_line(type_command("run.py", *words, fresh=True))
    assert said.isprintable()
    assert len(said) < 1300


@pytest.mark.parametrize("kind", ["[a]", "{a: b}", "5", "true"])
@pytest.mark.slow
def test_a_saved_config_whose_kind_is_no_name_is_one_line(
    kind: str, type_command: Command, tmp_path: Path
) -> None:
    config = type_command("run.py", "--cfg", "job").stdout
    (tmp_path / "config.yaml").write_text(config.replace("kind: moving_circle", f"kind: {kind}"))
    result = type_command(
        "run.py", "--config-path", str(tmp_path), "--config-name", "config", folder=tmp_path / "r"
    )
    assert re.match(r"source=.*: no such choice; choose from: bars, ", said_in_one_line(result))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["source=video", "source.path=glob(clips/*.mp4)"],
            r"source.path=glob\(clips/\*.mp4\): glob\(\) chooses among the yaml files of a group, "
            r"as in manipulation=glob\(n\*\), and finds none; name files one by one: source.path=a.mp4,b.mp4",
        ),
        (["manipulation=glob(qqq*)"], r"manipulation=glob\(qqq\*\): glob\(\) chooses among"),
        (["noise.scale=range(5,1)"], r"noise.scale=range\(5,1\): stands for no value at all; give some"),
    ],
)
def test_a_sweep_over_nothing_is_one_true_line(
    words: list[str], sentence: str, type_command: Command, tmp_path: Path
) -> None:
    result = type_command("run.py", "-m", *words, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert re.match(sentence, said_in_one_line(result))
    assert "Launching" not in result.stdout
    assert not (tmp_path / "sweep").exists()


SECRET = "sk-secret-123"


@pytest.mark.parametrize(
    "setting",
    [
        "noise.scale",
        "noise.correlation",
        "model.posterior",
        "source.size",
        "noise.mask",
        "device.name",
        "noise.channels",
    ],
)
def test_a_secret_of_the_environment_is_neither_shown_nor_written(
    setting: str, type_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_EXPERIMENTS_CACHE", SECRET)  # the one that a started process reads anew
    result = type_command("run.py", f"{setting}=${{oc.env:VAE_EXPERIMENTS_CACHE}}", folder=tmp_path / "run")
    assert said_in_one_line(result).startswith(f"{setting}=${{oc.env:VAE_EXPERIMENTS_CACHE}}: "), (
        result.stderr
    )
    written = b"".join(file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert SECRET not in result.stdout + result.stderr + written.decode()


@pytest.mark.slow
def test_help_ends_with_settings_in_words_and_with_commands_to_try(type_command: Command) -> None:
    for words in (
        ["run.py"],
        ["-m", "vae_experiments.analysis"],
        ["-m", "vae_experiments", "benchmark"],
    ):
        said = type_command(*words, "--help").stdout
        assert "kind:" not in said
        assert re.search(r"\n  model\.posterior=mode +take the mode of the posterior", said)
        assert re.search(r"\n  (source\.size=256|benchmark\.\w+=\S+) +\S+", said)
    said = type_command("run.py", "--help").stdout
    assert re.search(r"\n  noise\.scale=0\.5 +strength of the noise\n", said)
    assert re.search(r"\n  batch_size=8 +how many go through the network at once\n", said)
    for line in said.partition("For example:")[2].strip().splitlines():
        assert line.strip().startswith("python run.py ")


@pytest.mark.slow
def test_a_reader_who_leaves_early_causes_no_traceback(tmp_path: Path) -> None:
    words = shlex.join([sys.executable, *TINY_RUN, f"hydra.run.dir={tmp_path / 'run'}"])
    result = subprocess.run(f"{words} | true", shell=True, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.stderr == ""
    assert (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("words", ["run.py", "-m vae_experiments.training"])
def test_help_lists_the_choices_of_its_own_command_and_may_be_cut_short(words: str) -> None:
    command = shlex.join([sys.executable, *words.split(), "--help"])
    result = subprocess.run(
        f"{command} | head -n 10", shell=True, cwd=REPOSITORY, capture_output=True, text=True
    )
    assert result.stderr == ""
    assert ("training: autoencoder, vae, video_vae, vqvae" in result.stdout) == ("training" in words)
    assert ("manipulation: " in result.stdout) == (words == "run.py")


@pytest.mark.slow
def test_a_saved_config_is_found_from_where_one_stands(type_command: Command, tmp_path: Path) -> None:
    first = type_command(*TINY_RUN, folder=tmp_path / "first")
    assert first.returncode == 0, first.stderr
    command = (str(REPOSITORY / "run.py"), "--config-path", "first/.hydra", "--config-name", "config")
    for more, sentence in (
        (["noise.scale=0.1"], ""),
        (["manipulation=none"], "error: manipulation=none: must be a block"),
    ):
        again = type_command(*command, *more, where=tmp_path)
        assert again.stderr.startswith(sentence), again.stderr
        assert (again.returncode == 0) == (not sentence)


@pytest.mark.slow
def test_a_named_experiment_is_a_sweep(type_command: Command, tmp_path: Path) -> None:
    settings = ("source.size=32", "source.frames=2", "output=minimal", f"hydra.sweep.dir={tmp_path}")
    result = type_command("run.py", "experiment=noise_ladder", *settings)
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("*/metrics.json"))) == 5


@pytest.mark.slow
def test_a_sweep_runs_every_job_and_one_failure_does_not_stop_the_others(
    type_command: Command, tmp_path: Path
) -> None:
    result = type_command(
        "run.py", "-m", *TINY_RUN[1:], "noise.scale=0.1,-1,1", f"hydra.sweep.dir={tmp_path}"
    )
    assert result.returncode == 1
    assert "noise.scale=-1: must be at least 0" in result.stderr
    assert "Traceback" not in result.stderr
    finished = sorted(path.parent.name for path in tmp_path.glob("*/metrics.json"))
    assert finished == ["0", "2"]
    costs = [
        json.loads((tmp_path / job / "metrics.json").read_text())["reconstructed_with_noise"][
            "psnr_db_against_reconstructed"
        ]
        for job in finished
    ]
    assert costs[0] > costs[1]


def test_manipulations_can_be_swept_like_any_setting(type_command: Command, tmp_path: Path) -> None:
    result = type_command(*TINY_RUN, "manipulation=none,noise,[noise]", "-m", f"hydra.sweep.dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    third = [(tmp_path / job / "reconstructed_with_noise.mp4").exists() for job in "012"]
    assert third == [False, True, True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.slow
def test_a_stopped_run_leaves_no_half_written_file(number: signal.Signals, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "run.py",
        "source.frames=2000",
        "source.size=64",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    run = subprocess.Popen(
        command, cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("run/.original*.mp4")) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(number)
    _, said = run.communicate(timeout=20)
    assert run.returncode == 128 + number
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}[number]
    assert said.splitlines() == [
        f"{word}: ending, what is not finished is not kept; a second time ends at once",
        f"error: {word}; what was not finished is not kept",
    ]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {".hydra", "run.log"}
