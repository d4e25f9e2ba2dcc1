"""The page of an analysis: its numbers and pictures, from disk and without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vae_experiments.files import write_text
from vae_experiments.writers.pages.run_report import PAGE as REPORT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Both pages look alike because they have one style sheet.
STYLE = REPORT[REPORT.index("<style>") : REPORT.index("</style>")]
PAGE = (
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
"""
    + STYLE
    + """figure { margin-top: 1.6rem; } figcaption { max-width: 46rem; } img, video { max-width: 860px; display: block; }
video { max-width: 512px; } td { font-variant-numeric: tabular-nums; }
</style></head><body>
<h1>{{ title }}</h1>
<p class="soft">{{ subtitle }}</p>
{% for remark in remarks %}<p>{{ remark }}</p>
{% endfor %}{% for name, caption in summary.items() %}<p><b>{{ name }}</b> {{ caption }}</p>
{% endfor %}{% if video %}<h2>The latents as colours</h2>
<figure><video src="{{ video }}" muted loop autoplay playsinline controls></video><figcaption>The first three
principal components of each cell as red, green and blue. Colours have no meaning of their own: alike means alike
along these three, and each is stretched to the whole range.</figcaption></figure>
{% endif %}{% for file, (name, caption) in pictures.items() %}<h2>{{ name }}</h2>
<figure><img src="{{ file }}" alt="{{ name }}"><figcaption>{{ caption }}</figcaption></figure>
{% endfor %}<h2>Each channel</h2>
<div class="table"><table><tr>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for value in row %}<td>{{ value }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
<h2>The analysis</h2>
<p>In this folder: {% for file in files %}<a href="{{ file }}">{{ file }}</a>{% if not loop.last %}, {% endif %}{% endfor %}</p>
<div class="table"><table class="facts">{% for name, value in facts.items() %}<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}</table></div>
<h2>The command</h2>
<pre>{{ command }}</pre>
</body></html>
"""
)


@dataclass(frozen=True)
class AnalysisPage:
    """What stands on the page; files are named relative to it."""

    title: str
    subtitle: str
    remarks: Sequence[str]
    """A paragraph each."""
    summary: Mapping[str, str]
    """The numbers to read first, each with what it is."""
    video: str | None
    """The latents as colours, if they were painted."""
    pictures: Mapping[str, tuple[str, str]]
    """By file, a heading and a caption."""
    columns: Sequence[str]
    rows: Sequence[Sequence[float | int | None]]
    """A row a channel; None where a number is not defined."""
    facts: Mapping[str, object]
    files: Sequence[str]
    """All of the folder."""
    command: str


def write_analysis_page(path: Path, content: AnalysisPage) -> None:
    """Write the page; every text is escaped."""
    from jinja2 import Environment

    page = Environment(autoescape=True).from_string(PAGE)
    rows = [[shown(value) for value in row] for row in content.rows]
    write_text(path, page.render(vars(content) | {"rows": rows}))


def shown(value: float | None) -> str:
    """Write a number as a table shows it: whole numbers whole, others to three places, ``-`` for none."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
