"""The command that serves the page, before it serves anything."""

from __future__ import annotations

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
