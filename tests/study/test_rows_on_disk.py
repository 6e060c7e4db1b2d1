"""Studies whose rows do not fit in memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import hpsearch
from hpsearch.errors import SpecError

N = 400
LITTLE = 1e-5  # GiB
SCRIPTS = Path(__file__).parents[1] / "gallery" / "scripts"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 3))
    x[rng.random(x.shape) < 0.05] = np.nan
    columns = {f"x{i}": x[:, i] for i in range(3)}
    label = np.where(np.nan_to_num(x[:, 0]) + 0.3 * rng.normal(size=N) > 0, "yes", "no")
    table = pa.table({**columns, "shop": rng.choice(["a", "b", "c"], N), "y": label})
    for i in range(4):
        parquet.write_table(table.slice(i * 100, 100), folder / f"part-{i}.parquet")
    return folder


def declare(lake, memory_gib=LITTLE, **sections):
    return {
        "study": "streamed",
        "data": {"source": str(lake), "target": "y", "memory_gib": memory_gib},
        "cross_validation": {"folds": 2},
        "search_space": {
            "learning_rate": {"type": "float", "low": 0.01, "high": 0.1, "log": True},
            "units": 4,
            "layers": 1,
            "batch_size": 64,
        },
        "training": {"epochs": 2},
        "budget": {"trials": 2},
        "selection": {"finalists": 1},
        **sections,
    }


def test_check_tells_that_the_rows_are_read_from_the_disk(lake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = str(hpsearch.check(declare(lake)))
    assert "note: the rows would need 2.98e-05 GiB of memory, and there are 1e-05 GiB" in text
    assert "stored in mlruns/sources/rows and streamed from the disk" in text


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"execution": {"executor": "ray"}}, "execution.executor: ray sends the rows to its"),
    ],
)
def test_what_needs_the_rows_in_memory_is_refused(lake, tmp_path, monkeypatch, sections, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as caught:
        hpsearch.check(declare(lake, **sections))
    assert said in str(caught.value)
    assert "allow more memory with data.memory_gib" in str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize("trainer", ["vectorized", "keras_fit"])
def test_a_study_on_disk_has_the_scores_of_one_in_memory(lake, tmp_path, monkeypatch, trainer):
    if trainer == "keras_fit":
        pytest.importorskip("tensorflow")
    found = []
    for name, memory_gib in (("small", None), ("large", LITTLE)):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        training = {"epochs": 2, "trainer": trainer}
        spec = declare(lake, memory_gib, training=training, execution={"workers": 1})
        found.append(hpsearch.tune(spec, offline=True))
    small, large = found
    assert (2, 2) == tuple(len(result.frame()) for result in found)
    np.testing.assert_array_equal(small.frame()["score"], large.frame()["score"])
    assert (small.best, small.test) == (large.best, large.test)
    assert small.baselines == large.baselines


@pytest.mark.long
@pytest.mark.usefixtures("inline_workers")
def test_custom_training_steps_and_callbacks_train_rows_on_disk(lake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = declare(
        lake,
        model=f"{SCRIPTS}/own_train_step.py:build",
        search_space={"width": [4, 8]},
        training={"epochs": 2, "callbacks": [f"{SCRIPTS}/callbacks.py:make"]},
    )
    result = hpsearch.tune(spec, offline=True, progress=False)
    assert ["COMPLETE", "COMPLETE"] == [trial.state for trial in result.trials]
    assert {"keras_fit"} == {trial.trainer for trial in result.trials}
    assert result.test is not None


@pytest.mark.long
def test_a_fit_that_takes_the_rows_as_arrays_is_refused(lake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = declare(lake, model={"keras_tuner": f"{SCRIPTS}/tuner_fit.py:build"})
    del spec["search_space"]
    with pytest.raises(SpecError) as caught:
        hpsearch.check(spec)
    assert "it takes all rows as arrays, and they do not fit in memory" in str(caught.value)
    assert "let a custom train_step or training.callbacks do its work" in str(caught.value)
