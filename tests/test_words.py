"""The words of the field: names and phrases that were replaced do not come back."""

from __future__ import annotations

import ast
import io
import re
import tokenize

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "vae_experiments"
FILES = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
OLD_NAMES = {
    "hint": "cure cures CURE",
    "group": "family families FAMILIES",
    "reserve_folder, Reservation": "Claim ClaimFolder claim claimed CLAIM",
    "is_complete": "is_whole",
    "BatchExecutor": "Passage",
    "TiledPass": "Way",
    "RemoteFiles": "Offer offer offers",
    "HubRepo": "Place",
    "unsupported": "strangers stranger STRANGERS",
    "hub_errors": "refusals",
    "CarriedContext": "Again",
    "TemporalSpec or FramewiseSpec": "Dialect dialect dialects",
    "load_cached": "sharing",
    "VideoFile, video": "Film film films",
    "MediaReader, reader": "Medium medium",
    "MediaInfo, info": "Survey survey",
    "ClipReader": "Excerpts excerpts",
    "SecondVideoManipulation": "Accompanied",
    "ChainStep": "Link",
    "prefetch, tee, BackgroundWriter": "read_ahead twice WriteBehind",
    "RunCache, CachedStream": "Shelf shelf Slot slot",
    "JobQueue, Job": "Desk desk Ticket ticket",
    "BrowserSession, SessionCookie": "Guest guest guests Greeter",
    "WebService, PageSession": "Bench bench Visit visit",
    "RunRequest, RawRequest": "Order Asked",
    "posterior_std": "takes_spread",
    "bends_decoder": "bends",
    "needs_whole_clip": "holds_clip",
    "has_single_frame_first_latent": "first_alone",
    "keeps_first_latent": "moves_time",
    "what was asked for: requested, path": "wish",
    "what it is: a sentence, a label, overrides": "said spoken told",
    "DeviceChoice": "Chosen",
    "ModelCheck, OK, WARN, FAIL": "Patient WELL ODD ILL",
    "Sample, Dataset": "Piece Prepared",
    "StepOutput, StepRandom": "Answer Draws",
}
"""Names that were replaced, by the words that took their place."""
ALLOWED_NAMES = {("web/command.py", "family")}
"""A socket has a family."""
SETTINGS = {
    "rate": "learning_rate",
    "warm_up": "warmup_steps",
    "accumulate": "gradient_accumulation",
    "clip": "max_grad_norm",
    "averaging": "ema_decay",
    "start": "init_from",
    "free": "quantize_after",
    "fresh": "refresh",
    "window": "buffer_size",
    "ladder": "gallery_values",
}
"""Old names of settings of a training: words of everyday, so only as what a class declares."""
OLD_PHRASES = {
    r"by chance": "at random",
    r"suffices?": "is enough",
    r"goes on": "continues, is resumed",
    r"films?": "video",
    r"(the|a) desk": "queue",
    r"guests?": "browser, session",
    r"tickets?": "job",
    r"(the|a) shelf": "cache",
    r"(explicit|no|a|the) wish": "what is asked for",
    r"in vain": "without effect",
    r"a share of": "a fraction of",
}
PHRASES = re.compile(rf"\b({'|'.join(OLD_PHRASES)})\b", re.IGNORECASE)
ALLOWED_PHRASES: set[tuple[str, str]] = set()
"""A file and an old phrase that has to stand in it."""


def tokens(file: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(FILES[file]).readline))


@pytest.mark.parametrize("file", FILES)
def test_no_name_that_was_replaced_stands_in_the_code(file: str) -> None:
    old = {name: new for new, names in OLD_NAMES.items() for name in names.split()}
    for token in tokens(file):
        if token.type == tokenize.NAME and token.string in old and (file, token.string) not in ALLOWED_NAMES:
            pytest.fail(f"{file}:{token.start[0]} says {token.string}; say {old[token.string]}")


def test_no_module_has_a_name_that_was_replaced() -> None:
    old = {name.lower() for names in OLD_NAMES.values() for name in names.split()}
    assert [file for file in FILES if set(file.removesuffix(".py").split("/")) & old] == []


def test_no_setting_of_a_training_has_its_old_name() -> None:
    fields = {
        (file, node.target.id)
        for file, text in FILES.items()
        if file.startswith("training/")
        for declared in ast.walk(ast.parse(text))
        if isinstance(declared, ast.ClassDef)
        for node in declared.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and "setting(" in ast.unparse(node)
    }
    assert len(fields) > 20
    assert [(file, name) for file, name in fields if name in SETTINGS] == []


@pytest.mark.parametrize("file", FILES)
def test_no_phrase_that_was_replaced_stands_in_a_string_or_a_comment(file: str) -> None:
    for token in tokens(file):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            for found in PHRASES.finditer(token.string):
                assert (file, found[0]) in ALLOWED_PHRASES, f"{file}:{token.start[0]} says {found[0]}"


@pytest.mark.parametrize(
    "path",
    [
        REPOSITORY / "README.md",
        *sorted((REPOSITORY / "docs").glob("*.md")),
        *sorted((REPOSITORY / "conf").rglob("*.yaml")),
    ],
    ids=lambda path: path.relative_to(REPOSITORY).as_posix(),
)
def test_no_phrase_that_was_replaced_stands_in_a_page_or_a_config(path: object) -> None:
    from pathlib import Path

    assert isinstance(path, Path)
    assert [found[0] for found in PHRASES.finditer(path.read_text())] == []
