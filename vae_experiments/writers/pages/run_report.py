"""One page with all of a run on it, which opens from disk and needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vae_experiments.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; } h2 { font-size: 1.05rem; margin-top: 2.2rem; }
.soft { color: var(--soft); } code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .8rem 1rem; border: 1px solid var(--line); border-radius: 6px; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 1rem; }
figure { margin: 0; } video, img { width: 100%; height: auto; border-radius: 6px; background: #0002; }
img { background: #fff; } figcaption { font-size: .9rem; }
.table { overflow-x: auto; } table { border-collapse: collapse; } th, td { text-align: right; padding: .3rem .9rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.facts td { text-align: left; vertical-align: top; overflow-wrap: anywhere; } .facts td:first-child { min-width: 9rem; overflow-wrap: normal; }
@media (max-width: 600px) { body { margin: 1rem auto; } th, td { padding: .3rem .45rem; } }
button { font: inherit; padding: .25rem .9rem; margin: .6rem 0; }
</style></head><body>
<h1>{{ title }}</h1>
<p class="soft">{{ subtitle }}</p>
<div class="row">{% for name, file in videos.items() %}
<figure><video src="{{ file }}" muted playsinline controls preload="auto"></video><figcaption>{{ name }}</figcaption></figure>{% endfor %}
</div>
<button id="together" type="button">Play together from the start</button>
<p>In this folder: {% for file in files %}<a href="{{ file }}">{{ file }}</a>{% if not loop.last %}, {% endif %}{% endfor %}</p>
<h2>Against the original</h2>
<div class="table"><table><tr><th></th>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for name, row in rows.items() %}<tr><td>{{ name }}</td>{% for value in row %}<td>{{ value }}</td>{% endfor %}</tr>{% endfor %}
</table></div>
<p class="soft">PSNR of the whole video; SSIM with an 11x11 Gaussian window; flicker is the mean change of the error between
frames, in 8-bit levels. Taken on the frames as the model was given them, not on the compressed files.</p>
{% for name, file in pictures.items() %}<h2>{{ name }}</h2><img src="{{ file }}" alt="{{ name }}">
{% endfor %}
<h2>The run</h2>
<div class="table"><table class="facts">{% for name, value in facts.items() %}<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}</table></div>
<h2>The command</h2>
<pre>{{ command }}</pre>
<script>
const videos = [...document.querySelectorAll("video")];
const together = () => { for (const video of videos) { video.currentTime = 0; video.play(); } };
const ready = (video) => video.readyState >= 3 || new Promise((done) => video.addEventListener("canplay", done, { once: true }));
Promise.all(videos.map(ready)).then(together);
videos[0].onended = together;
document.getElementById("together").onclick = together;
</script>
</body></html>
"""


def write_report(
    path: Path,
    *,
    title: str,
    subtitle: str,
    videos: Mapping[str, str],
    scores: Mapping[str, Mapping[str, Any]],
    pictures: Mapping[str, str],
    facts: Mapping[str, object],
    files: Sequence[str],
    command: str,
) -> None:
    """Write the page; every text is escaped, every file is named relative to the page."""
    from jinja2 import Environment

    columns = {"psnr_db": "PSNR (dB)", "ssim": "SSIM", "flicker": "flicker (levels)"}
    page = Environment(autoescape=True).from_string(PAGE)
    write_text(
        path,
        page.render(
            title=title,
            subtitle=subtitle,
            videos=videos,
            columns=list(columns.values()),
            rows={
                name: [_shown(score[column], score) for column in columns] for name, score in scores.items()
            },
            pictures=pictures,
            facts=facts,
            files=files,
            command=command,
        ),
    )


def _shown(value: float | None, score: Mapping[str, Any]) -> str:
    if value is None:
        return "identical" if score.get("identical") else "-"
    return f"{value:.4g}"


def spoken(names: Sequence[str]) -> str:
    """Return a list of manipulations in words: ``noise, then blur``."""
    return ", then ".join(name.replace("_", " ") for name in names) or "no manipulation"
