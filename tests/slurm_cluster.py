"""A Slurm cluster of several nodes on this machine, for tests."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from mlflow_server import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
CONFIG = """\
ClusterName=ofthistest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2
KillWait=5
MinJobAge=300
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm(n_nodes: int) -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands use a cluster, which runs until the block ends."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        pytest.skip(f"Slurm is not here (no {missing[0]}): apt-get install slurm-wlm")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons need root")
    folder = Path(tempfile.mkdtemp(prefix="hpsearch-slurm-"))
    environment = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _write_configuration(folder, n_nodes)

        def run(*command: str) -> None:
            with (folder / f"{command[0]}.out").open("ab") as log:
                process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)

        key, at = folder / "munge.key", f"{folder}/munge"
        run("munged", "-F", "-f", f"--key-file={key}", f"--socket={at}.socket",
            f"--pid-file={at}.pid", f"--log-file={at}.log", f"--seed-file={at}.seed")  # fmt: skip
        run("slurmctld", "-D", "-c")
        for number in range(n_nodes):
            run("slurmd", "-D", "-N", f"n{number}")
        _wait_for_nodes(environment, n_nodes, folder)
        yield environment


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin"


def _write_configuration(folder: Path, n_nodes: int) -> None:
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    nodes = "\n".join(
        f"NodeName=n{i} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 "
        f"Port={free_port()} CPUs=2 State=UNKNOWN"
        for i in range(n_nodes)
    )
    text = CONFIG.format(host=socket.gethostname(), port=free_port(), folder=folder, nodes=nodes)
    (folder / "slurm.conf").write_text(text)


def _wait_for_nodes(environment: dict[str, str], n_nodes: int, folder: Path) -> None:
    for _ in range(120):
        done = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%T"],
            env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        if n_nodes == done.stdout.split().count("idle"):
            return
        time.sleep(0.5)
    logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log"))
    raise AssertionError(f"Slurm does not start: {done.stdout}{done.stderr}\n{logs}")
