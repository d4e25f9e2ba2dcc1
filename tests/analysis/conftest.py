from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import build_network


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dc")
    build_network("AutoencoderDC").save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def temporal_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wan")
    build_network("AutoencoderKLWan").save_pretrained(folder)
    return folder
