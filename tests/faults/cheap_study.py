"""A real study loop whose trials cost nothing, to be killed: `python cheap_study.py ROOT TRIALS`.

Journal, sampler, loop and MLflow's uploader are the real ones; only the training is not. Without
`--mlflow` it starts in a second.
"""

import sys
from contextlib import ExitStack
from pathlib import Path

from hpsearch.events import Objective, StudyCreated, StudyResumed
from hpsearch.search.event_writer import EventWriter
from hpsearch.search.loop import Search, StoppingCriteria
from hpsearch.search.samplers import make_sampler
from hpsearch.tracking.store import artifact_location, default_uri, journal_path
from tests.search.test_loop import SPACE, Quadratic

NAME = "cheap"


def main(root: Path, trials: int, *, with_mlflow: bool) -> None:
    """Run the study below `root`, or go on with it."""
    path = journal_path(root, NAME)
    with ExitStack() as stack:
        writer = stack.enter_context(EventWriter(path))
        if writer.journal.first is not None:
            writer.write(StudyResumed())
        else:
            objective = Objective("roc_auc", "maximize")
            writer.write(StudyCreated(study=NAME, key="c0ffee", objective=objective))
        if with_mlflow:
            from hpsearch.tracking.uploader import Uploader

            uri = default_uri(root)
            uploader = Uploader(path, uri, artifacts=artifact_location(uri, root), interval=0)
            stack.enter_context(uploader)
            writer.listen(lambda record: uploader.wake())
        Search(
            writer=writer,
            make_sampler=lambda: make_sampler("tpe", SPACE, direction="maximize", seed=3),
            executor=Quadratic(),
            limits=StoppingCriteria(trials),
            seed=3,
            epochs=2,
            fixed={"units": 8},
        ).run()
        if with_mlflow:
            assert uploader.flush(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), with_mlflow="--mlflow" in sys.argv)
