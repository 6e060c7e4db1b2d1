"""Declarations with secrets are refused, similar ones without secrets are not."""

import pytest

from hpsearch.errors import SpecError
from hpsearch.spec.secrets import find_secrets
from hpsearch.study.tune import read_spec

CANARY = "Canary7f3a9"


@pytest.mark.parametrize(
    ("declared", "keys"),
    [
        ({"model": {"store": f"postgresql://ann:{CANARY}@db/x"}}, ["model.store"]),
        ({"search_space": {"db_password": CANARY}}, ["search_space.db_password"]),
        ({"search_space": {"api_key": [CANARY, 3]}}, ["search_space.api_key"]),
        ({"data": {"source": f"https://host/t.csv?token={CANARY}"}}, ["data.source"]),
        ({"data": {"columns": {"password": "categorical", "token": "numeric"}}}, []),
        ({"search_space": {"token": ["cls", "mean"], "key": "adam", "secret": 3}}, []),
        ({"search_space": {"units": {"type": "int", "low": 1, "high": 2}}, "seed": 3}, []),
    ],
)
def test_a_secret_in_a_declaration_is_found_by_its_form_or_its_key(declared, keys):
    assert keys == list(find_secrets(declared))


def test_a_declaration_with_a_secret_is_refused_with_its_line_and_the_remedy(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(
        f'data: {{source: "sklearn:wine"}}\nsearch_space:\n  units: [8, 16]\n  password: {CANARY}\n'
    )
    with pytest.raises(SpecError) as told:
        read_spec(file)
    assert f"{file}:4: search_space.password: looks like a secret" in str(told.value)
    assert "environment variable" in str(told.value)
    assert CANARY not in str(told.value)
