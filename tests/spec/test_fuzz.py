"""A study's file that was damaged anywhere is refused with a reason, or is a study.

Valid files are mutated: values are replaced, moved, repeated, nested or taken away, and their text
is damaged. Nothing but a `SpecError` may come out, whose lines name their place.
"""

from __future__ import annotations

import copy
import io
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hpsearch.errors import SpecError
from hpsearch.spec import parameter_domains as table
from hpsearch.spec.study_file import StudyFile, load_dict
from hpsearch.spec.type_coercion import resolve_params
from hpsearch.study.initial_trials import initial_points
from hpsearch.study.tune import read_spec

FILES = [
    """
study: one
seed: 7
data: {source: "sklearn:breast_cancer", test_fraction: 0.2, columns: {a: {kind: numeric}}}
task: binary
objective: {metric: roc_auc, threshold: 0.4}
cross_validation: {kind: stratified, folds: 3, repeats: 2}
training: {epochs: 12, early_stopping: {patience: 3, min_delta: 0.1, scope: fold}}
search_space:
  optimizer: [adam, sgd]
  learning_rate:
    - {type: float, low: 1e-4, high: 1e-1, log: true, when: {optimizer: adam}}
    - {type: float, low: 1e-3, high: 1, log: true, when: {optimizer: sgd}}
  momentum: {type: float, low: 0, high: 0.9, step: 0.1, when: {optimizer: sgd}}
  nesterov: {type: categorical, choices: [yes, no], when: {momentum: {min: 0.5}}}
  units: {type: int, low: 8, high: 32, step: 8}
  layers: {type: int, low: 1, high: 3, log: true}
  batch_size: 32
  schedule: [constant, cosine, piecewise]
  boundaries: "3, 6"
  loss: [binary_crossentropy, hinge]
constraints: [units * layers <= 64, layers < 3 or batch_size == 32]
sampler: {kind: gp, startup: 5}
pruner: {kind: hyperband, eta: 3, min_epochs: 2}
enqueue: [defaults, {units: 16, optimizer: sgd, momentum: 0}]
budget: {trials: 5, minutes: 3}
selection: {kind: ensemble, finalists: 2, seeds: 2}
execution: {workers: 2}
""",
    """
data: {source: "sklearn:digits", shape: [8, 8, 1], scaling: none}
model: cnn
objectives: [{metric: accuracy}, {metric: parameters}]
search_space:
  blocks: [1, 2]
  filters: {type: int, low: 4, high: 8}
  kernel_size: [3, 5]
  dropout: {type: float, low: 0.0, high: 0.5}
  activation: [relu, null]
  class_weight: [none, balanced]
sampler: {kind: nsga2, population: 10}
""",
    """
data: {}
model: nowhere.py:build
search_space: {anything: [1, a, null, true], width: {type: fixed, value: 4}, epochs: [1, 2]}
pruner: {kind: threshold, lower: 0.2}
warm_start: other
""",
]
NAMES = [name for _, reads in table.iter_readers() for name in reads]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.floats(),
    st.sampled_from([0, 1, -1, 0.5, 1e308, 5e-324, 2**63, 10**400, math.nan, math.inf]),
    st.sampled_from(["", "no", "off", "1", "-1", ".nan", "defaults", "a.py:f", "a:b", "\x00", "é"]),
    st.sampled_from(["float", "int", "categorical", "fixed", "adam", "sgd", "none", "low", "min"]),
    st.sampled_from(["units ** units ** 9", "1 / 0 < units", "units in [1", "((((1", "not"]),
    st.text(max_size=5),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["type", "low", "high", "step", "log", "choices", "value", "when"]),
                st.sampled_from(["min", "max", "kind", "metric", *NAMES]),
                st.text(max_size=3),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=6,
)


def parsed(text: str) -> dict[str, Any]:
    raw: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return raw


def spots(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key of a tree."""
    found = []
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        found.append((value, key))
        if isinstance(value[key], dict | list):
            found += spots(value[key])
    return found


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A valid declaration with up to three things in it replaced, renamed, added or taken away."""
    raw = copy.deepcopy(parsed(draw(st.sampled_from(FILES))))
    for _ in range(draw(st.integers(1, 3))):
        places = spots(raw)
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["replace", "remove", "swap", "add", "name"])):
            case "replace":
                container[key] = draw(VALUES)
            case "remove":
                del container[key]
            case "swap":
                other, name = draw(st.sampled_from(places))
                container[key] = copy.deepcopy(other[name])
            case "add" if isinstance(container, dict):
                container[draw(st.sampled_from(NAMES))] = draw(VALUES)
            case "name" if isinstance(container, dict):
                container[draw(st.text(max_size=4))] = container.pop(key)
    return raw


def check(raw: Any) -> None:
    """What comes of a declaration: a study whose points can be trained, or a `SpecError`."""
    with suppress(SpecError):
        accepted(read_spec(raw).file)


def accepted(file: StudyFile) -> None:
    """Hold a study against what a valid one promises."""
    initial_points(file.spec)
    assert file.raw == load_dict(file.raw, folder=file.folder).raw or has_nan(file.raw)
    resolve_params(
        {**file.spec.fixed_params, **file.spec.space.largest_point()}, file.spec.model_name
    )


def has_nan(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(has_nan, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and math.isnan(value)


@given(mutated())
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_declaration_is_refused_or_is_a_study(raw: dict[str, Any]) -> None:
    check(raw)


@given(st.sampled_from(NAMES), VALUES, st.sampled_from(list(table.FAMILY_DOMAINS)))
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_value_of_any_hyperparameter_is_trained_as_it_is_or_refused(
    name: str, value: Any, model: str
) -> None:
    check({"data": {}, "model": model, "search_space": {"learning_rate": 0.1, name: value}})


def damaged(text: str, at: int, cut: int, inserted: str) -> str:
    at %= len(text)
    return text[:at] + inserted + text[at + cut :]


TEXTS = st.builds(
    damaged,
    st.sampled_from(FILES),
    st.integers(0, 10_000),
    st.integers(0, 8),
    st.one_of(
        st.sampled_from(["\t", "{", "[", "]", "}", ": ", "&a ", "*a", "!!python/name:os ", "<<: "]),
        st.sampled_from(["- ", "#", "'", '"', "|", ">", "%", "?", "---\n", "\ufeff", "\x00", "1e"]),
        st.text(max_size=3),
    ),
)


@given(TEXTS)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_damaged_text_is_refused_or_is_a_study(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    check(written(tmp_path_factory, text))


def written(factory: pytest.TempPathFactory, text: str) -> Path:
    path = factory.getbasetemp() / "damaged.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


@pytest.mark.soak
@pytest.mark.timeout(1800)
@given(st.data())
@settings(
    max_examples=17_000,
    deadline=None,
    derandomize=False,  # other examples in each run
    suppress_health_check=list(HealthCheck),
)
def test_ten_minutes_of_damage(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    if data.draw(st.booleans()):
        check(data.draw(mutated()))
        return
    raw = data.draw(mutated())
    stream = io.StringIO()
    try:
        YAML(typ="safe", pure=True).dump(raw, stream)
    except Exception:  # what YAML cannot write
        return
    text = damaged(
        stream.getvalue() or " ",
        data.draw(st.integers(0, 10_000)),
        data.draw(st.integers(0, 3)),
        data.draw(st.text(max_size=2)),
    )
    check(written(tmp_path_factory, text))
