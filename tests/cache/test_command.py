"""``vae-experiments cache`` lists, verifies and clears."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cache.test_store import NAME, OTHER, PLENTY, computed
from vae_experiments.cache import CachedStream, Store
from vae_experiments.commands.cache import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (NAME, OTHER):
        list(CachedStream(Store(tmp_path / "store", PLENTY), name).through(computed([])))
    return tmp_path / "store"


def typed(action: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    status = main([action, "--dir", str(folder)])
    return status, capsys.readouterr().out.splitlines()


def test_list_shows_every_entry_with_its_size(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = typed("list", folder, capsys)
    assert status == 0
    assert {line.split()[-1] for line in lines[:-1]} == {NAME, OTHER}
    assert lines[-1].startswith("2 entries, 0.0 MB, in ")


def test_verify_throws_away_what_is_damaged_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("verify", folder, capsys) == (0, [f"2 entries are whole, in {folder}"])
    file = next((folder / NAME).glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])
    status, lines = typed("verify", folder, capsys)
    assert status == 1
    assert lines == [f"damaged, thrown away: {NAME}", f"1 entries are whole, in {folder}"]
    assert typed("verify", folder, capsys)[0] == 0


def test_clear_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = typed("clear", folder, capsys)
    assert status == 0
    assert lines[0].startswith("2 entries thrown away")
    assert list(folder.iterdir()) == []
    assert typed("list", folder, capsys)[1] == [f"0 entries, 0.0 MB, in {folder}"]


def test_a_cache_that_was_never_used_is_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("list", "verify", "clear"):
        assert typed(action, tmp_path / "nowhere", capsys)[0] == 0


@pytest.mark.parametrize("words", [[], ["lst"], ["list", "--nope"], ["list", "more"], ["a" * 10_000]])
def test_a_mistake_is_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.endswith("; try vae-experiments cache --help\n")
    assert said.count("\n") == 1
