"""The page of a sweep: verdicts, plots, the same frame of every job, a table; from disk, without a network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from vae_experiments.files import write_text
from vae_experiments.writers.pages.run_report import PAGE as REPORT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vae_experiments.writers.pages.sweep_contact_sheet import Sheet

# All pages look alike because they have one style sheet.
STYLE = REPORT[REPORT.index("<style>") : REPORT.index("</style>")]
PAGE = (
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
"""
    + STYLE
    + """body { max-width: 1280px; } h1, p, li, figcaption { overflow-wrap: anywhere; } p { max-width: 62rem; }
.alarm { border-left: 4px solid #d33; padding-left: .8rem; } .plot { max-width: 100%; width: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, {{ sheet.width }}px); gap: 1rem .7rem; }
.thumb { display: block; width: {{ sheet.width }}px; height: {{ sheet.height }}px; border-radius: 4px;
  background: #8882 url("{{ sheet_file|address }}") no-repeat; position: relative; }
a.thumb::after { content: "\\25b6"; position: absolute; right: 4px; bottom: 4px; padding: 0 .35rem; color: #fff;
  background: #0009; border-radius: 4px; font-size: .7rem; }
.tile figcaption { font-size: .78rem; line-height: 1.35; margin-top: .25rem; }
.tile.open { grid-column: 1 / -1; padding: .6rem; border: 1px solid var(--line); border-radius: 6px; }
.players { display: grid; gap: .7rem; }
.tile.open .thumb { width: auto; height: 1.8rem; background: none; } .tile.open .thumb::after { content: "close"; top: 0; bottom: auto; }
.players { grid-template-columns: repeat(auto-fit, minmax(min(240px, 100%), 1fr)); } .players video { max-width: 512px; }
.figure { overflow-x: auto; } @media (max-width: 600px) { .plot { max-width: none; width: 760px; } }
table { font-size: .88rem; font-variant-numeric: tabular-nums; } th, td { padding: .25rem .45rem; white-space: nowrap; }
th { vertical-align: bottom; white-space: normal; min-width: 3.4rem; }
td:first-child, th:first-child { position: sticky; left: 0; background: Canvas; padding-right: .8rem; }
th button { all: unset; cursor: pointer; font-weight: bold; } th button:focus-visible { outline: 2px solid; }
th[aria-sort="ascending"] button::after { content: " \\25b4"; } th[aria-sort="descending"] button::after { content: " \\25be"; }
.baseline td { color: var(--soft); font-style: italic; } .empty td { color: #d33; }
</style></head><body>
<h1>{{ title }}</h1>
<p class="soft">{{ subtitle }}</p>
{% for remark in remarks %}<p{% if remark.startswith("THEY DIFFER") %} class="alarm"{% endif %}>{{ remark }}</p>
{% endfor %}{% if failures %}<details class="alarm"{% if failures|length <= 8 %} open{% endif %}><summary>{{ failures|length }} not finished</summary><ul>{% for line in failures %}<li>{{ line }}</li>
{% endfor %}</ul></details>
{% endif %}<p>{% if plots %}<a href="#plots">Plots</a>, {% endif %}<a href="#frames">frames</a>, <a href="#table">table</a>.
In this folder: {% for file in files %}<a href="{{ file|address }}">{{ file }}</a>{% if not loop.last %}, {% endif %}{% endfor %}</p>
{% if plots %}<div id="plots"></div>
{% endif %}{% for plot in plots %}<h2>{{ plot.title }}</h2>
<figure><div class="figure"><a href="{{ plot.file|address }}"><img class="plot" src="{{ plot.file|address }}" alt="{{ plot.title }}"></a></div>
<figcaption class="soft">{{ plot.caption }}</figcaption></figure>
{% endfor %}<h2 id="frames">Frame {{ frame }} of every job</h2>
<p class="soft">A click on a frame plays its video beside the original; several can be open. The words lead to the run's own page.
All frames as one picture: <a href="{{ sheet_file|address }}">{{ sheet_file }}</a>.</p>
<div class="tiles">
{% for card in cards %}{% set corner = sheet.corners[loop.index0] %}<figure class="tile">
{% if card.videos %}<a class="thumb" href="{{ (card.videos.values()|list)[-1]|address }}" data-videos='{{ card.addresses()|tojson }}' title="play"{% else %}<span class="thumb"{% endif %} style="background-position: -{{ corner[0] }}px -{{ corner[1] }}px">{% if card.videos %}</a>{% else %}</span>{% endif %}
<div class="players"></div><figcaption>{% if card.link %}<a href="{{ card.link|address }}">{{ card.caption|e|replace("=", "=<wbr>"|safe) }}</a>{% else %}{{ card.caption|e|replace("=", "=<wbr>"|safe) }}{% endif %}
{% if card.score %}<br><span class="soft">{{ card.score }}</span>{% endif %}</figcaption></figure>
{% endfor %}</div>
<h2 id="table">All jobs</h2>
<p class="soft">Sorted by what was swept; a click on a column's head sorts by it. {{ note }}</p>
<div class="table"><table><thead><tr>{% for column in columns %}<th><button type="button">{{ column }}</button></th>{% endfor %}</tr></thead>
<tbody>{% for row in baselines %}{{ line(row, "baseline") }}{% endfor %}</tbody>
<tbody id="jobs">{% for row in rows %}{{ line(row, "" if row.is_finished else "empty") }}{% endfor %}</tbody></table></div>
{% if shared %}<h2>The same in every job</h2>
<pre>{{ shared }}</pre>
{% endif %}<h2>This page again</h2>
<pre>{{ command }}</pre>
<script>
for (const thumb of document.querySelectorAll("a.thumb")) thumb.onclick = (event) => {
  event.preventDefault();
  const tile = thumb.closest(".tile"), players = tile.querySelector(".players");
  if (!tile.classList.toggle("open")) { players.replaceChildren(); return; }
  const videos = Object.entries(JSON.parse(thumb.dataset.videos)).map(([name, file]) => {
    const figure = document.createElement("figure"), video = document.createElement("video"), words = document.createElement("figcaption");
    Object.assign(video, { src: file, muted: true, playsInline: true, controls: true, preload: "auto" });
    words.textContent = name; figure.append(video, words); players.append(figure);
    return video;
  });
  const together = () => { for (const video of videos) { video.currentTime = 0; video.play(); } };
  Promise.all(videos.map((video) => new Promise((done) => { video.oncanplay = video.onerror = done; }))).then(together);
  videos[0].onended = together;
};
const jobs = document.getElementById("jobs"), heads = [...document.querySelectorAll("th")];
heads.forEach((head, place) => head.querySelector("button").onclick = () => {
  const falls = head.getAttribute("aria-sort") === "ascending";
  for (const other of heads) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falls ? "descending" : "ascending");
  const rows = [...jobs.rows].map((row) => ({ row, text: row.cells[place].dataset.value ?? row.cells[place].textContent.trim() }));
  const filled = rows.filter(({ text }) => text), blank = rows.filter(({ text }) => !text);
  const order = filled.every(({ text }) => !isNaN(text)) ? (a, b) => a.text - b.text : (a, b) => a.text.localeCompare(b.text, undefined, { numeric: true });
  filled.sort((a, b) => falls ? order(b, a) : order(a, b));
  jobs.append(...[...filled, ...blank].map(({ row }) => row));
});
</script>
</body></html>
"""
)
LINE = """{% macro line(row, kind) %}<tr{% if kind %} class="{{ kind }}"{% endif %}>{% for cell in row.cells %}<td{% if cell.value is not none %} data-value="{{ cell.value }}"{% endif %}{% if cell.hint %} title="{{ cell.hint }}"{% endif %}>{% if loop.first and row.link %}<a href="{{ row.link|address }}">{{ cell.text }}</a>{% else %}{{ cell.text }}{% endif %}</td>{% endfor %}</tr>
{% endmacro %}"""


class Plot(NamedTuple):
    """A picture of the page, and what to know about it."""

    file: str
    title: str
    caption: str


class Card(NamedTuple):
    """What stands under a frame of the contact sheet, and what a click on it plays; files relative to the page."""

    caption: str
    score: str
    link: str | None
    videos: Mapping[str, str]
    """By what they are called; the last one plays where scripts are off."""

    def addresses(self) -> dict[str, str]:
        """Return the videos as a browser asks for them."""
        return {name: address(file) for name, file in self.videos.items()}


class Cell(NamedTuple):
    """What a cell of the table shows, and what it is sorted by where that is not the same."""

    text: str
    value: float | None = None
    hint: str = ""
    """More, for whoever points at it."""


class Row(NamedTuple):
    """A row of the table; its first cell leads to the job."""

    cells: Sequence[Cell]
    link: str | None
    is_finished: bool


@dataclass(frozen=True)
class SweepPage:
    """What stands on the page; files are named relative to it."""

    title: str
    subtitle: str
    remarks: Sequence[str]
    failures: Sequence[str]
    plots: Sequence[Plot]
    frame: int
    """The number of the frame on the contact sheet."""
    sheet_file: str
    sheet: Sheet
    cards: Sequence[Card]
    """As many, and in the same order, as there are tiles on the sheet."""
    columns: Sequence[str]
    baselines: Sequence[Row]
    rows: Sequence[Row]
    note: str
    """What to know about the numbers of the table."""
    shared: str
    files: Sequence[str]
    command: str


def write_sweep_page(path: Path, content: SweepPage) -> None:
    """Write the page; every text is escaped, every file is named relative to the page."""
    from jinja2 import Environment

    assert len(content.cards) == len(content.sheet.corners), (len(content.cards), len(content.sheet.corners))
    environment = Environment(autoescape=True)
    environment.filters["address"] = address
    line = environment.from_string(LINE).module.line  # type: ignore[attr-defined]
    write_text(path, environment.from_string(PAGE).render(vars(content) | {"line": line}))


def address(file: str) -> str:
    """Write a path as a link: what means something else in one (``#``, ``?``, ``%``) is quoted."""
    return quote(os.fsencode(file))
