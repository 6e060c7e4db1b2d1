"""`${NAME}` in paths and addresses of a study file."""

import pytest

from hpsearch.errors import DataError, SpecError
from hpsearch.redaction import redact
from hpsearch.spec.study_file import load_dict, load_file

SPACE = "search_space: {units: [8, 16]}\n"


def load(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text + SPACE, encoding="utf-8")
    return load_file(tmp_path / "study.yaml")


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    monkeypatch.setenv("DATA", "/rows")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${DATA}/a.csv", "/rows/a.csv"),
        ("${DATA:other}/a.csv", "/rows/a.csv"),
        ("${UNSET:/d/e}/${UNSET:a}.csv", "/d/e/a.csv"),
        ("${EMPTY:a}.csv", "a.csv"),
        ("${oc.env:DATA}/a.csv", "/rows/a.csv"),
        ("${oc.env:UNSET,s3://bucket/a.csv}", "s3://bucket/a.csv"),
        ("${UNSET:s3://bucket:9/a.csv}", "s3://bucket:9/a.csv"),
        ("$${DATA}/a.csv", "${DATA}/a.csv"),
        ("$DATA/{a}.csv", "$DATA/{a}.csv"),
    ],
)
def test_a_reference_becomes_the_value_and_is_recorded_as_written(tmp_path, text, value):
    file = load(tmp_path, f'data: {{source: "{text}"}}\n')
    assert (value, text, text) == (
        file.spec.data.source,
        file.raw["data"]["source"],
        file.dump_written()["data"]["source"],
    )
    again = load_dict(file.dump_written(), folder=tmp_path)
    assert (file.spec, file.dump_written()) == (again.spec, again.dump_written())


def test_functions_and_the_cluster_may_be_given_by_variables(tmp_path, monkeypatch):
    for name, value in {"NET": "nets.py:build", "CODE": "code", "RAY": "ray://h:1"}.items():
        monkeypatch.setenv(name, value)
    text = (
        "data: {}\nmodel: ${NET}\nobjective: {metric: '${CODE}/m.py:f', direction: minimize}\n"
        "training: {callbacks: ['${UNSET:c}/c.py:make']}\nconstraints: ['${CODE}/r.py:fits']\n"
        "execution: {executor: ray, address: '${RAY}'}\n"
    )
    spec = load(tmp_path, text).spec
    expected = (f"{tmp_path}/nets.py:build", "code/m.py:f", ["c/c.py:make"], "ray://h:1")
    metric, address = spec.objective.metric, spec.execution.address
    assert expected == (spec.model_name, metric, spec.training.callbacks, address)
    assert [f"{tmp_path}/code/r.py:fits"] == spec.constraints
    tuner = load(tmp_path, "data: {}\nmodel: {keras_tuner: '${UNSET:tuned}/nets.py:build'}\n")
    assert f"keras_tuner:{tmp_path}/tuned/nets.py:build" == tuner.spec.model_name
    assert "${UNSET:tuned}/nets.py:build" == tuner.dump_written()["model"]["keras_tuner"]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("data: {source: '${UNSET}/a'}", 1, "data.source: the environment variable UNSET is not"),
        ("data: {source: '${EMPTY}'}", 1, "EMPTY is not set, or empty: set it, or give a default"),
        ("data: {source: '${oc.env:UNSET}'}", 1, "give a default as ${UNSET:default}"),
        ("data:\n  source: '${UNSET:-a}'", 2, "data.source: ${UNSET:-a} is not a reference"),
        ("data: {source: '${oc.decode:a}'}", 1, "Allowed: ${NAME}, ${NAME:default} or ${oc.env:"),
        ("data: {source: 'a${'}", 1, "${ is not a reference"),
        ("data: {source: '${A:${DATA}}'}", 1, "${ is not a reference"),
        ("data: {}\nseed: ${DATA}", 2, "seed: '${DATA}': only paths and addresses may name"),
        ("study: '${DATA}'\ndata: {}", 1, "data.source, data.test_source, execution.address"),
        ("data: {missing: ['${DATA}']}", 1, "data.missing.0: '${DATA}': only paths"),
        ("data: {source: {sql: 'select ${DATA}'}}", 1, "data.source.sql: "),
        ("data: {}\nmodel: ${DATA}", 2, "model: ${DATA} names no function: it must become FILE.py"),
        ("data: {}\nconstraints: ['units < ${DATA}']", 2, "constraints.0: units < ${DATA} names"),
        ("data: {}\nextends: '${UNSET}.yaml'", 2, "extends: the environment variable UNSET is"),
    ],
)
def test_what_cannot_be_resolved_is_refused_with_its_line(tmp_path, text, line, why):
    with pytest.raises(SpecError) as told:
        load(tmp_path, f"{text}\n")
    assert f"study.yaml:{line}: " in str(told.value)
    assert why in str(told.value)
    assert "/rows" not in str(told.value)


def test_an_escaped_text_is_a_text_everywhere(tmp_path):
    text = "data: {missing: ['$${na}']}\n"
    file = load(tmp_path, text)
    assert (["${na}"], ["$${na}"]) == (file.spec.data.missing, file.raw["data"]["missing"])
    assert ["$${na}"] == file.dump_written()["data"]["missing"]


def test_an_extended_file_resolves_its_references_in_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PART", "parts")
    (tmp_path / "base" / "parts").mkdir(parents=True)
    (tmp_path / "base" / "parts" / "a.csv").write_text("y\n1\n")
    declared = "model: '${PART}/nets.py:build'\ndata: {source: '${PART}/a.csv', test_source: "
    (tmp_path / "base" / "parts" / "nets.py").write_text("def build(): ...\n")
    (tmp_path / "base" / "base.yaml").write_text(f"{declared}'${{DATA}}/a.csv'}}\n")
    spec = load(tmp_path, "extends: '${UNSET:base}/base.yaml'\n").spec
    assert (str(tmp_path / "base/parts/a.csv"), "/rows/a.csv") == (
        spec.data.source,
        spec.data.test_source,
    )
    assert f"{tmp_path}/base/parts/nets.py:build" == spec.model_name


def test_an_override_may_be_a_reference(tmp_path):
    (tmp_path / "study.yaml").write_text("data: {}\n" + SPACE)
    file = load_file(tmp_path / "study.yaml", ["data.source=${DATA}/b.csv"])
    assert ("/rows/b.csv", "${DATA}/b.csv") == (file.spec.data.source, file.raw["data"]["source"])
    with pytest.raises(SpecError, match=r"--set data.source: the environment var"):
        load_file(tmp_path / "study.yaml", ["data.source=${UNSET}"])


def test_messages_show_an_address_as_written(tmp_path, monkeypatch):
    monkeypatch.setattr("hpsearch.redaction._addresses", {})
    monkeypatch.setenv("ROWS", "s3://canary-bucket/k7f3a9d2c4b6e8f01234/rows.csv")
    load(tmp_path, 'data: {source: "${ROWS}"}\n')
    told = str(
        DataError("s3://canary-bucket/k7f3a9d2c4b6e8f01234/rows.csv: no key k7f3a9d2c4b6e8f01234")
    )
    assert "${ROWS}: no key ${ROWS}" == told
    assert "rows.csv in canary" == redact("rows.csv in canary")
