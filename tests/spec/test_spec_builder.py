"""A declaration built in Python equals the one loaded from its YAML."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hpsearch
from hpsearch import Choice, Float, Int, Spec
from hpsearch.errors import SpecError
from hpsearch.spec.study_file import load_dict, load_file

NUMBERS = st.floats(1e-12, 1e12, allow_subnormal=False)
CELLS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20),
    st.sampled_from(["yes", "no", "null", "~", "1e3", "1_000", "0x1F", "1:30", "on", "-", "# a"]),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)


@st.composite
def specs(draw):
    low, high = sorted(draw(st.tuples(NUMBERS, NUMBERS)))
    first, last = sorted(draw(st.tuples(st.integers(1, 99), st.integers(1, 99))))
    choices = draw(st.lists(CELLS, min_size=1, max_size=4, unique_by=repr))
    space = [
        Choice("own", choices, prior=[1.0] * len(choices)),
        Float("rate", low, high, log=draw(st.booleans()), prior=draw(st.sampled_from([None, low]))),
        Int("width", first, last, step=draw(st.integers(1, 3)), when={"own": choices[0]}),
        Float("depth", 0.0, 1.0, step=0.25, when={"rate": {"max": high}}),
    ]
    return Spec(space, study="drawn", model="models.py:build", data={"source": "a.csv"})


@settings(max_examples=30)
@given(specs())
def test_the_yaml_of_a_declaration_is_read_as_the_same(tmp_path_factory, spec):
    path = tmp_path_factory.getbasetemp() / "drawn.yaml"
    path.write_text(spec.to_yaml(), encoding="utf-8")
    (path.parent / "models.py").write_text("def build(): ...")
    assert load_file(path).written == load_dict(spec, folder=path.parent).written


def test_what_is_built_is_what_a_file_says():
    spec = Spec(
        [
            Choice("optimizer", ("sgd", "adam")),
            Float("learning_rate", 1e-4, 1e-1, log=True),
            Int("units", 8, 16, when={"optimizer": ["sgd"]}),
            Int("units", 32, 64, when={"optimizer": "adam"}),
        ],
        fixed={"layers": np.int64(2)},
        data={"source": "sklearn:wine"},
    )
    written = load_dict(spec).spec
    assert {"layers": 2} == written.fixed_params
    names = [p.name for p in written.space]
    assert ["optimizer", "learning_rate", "units", "units"] == names
    assert Float("learning_rate", 1e-4, 1e-1, log=True) == list(written.space)[1]
    assert "learning_rate: {type: float, low: 0.0001, high: 0.1, log: true}" in repr(spec)
    assert 4 == len(hpsearch.check(spec, read_data=False).study.spec.space)


def test_what_cannot_be_is_refused_where_it_is_built():
    with pytest.raises(SpecError, match=r"low=1 must not be greater than high=0"):
        Float("rate", 1, 0)
    with pytest.raises(SpecError, match=r"choices is empty"):
        Choice("kind", [])
    with pytest.raises(SpecError, match=r"search_space: rate: fixed, and varied as well"):
        Spec([Float("rate", 0, 1)], fixed={"rate": math.pi})
