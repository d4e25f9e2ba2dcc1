"""Cards: what the page shows of runs, as HTML; every text in it is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from vae_experiments.metrics import DEFAULT_METRICS, METRICS
from vae_experiments.web.state.job_queue import State
from vae_experiments.web.state.results import ARCHIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vae_experiments.web.state.job_queue import Job
    from vae_experiments.web.state.results import Kept
    from vae_experiments.web.state.uploads import Upload

COLUMNS = {METRICS[name].key: METRICS[name].label for name in DEFAULT_METRICS}
BAR = (
    '<div class="bar"><button type="button" class="play" aria-label="play or pause all">❚❚</button>'
    '<input class="seek" type="range" min="0" max="1000" value="0" aria-label="moment"></div>'
)


def mistake(sentence: str) -> str:
    """Show one line that says what is wrong."""
    return f'<p class="mistake on" role="alert">{escape(sentence)}</p>'


def note(sentence: str) -> str:
    """Show one line of no great weight."""
    return f'<p class="note on">{escape(sentence)}</p>'


def progress(job: Job, ahead: int) -> str:
    """Show how an order stands while it is not over."""
    if job.state is State.waiting and ahead:
        text = f"waiting, {ahead} before you" if ahead > 1 else "next in the queue"
    else:
        text = job.phase or "beginning"
    return (
        f'<div class="progress on" role="status"><progress max="100" value="{round(100 * job.share)}"></progress>'
        f"<span>{escape(text)}</span></div>"
    )


def uploaded(upload: Upload) -> str:
    """Return what a file was found to be."""
    info = upload.info
    lines = [f"{upload.name}: {info.frames} frames, {info.size} at {info.pace}", *info.remarks]
    return f'<p class="note on">{"<br>".join(map(escape, lines))}</p>'


def players(kept: Kept, names: Sequence[str], captions: Sequence[str] = ()) -> str:
    """Show videos of one run side by side, playing together."""
    shown = captions or [kept.label(name) for name in names]
    figures = "".join(_video(kept, name, escape(text)) for name, text in zip(names, shown, strict=True))
    return f'<div class="together"><div class="videos count-{len(names)}">{figures}</div>{BAR}</div>'


def result(kept: Kept) -> str:
    """Show one finished run whole: videos, numbers, pictures, the line that repeats it, the archive."""
    pictures = "".join(
        f'<figure><img src="{kept.url(file)}" alt="{title}" loading="lazy"><figcaption>{title}</figcaption></figure>'
        for file, title in (("latents.png", "The latents"), ("metrics.png", "The numbers over time"))
    )
    return (
        f'<article class="run" data-run="{kept.id}">{players(kept, kept.videos())}{numbers([kept])}'
        f'{command(kept.command)}<p class="links">{_archive(kept, "download the run (zip)")} <a href="{kept.url("report.html")}" target="_blank" rel="noopener">open its report</a></p>'
        f'<div class="pictures">{pictures}</div></article>'
    )


def numbers(runs: Sequence[Kept]) -> str:
    """Put the metrics of one or several runs into a table."""
    rows, alone = [], len(runs) == 1
    for number, kept in enumerate(runs, 1):
        for name in kept.videos()[1 if alone else -1 :]:
            label = kept.label(name) if alone else f"{number}: {kept.label(name)}"
            score = kept.metrics[name]
            cells = "".join(f'<td data-metric="{key}">{_said(score, key)}</td>' for key in COLUMNS)
            rows.append(f'<tr data-video="{escape(name)}"><th>{escape(label)}</th>{cells}</tr>')
    heads = "".join(f"<th>{title}</th>" for title in COLUMNS.values())
    caption = _timing(runs[0]) if alone else ""
    return f'<table class="numbers"><thead><tr><th>against the original</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>{caption}'


def command(line: str) -> str:
    """Show what to type in a shell for the same."""
    return (
        f'<div class="command"><code>{escape(line)}</code>'
        '<button type="button" class="copy">copy</button></div>'
    )


def preview(kept: Kept | None) -> str:
    """Show a few small frames, untouched and changed."""
    if kept is None:
        return note("These settings change later frames than a preview shows; press Run to see them.")
    names = kept.videos()[1:]
    captions = ["preview, untouched", *(f"preview, {kept.label(name)}" for name in names[1:])]
    return f'<div class="preview on">{players(kept, names, captions)}</div>'


def history(runs: Sequence[Kept]) -> str:
    """Show the last runs beside each other: their changed videos, their numbers, their lines."""
    if not runs:
        return note("No run yet. What you run shows here, the newest first, to be compared.")
    cards = "".join(
        _video(kept, kept.videos()[-1], f"{number}: {escape(kept.title)} {_archive(kept, 'zip')}")
        for number, kept in enumerate(runs, 1)
    )
    lines = "".join(command(kept.command) for kept in runs)
    return f'<div class="together"><div class="videos many">{cards}</div>{BAR}</div>{numbers(runs)}{lines}'


def sweep(kept: Kept) -> str:
    """Show a sweep: its contact sheet, its plots, its line, its archive."""
    plots = sorted(path.name for path in kept.folder.glob("*.png") if path.name != "contact_sheet.png")
    pictures = "".join(f'<figure><img src="{kept.url(file)}" alt="plot"></figure>' for file in plots)
    return (
        f'<article class="run" data-run="{kept.id}"><div class="sheet"><img src="{kept.url("contact_sheet.png")}" '
        f'alt="the same frame of every run"></div><div class="pictures">{pictures}</div>{command(kept.command)}'
        f'<p class="links"><a href="{kept.url(ARCHIVE)}" download="sweep.zip">download the sweep (zip)</a> '
        f'<a href="{kept.url("sweep.html")}" target="_blank" rel="noopener">open its page</a></p></article>'
    )


def _video(kept: Kept, name: str, caption: str) -> str:
    video = f'<video src="{kept.url(f"{name}.mp4")}" muted playsinline preload="auto"></video>'
    return f"<figure>{video}<figcaption>{caption}</figcaption></figure>"


def _archive(kept: Kept, text: str) -> str:
    return f'<a href="{kept.url(ARCHIVE)}" download="{escape(kept.folder.name)}.zip">{text}</a>'


def _said(score: Any, key: str) -> str:
    value = score.get(key)
    if value is None:
        return "identical" if score.get("identical") else "-"
    return f'<span title="{value!r}">{value:.4g}</span>'


def _timing(kept: Kept) -> str:
    timing = kept.metrics["timing"]
    encoding = timing["encode_seconds"]
    encoded = "latents from the cache" if isinstance(encoding, str) else f"encoded in {encoding:.1f} s"
    shape = " x ".join(map(str, kept.metrics["latents"]["shape"]))
    facts = f"{kept.metrics['frames']} frames, latents {shape}, {encoded}, {timing['total_seconds']:.1f} s in all, on {kept.metrics['device']}"
    return note(facts)
