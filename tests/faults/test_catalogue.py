"""docs/reliability.md only lists existing tests, and fault injection existing steps."""

import pytest

from hpsearch.errors import SpecError
from hpsearch.fault_injection import ACTIONS, STEPS, Fault, parse_faults
from tests.faults.table import ROOT, known, rows


def test_every_row_of_the_catalogue_names_a_test_that_exists():
    assert len(rows()) > 45
    assert set() == {row["test"] for row in rows()} - known().keys()


def test_every_step_is_reached_somewhere():
    source = "".join(p.read_text() for p in (ROOT / "hpsearch").rglob("*.py"))
    assert set() == {step for step in STEPS if f'fault_point("{step}")' not in source}


def test_faults_are_read_from_their_text():
    assert (Fault("after_ask", 3, "kill"), Fault("after_tell", 1, "int")) == parse_faults(
        "after_ask:3=kill, after_tell=int"
    )
    assert () == parse_faults("")


@pytest.mark.parametrize("text", ["after_ask", "nowhere:1=kill", "after_ask:0=kill", "after_ask=x"])
def test_an_unknown_fault_is_refused_with_those_that_exist(text):
    with pytest.raises(SpecError, match="Steps: after_ask") as told:
        parse_faults(text)
    assert set() == {name for name in ACTIONS if name not in str(told.value)}
