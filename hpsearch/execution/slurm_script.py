"""The batch script of a study on Slurm, for `hpsearch cluster slurm`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

SIGNAL_SECONDS = 180  # before the time limit, of which running trials get 60

HEADER = """\
#!/bin/bash
#SBATCH --job-name={name} --output={name}-%j.log --open-mode=append
#SBATCH --nodes={nodes} --ntasks-per-node=1 --cpus-per-task={cpus}{gpus} --time={time}
#SBATCH --requeue --signal=B:USR1@{signal_seconds}
set -euo pipefail
"""
# A token of its own for each job: who can reach an open Ray cluster can run code on it.
RAY = """\
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$PWD/ray-$SLURM_JOB_ID.token
(umask 077 && python -c 'import secrets; print(secrets.token_hex(32))' > "$RAY_AUTH_TOKEN_PATH")
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK   # srun no longer takes it from sbatch
nodes=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
address=$(scontrol show node "${nodes[0]}" | grep -oP 'NodeAddr=\\K\\S+')
head=$(getent ahostsv4 "$address" | awk '{print $1; exit}')
port=$((20000 + SLURM_JOB_ID % 20000))
start() { srun "$@" --num-cpus="$SLURM_CPUS_PER_TASK" --block; }
start --nodes=1 --ntasks=1 -w "${nodes[0]}" \\
    ray start --head --node-ip-address="$head" --port=$port --include-dashboard=false &
first=$!
until ray status --address="$head:$port" > /dev/null 2>&1; do kill -0 $first; sleep 1; done
start --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="${nodes[0]}" \\
    ray start --address="$head:$port" &
"""
SEARCH = """\
{command} &
search=$!
trap 'is_over=yes; kill -TERM $search' USR1   # Slurm sends it before the time limit
code=0; wait $search || code=$?
while kill -0 $search 2> /dev/null; do code=0; wait $search || code=$?; done
if [ -n "${{is_over:-}}" ] && [ $code -ne 0 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $code
"""


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """The resources and the command of a batch job."""

    study: str  # the study file
    name: str  # of the job
    nodes: int
    cpus: int  # of each node
    gpus: int  # of each node
    time: str  # limit, as Slurm writes it
    options: Sequence[str] = ()  # of `hpsearch tune`


def write_slurm_script(job: SlurmJob) -> str:
    """Write the script: it starts Ray on several nodes, and puts a stopped job in the queue."""
    command = ["hpsearch", "tune", shlex.quote(job.study)]
    if job.nodes > 1:
        command += ["--executor", "ray", "--address", '"$head:$port"']
    command += map(shlex.quote, job.options)
    header = HEADER.format(
        name=job.name,
        nodes=job.nodes,
        cpus=job.cpus,
        gpus=f" --gpus-per-node={job.gpus}" if job.gpus else "",
        time=job.time,
        signal_seconds=SIGNAL_SECONDS,
    )
    ray = RAY if job.nodes > 1 else ""
    return header + ray + SEARCH.format(command=" ".join(command))
