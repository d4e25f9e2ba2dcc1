"""The command that serves the page, before it serves anything."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest


def test_without_gradio_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from vae_experiments.web import command

    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert command.main([]) == 1
    said = capsys.readouterr()
    assert said.err == (
        "error: the page needs gradio, which is not installed; pip install 'vae_experiments[web]'\n"
    )
    assert said.out == ""


def test_the_page_answers_to_local_names_only_unless_another_host_is_given() -> None:
    from vae_experiments.web.command import names

    assert names("127.0.0.1", 7860) == ["127.0.0.1:7860", "[::1]:7860", "localhost:7860"]
    assert "192.0.2.7:80" in names("192.0.2.7", 80)
    assert not [name for name in names("0.0.0.0", 80) if name.startswith("0.")]


@pytest.mark.parametrize(
    "port", ["70000", "65536", "-1", "abc", "1.5", "²", "", "9" * 5000, "0x50", "000000080"]
)
def test_a_port_that_there_cannot_be_is_refused_in_one_line(port: str, capsys: Any) -> None:
    from vae_experiments.web import command

    with pytest.raises(SystemExit) as ended:
        command.main([f"--port={port}"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --port: ")
    assert "is no port, which is a number from 0 to 65535" in line


@pytest.mark.parametrize("words", [["--port"], ["--nosuch"], ["x"], ["--host"]])
def test_words_that_the_command_does_not_know_are_one_line_as_well(words: list[str], capsys: Any) -> None:
    from vae_experiments.web import command

    with pytest.raises(SystemExit):
        command.main(words)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


def test_a_port_that_cannot_be_had_is_one_line_with_the_reason(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vae_experiments.web import command

    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert command.main(["--port", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"error: cannot listen on 127.0.0.1:{port} (address already in use); choose another one with --port or --host\n"
    )

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert command.main(["--port", "80"]) == 1
    assert "127.0.0.1:80 (permission denied); choose another one" in capsys.readouterr().err


def test_a_folder_of_results_that_cannot_be_is_said_before_anything_is_served(
    capsys: Any, tmp_path: Path
) -> None:
    from vae_experiments.web import command

    (tmp_path / "file").write_text("mine")
    assert command.main(["--port", "0", "--outputs", str(tmp_path / "file")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: --outputs: cannot use {tmp_path / 'file'} (file exists); choose another folder"
