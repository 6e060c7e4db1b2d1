"""A study continues only with an unchanged declaration, or with accepted changes."""

import json
import re
import sys
from contextlib import chdir
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import synthetic
from study.conftest import invoke

from hpsearch.history import load_history
from hpsearch.models.families import mlp
from hpsearch.reporting.trial_export import trial_rows
from hpsearch.search import pruners
from hpsearch.spec.function_reference import load_function
from hpsearch.spec.study_file import StudyFile, load_dict
from hpsearch.spec.study_spec import StudySpec, TrainingSpec
from hpsearch.study import declaration
from hpsearch.study.declaration import (
    build_declaration,
    find_changes,
    packages_of,
    resolve_defaults,
)
from hpsearch.study.maintenance.rerun import rerun_trial
from hpsearch.study.resolved_study import ResolvedStudy, choose_pruner, with_task
from hpsearch.tracking import mlflow_layout

DECLARED = {
    "study": "s",
    "data": {"source": "rows.csv", "target": "y"},
    "objective": {"metric": "m.py:cost", "direction": "minimize"},
    "search_space": {
        "units": [4, 8],
        "learning_rate": {"type": "float", "low": 0.001, "high": 0.1},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m.py").write_text("from helper import scale\n" + COST)
    (tmp_path / "helper.py").write_text("scale = 1.0\n")
    return tmp_path


COST = """
def cost(truth, prediction, weights):
    return scale * float(abs(truth - prediction).mean())
"""


def file_of(folder: Path, **declared) -> StudyFile:
    return load_dict({**DECLARED, **declared}, folder=folder)


def resolved(file: StudyFile) -> ResolvedStudy:
    return with_task(choose_pruner(file), "binary")


def journalled(file: StudyFile, *leave_out: str) -> dict:
    """A journal's first line, as far as it is compared; without what an older version lacks."""
    fields = {"spec": file.raw, **build_declaration(resolved(file)).to_record()}
    kept = {k: v for k, v in fields.items() if k not in leave_out}
    return json.loads(json.dumps(kept))


def differences(before: dict, file: StudyFile, trainer: str = "vectorized") -> list[str]:
    packages = packages_of(resolved(file), trainer)
    now = build_declaration(resolved(file))
    event = synthetic.event("study", **before)
    return [str(change) for change in find_changes(event, now, file=file, packages=packages)]


def test_nothing_differs_where_nothing_was_changed(folder: Path) -> None:
    file = file_of(folder)
    assert [] == differences(journalled(file), file)


def test_a_resolved_declaration_is_a_declaration(folder: Path) -> None:
    ranges = [
        {"type": "float", "low": 0.1, "high": 0.2, "when": {"optimizer": "sgd"}},
        {"type": "float", "low": 0.3, "high": 0.4, "when": {"optimizer": "rmsprop"}},
    ]
    space = {"optimizer": ["sgd", "rmsprop"], "momentum": ranges, "activation": "relu"}
    more = {"pruner": {"kind": "asha"}, "search_space": space, "enqueue": {"optimizer": "sgd"}}
    for raw in (DECLARED, {**DECLARED, **more}):
        again = json.loads(json.dumps(resolve_defaults(raw)))
        assert StudySpec.model_validate(raw) == StudySpec.model_validate(again)


@pytest.mark.parametrize("name", ["m.py", "helper.py"])
def test_an_edit_of_the_users_code_is_found(folder: Path, name: str) -> None:
    before = journalled(file_of(folder))
    (folder / name).write_text((folder / name).read_text() + "# edited\n")
    [found] = differences(before, file_of(folder))
    assert re.fullmatch(rf"code {name}: SHA-256 \w{{12}} then, SHA-256 \w{{12}} now", found)


def test_a_helper_that_is_new_is_found(folder: Path) -> None:
    before = journalled(file_of(folder))
    (folder / "helper.py").write_text("from other import scale\n")
    (folder / "other.py").write_text("scale = 1.0  # new\n")
    found = differences(before, file_of(folder))
    assert ["code helper.py", "code other.py"] == [line.split(":")[0] for line in found]
    assert "not used then" in found[1]


def test_a_file_that_was_only_moved_is_the_same(folder: Path) -> None:
    before = journalled(file_of(folder))
    (folder / "lib").mkdir()
    for name in ("m.py", "helper.py"):
        (folder / name).rename(folder / "lib" / name)
    moved = {"metric": "lib/m.py:cost", "direction": "minimize"}
    [found] = differences(before, file_of(folder, objective=moved))
    assert found.startswith("objective.metric: 'm.py:cost' then")


def test_a_default_of_the_study_file_that_changed_is_found(folder: Path) -> None:
    file = file_of(folder)
    before = journalled(file)
    later = file.written.model_copy(update={"training": TrainingSpec(epochs=5)})
    found = differences(before, replace(file, written=later))
    assert ["training.epochs: 50 then, 5 now (a default)"] == found
    assert [] == differences(before, file_of(folder, training={"epochs": 50}))


def test_a_default_that_lies_elsewhere_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = journalled(file_of(folder))
    monkeypatch.setitem(mlp.DEFAULTS, "layers", 3)
    monkeypatch.setitem(mlp.DEFAULTS, "units", 99)  # which this study declares
    monkeypatch.setitem(pruners._RUNG_OPTIONS, "eta", 4)
    expected = {"defaults.layers: 2 then, 3 now (a default)"}
    expected.add("defaults.pruner.eta: 3 then, 4 now (a default)")
    assert expected == set(differences(before, file_of(folder)))


def test_a_declared_option_of_the_pruner_is_compared_with_its_default(folder: Path) -> None:
    before = journalled(file_of(folder))
    usual = {"kind": "hyperband", "eta": 3}
    assert [] == differences(before, file_of(folder, pruner=usual))
    [found] = differences(before, file_of(folder, pruner={**usual, "eta": 4}))
    assert "pruner.eta: 3 then, 4 now" == found
    found = differences(before, file_of(folder, pruner={"kind": "asha"}))
    assert ["pruner.kind: 'hyperband' then, 'asha' now"] == found
    assert [] == differences(journalled(file_of(folder, pruner=usual)), file_of(folder))


def test_changes_of_the_space_are_told_in_the_words_of_the_file(folder: Path) -> None:
    before = journalled(file_of(folder))
    space = {"nesterov": {"type": "categorical", "choices": [True, False], "prior": True}}
    found = differences(before, file_of(folder, search_space=space))
    assert "search_space.nesterov.choices: not given then, [true, false] now" in found
    assert "search_space.nesterov.prior: not given then, true now" in found


def test_a_key_that_is_newer_than_the_journal_counts_if_it_is_declared(folder: Path) -> None:
    before = journalled(file_of(folder))
    del before["resolved"]["training"]["population"]
    assert [] == differences(before, file_of(folder))
    [found] = differences(before, file_of(folder, training={"population": 2}))
    assert "training.population: not given then, 2 now" == found


@pytest.mark.parametrize(
    ("package", "changed", "trainer"),
    [
        ("keras", True, "vectorized"),
        ("numpy", True, "vectorized"),
        ("hpsearch", True, "vectorized"),
        ("optuna", True, "vectorized"),  # of the default sampler
        ("jax", True, "vectorized"),
        ("jax", False, "keras_fit"),
        ("tensorflow", True, "keras_fit"),
        ("tensorflow", False, "vectorized"),
        ("keras-tuner", False, "vectorized"),
        ("mlflow", False, "vectorized"),
    ],
)
def test_versions_count_where_they_train_or_sample(
    folder: Path, package: str, changed: bool, trainer: str
) -> None:
    file = file_of(folder)
    before = journalled(file)
    before["environment"][package] = "0.0.1"
    line = f"version of {package}: 0.0.1 then, {metadata.version(package)} now"
    assert ([line] if changed else []) == differences(before, file, trainer)


def test_a_package_that_is_not_installed_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name == "tensorflow":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(declaration.metadata, "version", version)
    found = declaration.describe_environment()
    assert "tensorflow" not in found
    assert "1.0" == found["jax"]


def test_an_older_journal_is_compared_as_far_as_it_goes(folder: Path) -> None:
    before = journalled(file_of(folder), "resolved", "defaults", "files")
    for name in ("hpsearch", "jaxlib", "keras-tuner"):
        before["environment"].pop(name)
    (folder / "helper.py").write_text("scale = 2.0\n")
    assert [] == differences(before, file_of(folder))
    [found] = differences(before, file_of(folder, training={"epochs": 7}))
    assert f"training.epochs: {TrainingSpec().epochs} then, 7 now" == found


def test_a_file_imports_what_lies_beside_it_and_leaves_no_trace(folder: Path) -> None:
    before = list(sys.path)
    assert 2.0 == load_function(f"{folder}/m.py:cost")(np.ones(3), 3 * np.ones(3), None)
    assert before == sys.path
    assert "helper" not in sys.modules
    (folder / "helper.py").write_text("scale = 10.0  # longer\n")
    assert 20.0 == load_function(f"{folder}/m.py:cost")(np.ones(3), 3 * np.ones(3), None)


# ---- a whole study ----

SPEC = """\
study: s
data: {source: "sklearn:breast_cancer"}
objective: {metric: "m.py:cost", direction: minimize}
cross_validation: {folds: 2}
training: {epochs: 1}
search_space: {units: [2, 3, 4, 5]}
sampler: {kind: random}
pruner: {kind: none}
selection: {finalists: 0}
budget: {trials: 1}
"""


@pytest.mark.usefixtures("inline_workers")
def test_a_study_whose_code_was_edited_goes_on_only_if_told_to_and_says_so(folder: Path) -> None:
    (folder / "s.yaml").write_text(SPEC)
    command = ("tune", "s.yaml", "--offline", "--trials")
    invoke(folder, *command, 1)
    (folder / "helper.py").write_text("scale = 1.0 - 9.0  # better!\n")

    refused = invoke(folder, *command, 2, code=2)
    assert "code helper.py: SHA-256" in refused.stderr
    assert "--accept-changes" in refused.stderr
    refused = invoke(folder, *command, 2, "--seed", 9, "--accept-changes", code=2)
    assert "Trials with another seed cannot be ranked together" in refused.stderr
    journal = folder / "mlruns" / "studies" / "s" / "journal.jsonl"
    assert [0] == [t.number for t in load_history(journal).trials]

    invoke(folder, *command, 2, "--accept-changes")
    history = load_history(journal)
    assert [0, 1] == [t.revision for t in history.trials]
    assert [0, 1] == [row["revision"] for row in trial_rows(history)]
    note = "revision 1 from trial 1: code helper.py"
    assert note in invoke(folder, "top", "s").stdout
    shown = invoke(folder, "show", "s", 0).stdout
    assert re.search(r"revision +0 of 1", shown)
    assert note in shown
    tags = [mlflow_layout.trial_tags(history, t, "parent")["revision"] for t in history.trials]
    assert ["0", "1"] == tags
    assert note in mlflow_layout.outcome_tags(history)["changes"]

    invoke(folder, *command, 2)  # what was accepted is no difference any more
    invoke(folder, "report", "s", "-o", "page.html")
    assert note in (folder / "page.html").read_text()
    with chdir(folder):
        again = rerun_trial(journal, 0)
    assert not again.is_same
    assert ["code helper.py"] == list(again.changed)
    _as_of_an_older_version(journal)
    invoke(folder, *command, 2)


def _as_of_an_older_version(journal: Path) -> None:
    """Take away what the journal of a version before had not."""
    records = [r for r in synthetic.read_records(journal) if r["event"] != "changed"]
    for name in ("resolved", "defaults", "files"):
        del records[0][name]
    journal.write_bytes(b"".join(synthetic.line({**r, "seq": n}) for n, r in enumerate(records)))


@pytest.mark.long  # tests/search/test_space_edit.py has the edits without training
@pytest.mark.usefixtures("inline_workers")
def test_an_edited_space_is_accepted_once_and_keeps_the_trials_in_it(folder: Path) -> None:
    (folder / "s.yaml").write_text(SPEC.replace("[2, 3, 4, 5]", "[2, 3, 4]"))
    command = ("tune", "s.yaml", "--offline", "--trials")
    invoke(folder, *command, 2)
    journal = folder / "mlruns" / "studies" / "s" / "journal.jsonl"
    first, second = (t.params["units"] for t in load_history(journal).trials)

    (folder / "s.yaml").write_text(SPEC.replace("[2, 3, 4, 5]", "[8, 9]"))
    refused = invoke(folder, *command, 3, "--accept-changes", code=2)
    assert "none of the 2 finished trials of study s lies in the edited space" in refused.stderr
    (folder / "s.yaml").write_text(SPEC.replace("[2, 3, 4, 5]", f"[{first}, 9]"))
    refused = invoke(folder, *command, 3, code=2)
    assert f"search_space.units.choices: [2, 3, 4] then, [{first}, 9] now" in refused.stderr
    assert "1 of 2 trials lie in the edited space" in refused.stderr
    assert "--accept-changes" in refused.stderr

    invoke(folder, *command, 3, "--accept-changes")
    history = load_history(journal)
    assert first != second
    assert [first, second, 9] == [t.params["units"] for t in history.trials]
    assert {1} == history.outside
    assert history.winner.trial in (0, 2)
    invoke(folder, *command, 3)  # it is not asked for again
    assert "1 outside the edited space" in " ".join(invoke(folder, "top", "s").stdout.split())
