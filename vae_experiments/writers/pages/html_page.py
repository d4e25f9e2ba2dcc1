"""HTML pages out of the templates beside this module: one style, every text escaped, no network."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vae_experiments.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TEMPLATES = "writers/pages/templates"


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> None:
    """Write the page that a template makes of what it is given; a link in it goes through the filter ``address``."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("vae_experiments", TEMPLATES)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters["address"] = address
    write_text(path, environment.get_template(template).render(content))


def address(file: str) -> str:
    """Return a path as a link: what means something else in one (``#``, ``?``, ``%``) is quoted."""
    return quote(os.fsencode(file))
