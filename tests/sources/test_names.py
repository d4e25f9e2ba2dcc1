from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.sources.conftest import pixels_of
from vae_experiments.errors import SourceError
from vae_experiments.sources import Video

if TYPE_CHECKING:
    from pathlib import Path

STRANGE_NAMES = [
    "a\nb.mkv",
    "-rf.mkv",
    "a%03d.mkv",
    "12:30.mkv",
    "file:x.mkv",
    "a|b.mkv",
    "a[1]*.mkv",
    " two  spaces ",
    "x" * 251 + ".mkv",
    "bad\udcff.mkv",
    "a,b=c{d}[e]'\"$#.mkv",
    "\u6620\u753b \u00e9\u00df.mkv",
    "~.mkv",
]
ADDRESSES = [
    "http://127.0.0.1:9/x.mp4",
    "https://example.com/a.mp4",
    "file:/etc/passwd",
    "concat:a|b",
    "data:video/mp4;base64,AAAA",
    "subfile,,start,0,end,9,,:x",
    "<video0>",
    "imageio:cockatoo.mp4",
    "pipe:0",
    "",
    " ",
    "a\0b",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_a_strange_name_is_only_a_name(here: Path, film: Path, name: str) -> None:
    shutil.copy(film, here / name)
    source = Video(path=name)
    assert source.info.frames == 24
    assert len(pixels_of(source)) == 24
    assert len(source.digest()) == 64


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_address_is_not_a_local_file(here: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a name went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(SourceError, match="not a local file"):
        _ = Video(path=name).info


def test_a_missing_file_suggests_a_near_name(here: Path, film: Path) -> None:
    shutil.copy(film, here / "hollyday.mkv")
    with pytest.raises(
        SourceError, match=r"source\.path=holiday\.mkv: no such file; did you mean hollyday\.mkv\?"
    ):
        _ = Video(path="holiday.mkv").info
    with pytest.raises(SourceError, match="no such file; check the name"):
        _ = Video(path="zzz").info
    with pytest.raises(SourceError, match="no such file, and no such folder"):
        _ = Video(path="nowhere/a.mkv").info


def test_a_pipe_and_a_device_never_hang(here: Path) -> None:
    os.mkfifo("pipe.mp4")
    for name in ("pipe.mp4", "/dev/zero"):
        with pytest.raises(SourceError, match="not a regular file"):
            _ = Video(path=name).info


def test_links_are_followed_and_broken_ones_named(here: Path, film: Path) -> None:
    (here / "good.mkv").symlink_to(film)
    assert Video(path="good.mkv").info.frames == 24
    (here / "loop.mkv").symlink_to("loop.mkv")
    (here / "broken.mkv").symlink_to("nowhere")
    with pytest.raises(SourceError, match="symbolic links"):
        _ = Video(path="loop.mkv").info
    with pytest.raises(SourceError, match="a link to a file that does not exist"):
        _ = Video(path="broken.mkv").info


def test_a_home_folder_is_found_as_a_shell_would_find_it(
    here: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    shutil.copy(film, here / "clip.mkv")
    assert Video(path="~/clip.mkv").info.frames == 24


def test_a_very_long_name_makes_no_long_message(here: Path) -> None:
    for name in ("y" * 300, "folder/" * 40 + "clip.mp4", "new\nline" * 20):
        with pytest.raises(SourceError) as caught:
            _ = Video(path=name).info
        assert len(str(caught.value)) <= 300
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"),
    reason="root may read everything, and cannot lay that down here",
)
def test_a_file_that_may_not_be_read_is_named(here: Path, film: Path) -> None:
    shutil.copy(film, here / "mine.mkv")
    (here / "mine.mkv").chmod(0)
    rights = "-dac_override,-dac_read_search"
    as_anybody = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"] if os.geteuid() == 0 else []
    code = "from vae_experiments.sources import Video; Video(path='mine.mkv').info"
    refused = subprocess.run([*as_anybody, sys.executable, "-c", code], capture_output=True, text=True)
    assert "SourceError: source.path=mine.mkv: permission denied; allow reading it" in refused.stderr
