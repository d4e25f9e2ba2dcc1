"""A sweep through a real SLURM, of one node that this test starts, where Debian's packages are installed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REPOSITORY
from tests.sources.conftest import write_film
from tests.test_launchers import results, skip_where_missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CONFIG = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={room}/munge.socket
CredType=cred/munge
StateSaveLocation={room}/state
SlurmdSpoolDir={room}/spool
SlurmctldPidFile={room}/slurmctld.pid
SlurmdPidFile={room}/slurmd.pid
SlurmctldLogFile={room}/slurmctld.log
SlurmdLogFile={room}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start a SLURM of this machine alone and give the environment in which its commands find it."""
    skip_where_missing("submitit_slurm")
    missing = [name for name in DAEMONS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")]
    if missing or os.getuid() != 0:
        pytest.skip("Debian's slurmctld, slurmd and munge are not installed, or this is not root")
    room = tmp_path / "slurm"
    for folder in (room, room / "state", room / "spool"):
        folder.mkdir(mode=0o755)
    key = room / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    config = room / "slurm.conf"
    config.write_text(
        CONFIG.format(
            host=socket.gethostname().partition(".")[0],
            room=room,
            controller=free_port(),
            node=free_port(),
            cores=os.cpu_count(),
        )
    )
    known = os.environ | {"SLURM_CONF": str(config), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    files = {kind: f"--{kind}-file={room}/munge.{kind}" for kind in ("key", "log", "pid", "seed")}
    munge = ["munged", "--foreground", "--force", f"--socket={room}/munge.socket", *files.values()]
    with contextlib.ExitStack() as started:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
            started.enter_context(daemon(command, known, room / f"{command[0]}.out"))
        wait_for_node(known)
        yield known


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def daemon(command: list[str], known: dict[str, str], said: Path) -> Iterator[None]:
    with said.open("wb") as out:
        process = subprocess.Popen(command, env=known, stdout=out, stderr=out)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def wait_for_node(known: dict[str, str]) -> None:
    for _ in range(60):
        asked = subprocess.run(["sinfo", "-h", "-o", "%t"], env=known, capture_output=True, text=True)
        if asked.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    pytest.fail(f"SLURM does not get ready: {asked.stdout} {asked.stderr}")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_set_of_videos_through_slurm_has_the_summary_of_the_basic_launcher(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "clips").mkdir()
    for number in range(3):
        write_film(tmp_path / "clips" / f"{number}.mp4", 4 + number, codec="libx264", pix_fmt="yuv420p")
    (tmp_path / "clips" / "broken.mp4").write_bytes((tmp_path / "clips" / "0.mp4").read_bytes()[:900])

    def type_it(folder: str, *words: str) -> subprocess.Popen[str]:
        small = (
            "source.size=32",
            "noise.scale=0.5",
            "output=minimal",
            f"hydra.sweep.dir={tmp_path / folder}",
        )
        command = [sys.executable, str(REPOSITORY / "run.py"), "-m", "source=videos", "source.path=clips"]
        known = slurm | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*command, *small, *words], cwd=tmp_path, env=known, **pipes)

    cores = ("hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=null")
    cluster, queue = type_it("slurm", "hydra/launcher=submitit_slurm", *cores), list[str]()
    while cluster.poll() is None:
        listed = subprocess.run(["squeue", "-h", "-o", "%j %T"], env=slurm, capture_output=True, text=True)
        queue += listed.stdout.splitlines()
        time.sleep(0.5)
    said, complained = cluster.communicate()
    assert "Traceback" not in complained, complained
    assert (
        "error: job 3 (source.path=clips/broken.mp4): source.path=clips/broken.mp4: the file is cut short"
        in complained
    )
    assert "3 of 4 jobs finished, all on one page: " in said
    assert any("RUNNING" in line for line in queue), queue
    type_it("basic").communicate(timeout=200)
    found = results(tmp_path / "slurm")
    assert sorted(found) == ["0", "1", "2"]
    assert found == results(tmp_path / "basic")
    summaries = [(tmp_path / folder / "sweep_summary.csv").read_text() for folder in ("slurm", "basic")]
    assert summaries[0] == summaries[1]
