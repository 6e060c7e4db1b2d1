"""The saved view of a study's trials in MLflow."""

import json

import synthetic

from hpsearch.history import History
from hpsearch.tracking.runs_view import VIEW_TAG, view_tag

SPACE = {
    "units": {"type": "int", "low": 4, "high": 8},
    "optimizer": ["adam", "sgd"],
    "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
    "batch_size": 32,
    "layers": {"type": "fixed", "value": 2},
}


def page_state(**changes):
    records = synthetic.study(3)
    records[0]["spec"] = {"search_space": SPACE}
    records[0] |= changes
    name, value = view_tag(History(synthetic.events(records[:1])))
    assert name.startswith(VIEW_TAG)
    view = json.loads(value)
    assert {"name", "createdAt", "updatedAt", "state"} == set(view)
    assert len(value) < 5000  # MLflow's limit before 3.0
    return json.loads(view["state"])


def test_trials_are_sorted_by_score_with_columns_of_what_is_searched():
    state = page_state()
    assert "metrics.`score`" == state["orderByKey"]
    assert state["orderByAsc"] is False
    params = [c for c in state["selectedColumns"] if c.startswith("params")]
    assert ["params.`units`", "params.`optimizer`", "params.`momentum`"] == params


def test_a_loss_is_sorted_upwards():
    assert page_state(objective={"metric": "log_loss", "direction": "minimize"})["orderByAsc"]


def test_parallel_coordinates_have_what_every_trial_has():
    parallel = page_state()["compareRunCharts"][-1]
    assert ["units", "optimizer"] == parallel["selectedParams"]


def test_a_long_space_is_cut_to_what_a_tag_holds():
    space = {f"hyperparameter_with_a_long_name_{i:03d}": [1, 2] for i in range(500)}
    columns = page_state(spec={"search_space": space}, resolved=None)["selectedColumns"]
    assert 10 < len(columns) < 30


def test_a_space_that_the_users_model_asks_for_is_read_off_its_trials():
    records = synthetic.study(3)
    records[0] |= {"spec": {"search_space": {}}, "resolved": None}
    state = json.loads(json.loads(view_tag(History(synthetic.events(records)))[1])["state"])
    names = {name for record in records if record["event"] == "asked" for name in record["params"]}
    assert {f"params.`{name}`" for name in names} <= set(state["selectedColumns"])
