"""A whole real study in a process that is forked from one with everything imported.

Declaration, data, training, final fit, plots, journal and MLflow are the real ones; trials train
within the process (`inline_worker_pool.py`), so that a run takes a second or two and not the
twenty that its imports would. Threads do not survive a fork, so the parent only imports: it runs
nothing.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from inline_worker_pool import train_inline

NAME = "tiny"
TRIALS = 3
SPEC = f"""\
study: {NAME}
seed: 1
data: {{source: "sklearn:iris", test_fraction: 0.2}}
cross_validation: {{folds: 2}}
training: {{epochs: 1, early_stopping: null}}
search_space:
  learning_rate: {{type: float, low: 1e-3, high: 1e-1, log: true}}
  units: 4
  batch_size: 64
sampler: {{kind: random}}
pruner: {{kind: none}}
budget: {{trials: {TRIALS}}}
"""


EVERYTHING = (
    "hpsearch.cli.study",
    "hpsearch.cli.maintenance",
    "hpsearch.promotion.package",
    "hpsearch.study.tune",
    "hpsearch.tracking.plots",
    "hpsearch.training.vectorized.vectorized_trainer",
    "matplotlib.backends.backend_agg",
    "mlflow.keras",
    "mlflow.pyfunc",
    "mlflow.store.db.utils",
    "mlflow.store.tracking.sqlalchemy_store",
    "optuna.visualization",
    "plotly.graph_objects",
    "plotly.io",
    "plotly.validators",
    "sklearn.datasets",
    "sklearn.linear_model",
)


def import_everything() -> None:
    """What a run would import, so that no forked process has to; nothing of it is begun."""
    from hpsearch.training.keras_import import import_keras

    import_keras()  # as a worker does
    for name in EVERYTHING:
        importlib.import_module(name)
    from mlflow.utils import requirements_utils

    requirements_utils._init_packages_to_modules_map()  # seconds, and the same every time
    train_inline()


def fork(work: Callable[[], Any]) -> tuple[int, str]:
    """Do `work` in a forked process; its wait status, and what it printed or its traceback."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            out = os.fdopen(writing, "w", buffering=1)
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            with redirect_stdout(out), redirect_stderr(out):
                try:
                    work()
                    code = 0
                except SystemExit as end:
                    code = int(end.code or 0) if isinstance(end.code, int | None) else 1
                except BaseException:
                    traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with open(reading, "rb") as file:
        printed = file.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    return status, printed


def run(root: Path, *arguments: str) -> None:
    """The command line in `root`, in this process."""
    from hpsearch.cli import main

    with chdir(root):
        main([*arguments], prog_name="hpsearch")


def prepare(root: Path) -> Path:
    """A fresh folder with the declaration alone."""
    root.mkdir(parents=True)
    (root / f"{NAME}.yaml").write_text(SPEC)
    return root


if __name__ == "__main__":
    import_everything()
    print(fork(lambda: run(prepare(Path(sys.argv[1])), "tune", f"{NAME}.yaml")))
