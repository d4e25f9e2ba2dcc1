from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from vae_experiments.cache.latent_files import LatentFolder
from vae_experiments.errors import WriteError
from vae_experiments.files import (
    atomic_write,
    digest,
    digest_of,
    is_complete,
    read_sums,
    whole_folder,
    write_csv,
    write_json,
    write_sums,
    write_text,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    with atomic_write(target) as hidden:
        hidden.write_text("all of it")
        assert not target.exists()
    assert target.read_text() == "all of it"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(target) as hidden:
        hidden.write_text("half of")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    script = f"""
import os, pathlib
from vae_experiments.files import atomic_write
with atomic_write(pathlib.Path({str(tmp_path / "result.txt")!r})) as hidden:
    hidden.write_text("half of")
    os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", script])
    assert killed.returncode == -9
    assert not (tmp_path / "result.txt").exists()


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        WriteError, match=r"cannot write .*result.txt \(no such file or directory\); choose another folder"
    ):
        write_text(tmp_path / "nowhere" / "result.txt", "text")


def test_a_file_beyond_the_limit_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    script = f"""
import pathlib, resource, signal
from vae_experiments.files import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
write_text(pathlib.Path({str(tmp_path / "result.txt")!r}), "x" * 100_000)
"""
    failed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (
        "result.txt grew beyond the size that a file may have here; raise the limit (ulimit -f)"
        in failed.stderr
    )
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(
            WriteError, match=r"no space left writing .*result.txt \(\d+ MB free\); free some space"
        ),
        atomic_write(tmp_path / "result.txt") as hidden,
    ):
        hidden.write_text("half of")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no way to wait for a folder")
def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []
    replace = type(tmp_path).replace

    def noted(path: Path, target: Path) -> Path:
        seen.append(("named", path.stat().st_ino))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", lambda file: seen.append(("waited for", os.fstat(file).st_ino)))
    monkeypatch.setattr(type(tmp_path), "replace", noted)
    write_text(tmp_path / "result.txt", "all of it")
    file, folder = (tmp_path / "result.txt").stat().st_ino, tmp_path.stat().st_ino
    assert seen == [("waited for", file), ("named", file), ("waited for", folder)]

    seen.clear()
    with LatentFolder(tmp_path / "latents") as latents:
        latents.write("encoded", torch.zeros(2, 4, 1, 1))
    published = (tmp_path / "latents").stat().st_ino
    assert seen[-3:] == [("waited for", published), ("named", published), ("waited for", folder)]
    files = {path.stat().st_ino for path in (tmp_path / "latents").iterdir()}
    assert {("waited for", file) for file in files} < set(seen[:-3])


@pytest.mark.parametrize("fault", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
def test_a_folder_whose_names_do_not_reach_the_disk_is_told(
    fault: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "fsync", fsync)
    reason = errno.EINVAL
    write_text(tmp_path / "result.txt", "on a system that does not know how to wait")
    reason = fault
    with pytest.raises(WriteError, match="result.txt"):
        write_text(tmp_path / "result.txt", "on a disk that fails")


def test_a_file_that_cannot_be_read_back_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(type(tmp_path), "open", lambda *_: Broken())
    with pytest.raises(OSError, match="metrics.json"):
        digest(tmp_path / "metrics.json")


@pytest.mark.parametrize("call", ["mkdir", "fsync"])
def test_latents_that_cannot_be_written_are_named_as_they_would_be_called(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with (
        pytest.raises(WriteError, match=f"^no space left writing {tmp_path / 'latents'} "),
        LatentFolder(tmp_path / "latents") as latents,
    ):
        latents.write("encoded", torch.zeros(2, 4, 1, 1))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_when_a_file_is_sought_in_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="cannot write .*plot.png"), atomic_write(tmp_path / "plot.png"):
        raise io.UnsupportedOperation("File or stream is not seekable.")


def test_digests_are_of_the_named_files_alone(tmp_path: Path) -> None:
    for name in ("b", "a", "last", "a person's"):
        write_text(tmp_path / name, name)
    write_sums(tmp_path, ["b", "last", "a"], "last")
    assert [*read_sums(tmp_path, "last")] == ["a", "b", "last"]
    assert is_complete(tmp_path, "last")


def test_an_error_from_elsewhere_keeps_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="clip.mp4"), atomic_write(tmp_path / "result.txt"):
        (tmp_path.parent / "nowhere" / "clip.mp4").read_bytes()


def test_json_is_json(tmp_path: Path) -> None:
    value = {"psnr_db": None, "shape": [24, 16, 32, 32], "nested": [{"a": [1.5, 2]}], "text": "[\n 1 ]"}
    write_json(tmp_path / "metrics.json", value)
    text = (tmp_path / "metrics.json").read_text()
    assert json.loads(text) == value
    assert '"shape": [24, 16, 32, 32]' in text
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "metrics.json", {"psnr_db": float("inf")})
    assert json.loads((tmp_path / "metrics.json").read_text()) == value


def test_a_table_reads_back_as_csv_and_an_unknown_cell_is_empty(tmp_path: Path) -> None:
    write_csv(tmp_path / "numbers.csv", ["name", "psnr_db"], [("a, b", 1.5), ("c", None)])
    assert (tmp_path / "numbers.csv").read_bytes() == b'name,psnr_db\n"a, b",1.5\nc,\n'


def test_a_folder_appears_whole_with_all_its_files_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new/page", "empty"):
        with whole_folder(tmp_path / name) as hidden:
            write_text(hidden / "a.txt", "a")
            assert not (tmp_path / name / "a.txt").exists()
        assert (tmp_path / name / "a.txt").read_text() == "a"
    with pytest.raises(RuntimeError, match="half way"), whole_folder(tmp_path / "other") as hidden:
        write_text(hidden / "a.txt", "b")
        raise RuntimeError("half way")
    with (
        pytest.raises(WriteError, match=f"cannot write {tmp_path / 'empty'} "),
        whole_folder(tmp_path / "empty") as hidden,
    ):
        write_text(hidden / "b.txt", "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["a.txt"]


def test_a_long_name_stays_legal(tmp_path: Path) -> None:
    write_text(tmp_path / f"{'n' * 250}.txt", "text")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_digest_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    file = tmp_path / "bytes"
    file.write_bytes(b"abc" * 1_000_000)
    assert digest(file) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_a_digest_of_values_tells_them_apart() -> None:
    assert digest_of("a", 1) == digest_of("a", 1)
    assert len({digest_of("a", 1), digest_of("a1"), digest_of("a", "1"), digest_of(1, "a")}) == 4
