"""From a study file to what its trials share."""

import numpy as np
import pytest

from hpsearch.study.prepare import load_data, problem_of
from hpsearch.study.tune import read_spec


@pytest.mark.parametrize(
    ("space", "optimizers", "batch_sizes_vary"),
    [
        ({"optimizer": ["adam", "sgd"], "batch_size": [32, 64]}, ("adam", "sgd"), True),
        ({"optimizer": "lion", "batch_size": 64}, ("lion",), False),
        ({"batch_size": {"type": "int", "low": 16, "high": 99}}, (), True),
        ({"units": [4, 8]}, (), False),
    ],
)
def test_trials_know_what_others_may_choose(
    space: dict[str, object], optimizers: tuple[str, ...], batch_sizes_vary: bool
) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    search_space = {"learning_rate": [0.1, 0.01], **space}
    file = read_spec({"data": {}, "search_space": search_space})
    problem = problem_of(file.spec, load_data(file, (x, (x[:, 0] > 0).astype(int))))
    assert (optimizers, batch_sizes_vary) == (problem.optimizers, problem.batch_sizes_vary)
