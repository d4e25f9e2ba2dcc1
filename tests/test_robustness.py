"""The robustness study runs over small networks, and the pages of its numbers are as the command writes them."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REPOSITORY
from tests.sources.conftest import write_film
from tests.test_experiments import composed, hydra_of
from vae_experiments.sweep.paper_tables import PaperTable

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

PAGE = (REPOSITORY / "docs" / "robustness.md").read_text()
LEADERBOARD = (REPOSITORY / "docs" / "leaderboard.md").read_text()
CELL = re.compile(r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\](?: \(\d+ of \d+\))?")
TABLES = re.findall(r"^## (.*)\n\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
MEASURED = [(title, text) for title, text in TABLES if text.startswith("| manipulation / ")]


def table_of(title: str, text: str) -> PaperTable:
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines())
    return PaperTable(title, head, rows)


def swept() -> list[str]:
    return str(hydra_of("robustness").sweeper.params.manipulation).split(",")


def test_the_page_has_a_table_a_number_as_the_command_writes_it() -> None:
    assert [title for title, _ in MEASURED][:3] == ["PSNR (dB)", "SSIM", "flicker (levels)"]
    names = swept()
    for title, text in MEASURED:
        table = table_of(title, text)
        assert table.as_markdown() == f"## {title}\n\n{text}"
        assert [row[0] for row in table.rows] == names
        for row in table.rows:
            assert len(row) == len(table.head)
            for cell in filter(None, row[1:]):
                mean, low, high = map(float, CELL.fullmatch(cell).groups())
                assert low <= mean <= high, (title, row)


def test_the_page_says_at_which_strength_each_manipulation_was_tried() -> None:
    said = dict(re.findall(r"^\| `(\S+)` \| `(\S+)` \|", PAGE, re.MULTILINE))
    assert list(said) == [name for name in swept() if name != "none"]
    others = composed(f"manipulation=[{','.join(name for name in said if name != 'noise')}]")
    for name, setting in said.items():
        address, value = setting.split("=")
        block, key = address.split(".")
        assert str((composed() if name == "noise" else others)[block][key]) == value, name


def test_both_noises_are_one_manipulation_at_two_scales() -> None:
    weak, usual = (composed(f"manipulation=[{name}]") for name in ("weak/noise", "noise"))
    assert (weak.noise.scale, usual.noise.scale) == (0.2, 0.5)
    weak.noise.scale = usual.noise.scale
    assert weak == usual


def test_the_leaderboard_is_sorted_and_keeps_its_limit() -> None:
    rows = [
        line.strip("|").split("|") for line in LEADERBOARD.splitlines() if re.match(r"\| \S+ \| \d", line)
    ]
    assert len(rows) >= 4
    sizes = [float(row[1]) for row in rows]
    quality = [float(row[2].split()[0]) for row in rows]
    assert quality == sorted(quality, reverse=True)
    assert max(sizes) <= 6
    assert all(CELL.fullmatch(row[2].strip()) for row in rows)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_study_is_resumed_and_its_tables_have_a_column_a_model(
    type_command: Callable[..., subprocess.CompletedProcess[str]],
    network_folders: dict[str, Path],
    tmp_path: Path,
) -> None:
    (tmp_path / "clips").mkdir()
    for number in range(2):
        write_film(tmp_path / "clips" / f"{number}.mp4", 4, codec="libx264", pix_fmt="yuv420p")
    models = [str(network_folders[name]) for name in ("AutoencoderKL", "AutoencoderKLWan")]
    words = ("run.py", "experiment=robustness", "manipulation=none,weak/noise,noise", "source.size=32")
    words += (f"source.path={tmp_path / 'clips'}", "model=folder", f"model.path={','.join(models)}")
    words += ("source.frames=4", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    done = type_command(*words, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "12 of 12 jobs finished" in done.stdout
    tables = re.findall(
        r"^## (.*)\n\n((?:\|.*\n)+)", (tmp_path / "sweep" / "sweep_summary.md").read_text(), re.M
    )
    table = table_of(*tables[0])
    assert table.head == ["manipulation / model.path", *models]
    assert [row[0] for row in table.rows] == ["none", "weak/noise", "noise"]
    weak, usual = (float(CELL.match(table.rows[row][1])[1]) for row in (1, 2))
    assert weak != usual

    whole = (tmp_path / "sweep" / "sweep_summary.md").read_bytes()
    shutil.rmtree(tmp_path / "sweep" / "7")
    again = type_command(*words, "sweep.resume=last", timeout=280)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "sweep" / "sweep_summary.md").read_bytes() == whole
