"""Enqueued points, and trials of another study."""

import inspect
from pathlib import Path

import pytest
import synthetic

from hpsearch.errors import SpecError
from hpsearch.events import Objective, StudyCreated
from hpsearch.history import load_history
from hpsearch.journal import Journal, encode_line, read_page
from hpsearch.spec.study_file import load_dict, load_file
from hpsearch.study.earlier_studies import (
    collect_earlier_studies,
    find_best_points,
    read_earlier_studies,
)
from hpsearch.study.initial_trials import ARGUMENTS, OPTIMIZER_ARGUMENTS, initial_points
from hpsearch.study.resolved_study import choose_pruner, with_task
from hpsearch.study.user_code import compute_digests
from hpsearch.study.validation import check_study
from hpsearch.study.warm_start import (
    best_point,
    collect_trials,
    note_missing_studies,
    read_trials,
)
from hpsearch.training.losses import LOSSES
from hpsearch.training.optimizers import OPTIMIZERS

SPACE = {
    "optimizer": ["sgd", "adam"],
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "momentum": {"type": "float", "low": 0.1, "high": 0.9, "when": {"optimizer": "sgd"}},
    "units": {"type": "int", "low": 16, "high": 48},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.25},
    "batch_size": [64, 128],
    "activation": "relu",
}


def declared(**keys):
    return {"data": {"source": "sklearn:iris"}, "search_space": SPACE, **keys}


def resolved(file):
    return with_task(choose_pruner(file), "multiclass")


def points(**keys):
    return initial_points(load_dict(declared(**keys)).spec)


def test_the_defaults_of_keras_and_of_the_model_or_the_nearest_values():
    expected = {
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "units": 48,  # the model's is 64
        "dropout": 0.0,
        "batch_size": 64,  # Keras's is 32
    }
    assert [expected] == points(enqueue="defaults")


def test_what_a_point_leaves_out_takes_its_default_and_conditions_follow():
    (point,) = points(enqueue=[{"optimizer": "sgd", "units": 20, "activation": "relu"}])
    assert {"optimizer": "sgd", "units": 20, "momentum": 0.1}.items() <= point.items()
    assert 1e-3 == point["learning_rate"]


def test_a_point_takes_the_default_in_the_range_that_its_condition_chooses():
    rates = [
        {"type": "float", "low": 0.01, "high": 0.1, "when": {"optimizer": "sgd"}},
        {"type": "float", "low": 1e-5, "high": 1e-2, "when": {"optimizer": "adam"}},
    ]
    given = [{"optimizer": "sgd"}, "defaults", {"optimizer": "adam", "learning_rate": 0.01}]
    found = points(search_space={**SPACE, "learning_rate": rates}, enqueue=given)
    assert [0.01, 1e-3, 0.01] == [point["learning_rate"] for point in found]
    file = load_dict(
        declared(
            search_space={**SPACE, "learning_rate": rates},
            enqueue=[{"learning_rate": 7}, {"optimizer": "sgd", "learning_rate": 0.001}],
        )
    )
    with pytest.raises(SpecError) as told:
        check_study(file)
    beyond = "enqueue.0.learning_rate: 7.0 is not allowed. Allowed: 0.01 to 0.1, or 1e-05 to 0.01"
    assert beyond in str(told.value)
    assert "enqueue.1: learning_rate: 0.001 is not allowed. Allowed: 0.01 to 0.1" in str(told.value)


def test_equal_points_are_tried_once_and_their_order_is_kept():
    found = points(enqueue=[{"units": 20}, "defaults", {"units": 20, "optimizer": "adam"}])
    assert [20, 48] == [point["units"] for point in found]


def test_the_point_of_the_priors_comes_after_the_enqueued_ones():
    rate = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True, "prior": 0.01}
    found = points(search_space={**SPACE, "learning_rate": rate}, enqueue="defaults")
    assert [1e-3, pytest.approx(0.01)] == [point["learning_rate"] for point in found]


def test_the_portfolio_of_a_family_as_near_as_the_space_goes():
    rate = {"type": "float", "low": 1e-3, "high": 5e-3, "log": True}
    space = {"learning_rate": rate, "layers": {"type": "int", "low": 1, "high": 2}, "units": 64}
    found = points(model="tabm", search_space=space, enqueue=["portfolio", "defaults"])
    assert [(0.004, 2), (0.005, 2), (0.005, 1), (0.002, 2)] == [
        (point["learning_rate"], point["layers"]) for point in found
    ]


def test_where_the_defaults_break_a_constraint_the_rest_is_drawn():
    keys = {"enqueue": [{"dropout": 0.5}], "constraints": ["units < 20"], "seed": 3}
    (point,) = points(**keys)
    assert point["units"] < 20
    assert 0.5 == point["dropout"]
    assert [point] == points(**keys)


def test_a_hyperparameter_without_a_known_default_is_drawn_from_the_seed():
    keys = {"model": "my.py:build", "search_space": {"width": {"type": "int", "low": 1, "high": 9}}}
    drawn = {points(enqueue="defaults", seed=seed, **keys)[0]["width"] for seed in range(20)}
    assert len(drawn) > 3


MISTAKES = """\
data: {source: "sklearn:iris"}
search_space:
  units: {type: int, low: 16, high: 48}
  optimizer: [sgd, adam]
  momentum: {type: float, low: 0.0, high: 0.9, when: {optimizer: sgd}}
  activation: relu
enqueue:
  - units: 50
  - width: 3
  - {optimizer: adam, momentum: 0.5}
  - activation: tanh
  - default
  - portfolio
"""


def test_every_mistake_has_its_line(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(MISTAKES)
    with pytest.raises(SpecError) as caught:
        check_study(load_file(path))
    expected = [
        ":8: enqueue.0.units: 50 is not allowed. Allowed: whole numbers from 16 to 48",
        ":9: enqueue.1.width: is not a hyperparameter of the search space",
        ":10: enqueue.2: momentum is given, but its condition fails: optimizer is sgd",
        ":11: enqueue.3.activation: is fixed to 'relu'",
        ":12: enqueue.4: a point is a mapping of names to values, or the word defaults or",
        ":13: enqueue.5: mlp has no portfolio. Families with one: tabm. Write defaults, or points",
    ]
    lines = str(caught.value).split("\n")
    assert 6 == len(lines)
    for line, part in zip(lines, expected, strict=True):
        assert part in line


def test_the_defaults_are_those_of_keras():
    import keras

    def told(kind):
        signature = inspect.signature(kind.__init__)
        return {name: p.default for name, p in signature.parameters.items()}

    wrong = []
    for name, (kind, reads) in OPTIMIZERS.items():
        theirs = told(getattr(keras.optimizers, kind))
        ours = {**ARGUMENTS, **OPTIMIZER_ARGUMENTS.get(name, {})}
        for argument in {*reads} - {"learning_rate"} & ours.keys():
            if theirs.get(argument, ours[argument]) != ours[argument]:
                wrong.append((name, argument, theirs[argument]))
    for losses in LOSSES.values():
        for name, (kind, reads) in losses.items():
            theirs, ours = (
                told(getattr(keras.losses, kind)),
                {**ARGUMENTS, **OPTIMIZER_ARGUMENTS.get(name, {})},
            )
            wrong += [(name, a, theirs[a]) for a in {*reads} & {*ours} if theirs[a] != ours[a]]
    assert [] == wrong


# ---- warm start ----


def other_study(root: Path, fingerprint="f", metric="accuracy", **fields) -> Path:
    """A study of four trials; the journal of the new study would lie beside its own."""
    path = root / "other" / "journal.jsonl"
    with Journal(path) as journal:
        objective = {"metric": metric, "direction": "maximize"}
        named = {"study": "other", "key": "k", "fingerprint": fingerprint}
        journal.append(synthetic.event("study", **named, objective=objective, **fields))
        for number, (units, state) in enumerate(
            [(20, "COMPLETE"), (40, "PRUNED"), (90, "COMPLETE"), (24, None)]
        ):
            params = {"units": units, "activation": "relu"}
            asked = {"trial": number, "attempt": 0, "params": params, "seed": 1, "epochs": 3}
            journal.append(synthetic.event("asked", **asked))
            if state:
                ids = {"trial": number, "attempt": 0}
                journal.append(
                    synthetic.event("epoch", **ids, epoch=0, scores=[0.5, 0.7], metrics={})
                )
                journal.append(
                    synthetic.event("result", **ids, state=state, score=0.6, fold_scores=[0.5, 0.7])
                )
    return root / "new" / "journal.jsonl"


def warm(journal, fingerprint="f"):
    space = {"units": {"type": "int", "low": 16, "high": 48}, "activation": "relu"}
    file = load_dict(declared(search_space=space, warm_start="other"))
    return collect_trials(resolved(file), journal, fingerprint=fingerprint)


def test_finished_trials_that_lie_in_the_space_are_copied(tmp_path):
    copied = warm(other_study(tmp_path))
    assert 1 == copied.left_out
    with Journal(tmp_path / "new" / "journal.jsonl") as journal:
        journal.append(StudyCreated(warm_start=copied))
    first, second = read_trials(read_page(tmp_path / "new" / "journal.jsonl").events[0])
    assert ({"units": 20}, "COMPLETE", 0.6, [0.5, 0.7]) == (
        first.params,
        first.state,
        first.score,
        first.fold_scores,
    )
    assert ("PRUNED", [0.6]) == (second.state, second.mean_scores())
    assert [{"units": 20}] == best_point([first, second], "maximize")


def test_the_best_point_of_the_other_study_is_tried_after_the_enqueued_ones():
    spec = load_dict(declared(enqueue=[{"units": 20}, "defaults"])).spec
    (known,) = points(enqueue=[{"units": 33}])
    found = initial_points(spec, [known, initial_points(spec)[0]])
    assert [20, 48, 33] == [point["units"] for point in found]


def test_scores_of_other_data_or_of_another_metric_are_refused(tmp_path):
    journal = other_study(tmp_path)
    with pytest.raises(SpecError, match=r"warm_start: the data of study other differs: f there"):
        warm(journal, fingerprint="another")
    journal = other_study(tmp_path / "2", metric="f1")
    with pytest.raises(SpecError, match=r"objective of study other differs: f1 there, accuracy"):
        warm(journal)


def test_scores_of_a_metric_whose_code_was_edited_are_refused(tmp_path):
    (tmp_path / "m.py").write_text("def accuracy(truth, prediction, weights): ...\n")
    space = {"units": {"type": "int", "low": 16, "high": 48}, "activation": "relu"}
    objective = {"metric": "m.py:accuracy", "direction": "maximize"}
    spec = declared(search_space=space, warm_start="other", objective=objective)
    file = load_dict(spec, folder=tmp_path)
    files = compute_digests([f"{tmp_path}/m.py:accuracy"], tmp_path)

    def copied(**began):
        journal = other_study(tmp_path / str(len(began["files"])), **began)
        return collect_trials(resolved(file), journal, fingerprint="f")

    assert 2 == len(copied(files=files).trials)
    with pytest.raises(SpecError, match=r"computed by other code: m\.py was edited since"):
        copied(files={**files, "m.py": "0", "model.py": "1"})


def test_a_study_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"warm_start: there is no study 'other' below .* no other"):
        warm(tmp_path / "new" / "journal.jsonl")


def test_a_damaged_study_is_to_be_repaired_or_left_out(tmp_path):
    journal = other_study(tmp_path)
    other = tmp_path / "other" / "journal.jsonl"
    content = other.read_bytes()
    other.write_bytes(content.replace(b'"epochs"', b'"epoch5"', 1))
    with pytest.raises(SpecError) as refused:
        warm(journal)
    assert str(refused.value).endswith("`hpsearch doctor --repair other`, or leave other out.")
    first, second, *rest = content.split(b"\n")
    second = encode_line(second[9:].replace(b'"epochs"', b'"epoch5"'))
    other.write_bytes(first + b"\n" + second + b"\n".join(rest))
    with pytest.raises(SpecError, match=r"Continue with that version, or leave other out\."):
        warm(journal)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("s", "warm_start: s is this study itself"),
        (["other", "s"], "warm_start: s is this study itself"),
        (["other", "other"], "warm_start: a study stands twice in other, other"),
    ],
)
def test_warm_start_names_other_studies_each_once(named, message):
    with pytest.raises(SpecError, match=message):
        check_study(load_dict({**declared(warm_start=named), "study": "s"}))


def test_a_check_notes_a_study_that_is_not_there_yet(tmp_path, monkeypatch):
    spec = load_dict(declared(warm_start=["other", "gone"])).spec
    other_study(tmp_path / "mlruns/studies")
    assert ["warm_start: gone is no study in this folder yet; tune needs it"] == [
        *note_missing_studies(spec, tmp_path)
    ]


# ---- earlier studies of other data ----


def learn(journal, space=None, **keys):
    space = space or {"units": {"type": "int", "low": 16, "high": 96}, "dropout": [0.0, 0.1]}
    file = load_dict(declared(search_space=space, warm_start=["other"], **keys))
    return file, collect_earlier_studies(resolved(file), journal)


def write_earlier_study(root, direction="maximize"):
    with Journal(root / "other" / "journal.jsonl") as journal:
        objective = {"metric": "f1", "direction": direction}
        named = {"study": "other", "key": "k", "fingerprint": "another"}
        journal.append(synthetic.event("study", **named, objective=objective))
        for number, units in enumerate([20, 40, 90, 99]):
            params = {"units": units, "activation": "relu"}
            ids = {"trial": number, "attempt": 0}
            asked = {**ids, "params": params, "seed": 1, "epochs": 3}
            journal.append(synthetic.event("asked", **asked))
            score = {"score": units / 100, "fold_scores": [units / 100]}
            journal.append(synthetic.event("result", **ids, state="COMPLETE", **score))
    return root / "new" / "journal.jsonl"


def test_trials_of_other_data_are_copied_with_what_the_spaces_share(tmp_path):
    path = write_earlier_study(tmp_path)
    file, (copied,) = learn(path)
    assert ("other", 1) == (copied.study, copied.left_out)
    with Journal(path) as journal:
        journal.append(StudyCreated(earlier_studies=[copied], objective=Objective("accuracy")))
    history = load_history(path)
    (trials,) = studies = read_earlier_studies(history)
    assert [({"units": u}, u / 100) for u in (20, 40, 90)] == [(t.params, t.score) for t in trials]
    assert [{"units": 90, "dropout": 0.0}] == find_best_points(file.spec, history, studies)


def test_studies_that_cannot_be_learned_from_are_refused(tmp_path):
    path = write_earlier_study(tmp_path / "1", direction="minimize")
    with pytest.raises(SpecError, match=r"warm_start: study other minimizes its objective"):
        learn(path)
    path = write_earlier_study(tmp_path / "2")
    narrow = {"units": {"type": "int", "low": 16, "high": 48}}
    with pytest.raises(SpecError, match=r"warm_start: 2 of the 4 complete trials of study other"):
        learn(path, narrow)
    several = {"objectives": [{"metric": "accuracy"}, {"metric": "f1"}]}
    for keys, reason in (
        ({"sampler": {"kind": "tpe"}}, "tpe cannot learn from studies of other data"),
        (several, "for one objective only"),
    ):
        with pytest.raises(SpecError, match=rf"warm_start: .*{reason}"):
            check_study(load_dict(declared(warm_start=["other"], **keys)))
