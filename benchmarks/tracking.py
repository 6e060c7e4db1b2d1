"""What sending a trial to MLflow costs the training beside it: CPU time per trial.

    python benchmarks/tracking.py [--trials 60] [--folds 5] [--epochs 20] [--ways bulk,log_batch]
    python benchmarks/tracking.py --trials 1000 --ways bulk

Writes a synthetic journal, sends it to a new SQLite store in a temporary folder, and prints one
line of JSON: milliseconds a trial, with the study's own constant cost taken off, and seconds of all
trials. CPU time of the process, since the uploader's thread competes for that. `bulk` is how a
study is sent: points as rows, and a page of the journal as one transaction; `log_batch` is MLflow's
public calls one by one.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import synthetic

from hpsearch.tracking.sender import Sender
from hpsearch.tracking.store import artifact_location, default_uri, journal_path, open_store


def cost(root: Path, trials: int, folds: int, epochs: int, *, bulk: bool) -> tuple[float, float]:
    """CPU and wall-clock seconds to send a study."""
    records = synthetic.study(trials, folds=folds, epochs=epochs)
    name = f"study-{trials}-{'bulk' if bulk else 'client'}"
    records[0] |= {"study": name, "key": name}
    uri = default_uri(root)
    sender = Sender(
        synthetic.write(journal_path(root, name), records), uri, artifact_location(uri, root)
    )
    sender.open_study()
    if not bulk and sender.projection:
        sender.projection._writer._bulk, sender._transactions = None, False
    cpu, wall = time.process_time(), time.perf_counter()
    sender.send()
    sender.close()
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    """Print milliseconds a trial, with the study's own constant cost taken off."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("trials", 60), ("folds", 5), ("epochs", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--ways", default="bulk,log_batch")
    given = parser.parse_args()
    answer: dict[str, object] = vars(given).copy()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        open_store(default_uri(root))
        for way in given.ways.split(","):
            bulk = way == "bulk"
            small = cost(root, 1, given.folds, given.epochs, bulk=bulk)
            large = cost(root, given.trials + 1, given.folds, given.epochs, bulk=bulk)
            cpu, wall = (1000 * (b - a) / given.trials for a, b in zip(small, large, strict=True))
            answer[f"{way}_seconds"] = round(large[1], 1)
            answer |= {f"{way}_cpu_ms": round(cpu, 1), f"{way}_wall_ms": round(wall, 1)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
