"""Command that prints what starts a study on a cluster: `hpsearch cluster slurm`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from .group import main
from .terminal import print_line

TIME = re.compile(r"(\d+-)?\d+(:\d\d){0,2}")  # minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS


@main.command()
@click.argument("kind", type=click.Choice(["slurm"]))
@click.argument("study", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("options", nargs=-1)
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines.")
@click.option("--cpus", type=click.IntRange(1), default=1, show_default=True, help="Of each node.")
@click.option("--gpus", type=click.IntRange(0), default=0, show_default=True, help="Of each node.")
@click.option("--time", default="08:00:00", show_default=True, help="Limit of the job.")
def cluster(
    kind: str, study: Path, options: tuple[str, ...], nodes: int, cpus: int, gpus: int, time: str
) -> None:
    """Print the batch script that runs the study file STUDY on Slurm; `sbatch FILE` submits it.

    Before its time limit the job stops the study and puts itself in the queue again. OPTIONS, after
    --, are those of `hpsearch tune`, such as --cpus 4 for each worker.
    """
    from ..errors import HpsearchError
    from ..execution.slurm_script import SlurmJob, write_slurm_script
    from ..study.tune import read_spec

    if not TIME.fullmatch(time):
        raise HpsearchError(f"--time {time!r} is no time of Slurm: minutes, HH:MM:SS or D-HH:MM:SS")
    name = read_spec(study, ()).spec.study
    job = SlurmJob(str(study), name, nodes, cpus, gpus, time, options)
    print_line(write_slurm_script(job).rstrip())
