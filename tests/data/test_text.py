"""Columns of free text: their encoding, and refusals."""

from pathlib import Path

import numpy as np
import pytest

from hpsearch.data.columns import CellCounts
from hpsearch.data.schema import Schema
from hpsearch.data.text_tokens import N_HASHES, encode_texts, hash_token, tokenize
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import ColumnSpec, DataSpec, WindowSpec
from hpsearch.study.init.table_profile import DeclaredColumn, profile_table
from hpsearch.study.init.wizard import write_starter

TEXT = {"message": {"kind": "text"}}
SENTENCES = [f"the {word} number {k} came, again" for k in range(20) for word in ("red", "blue")]


def rows(*texts: str) -> str:
    lines = [f'"{text}",{k},{k % 2}' for k, text in enumerate(texts)]
    return "\n".join(["message,size,y", *lines]) + "\n"


def test_words_punctuation_and_ideographs_are_tokens():
    assert ["it", "'", "s", "5", "€", "!"] == tokenize("It's 5 €!")
    assert ["日", "本", "is", "café_1"] == tokenize("日本 is Café_1")
    assert [] == tokenize(" \n ")


def test_numbers_of_tokens_are_exact_in_float32_and_never_the_padding():
    numbers = {hash_token(f"w{k}") for k in range(2000)} | {hash_token("\ud800")}
    assert 0 < min(numbers) <= max(numbers) <= N_HASHES < 2**24


def test_a_text_is_cut_or_padded_and_a_missing_one_is_missing():
    encoded = encode_texts(["a b c", "b", ""], 2)
    a, b = hash_token("a"), hash_token("b")
    np.testing.assert_array_equal([[a, b], [b, 0], [np.nan, np.nan]], encoded)


def test_texts_stand_behind_the_other_columns_and_pass_unscaled(load_file):
    data = load_file(rows(*SENTENCES), columns=TEXT, test_fraction=0)
    assert ["size", "message"] == [c.name for c in data.schema.columns]
    text = data.schema.column_inputs[-1]
    assert ("message", "text", 1, (7,)) == (text.name, text.kind, text.start, text.shape)
    statistics = data.statistics(data.folds[0].train)
    np.testing.assert_array_equal(
        encode_texts(SENTENCES, 7), statistics.apply(data.features)[:, text.start : text.stop]
    )


def test_a_served_schema_reads_texts_as_training_did_and_counts_missing_ones(load_file):
    data = load_file(rows(*SENTENCES), columns=TEXT, test_fraction=0)
    schema = Schema.from_json(data.schema.to_json())
    counts = CellCounts()
    cleaned = schema.clean({"message": ["the red", None], "size": [1, 2]}, counts)
    assert {"message": 1} == counts.missing
    np.testing.assert_array_equal(encode_texts(["the red", ""], 7), cleaned[:, 1:])


def test_missing_texts_are_padding_even_if_all_of_a_fold_are(load_file):
    data = load_file(rows(*[""] * 20, *SENTENCES), columns=TEXT, test_fraction=0)
    seen = data.statistics(np.arange(20)).apply(data.features)
    assert not seen[:20, 1:].any()
    assert np.isfinite(seen).all()


def test_as_many_tokens_are_read_as_the_longest_has_unless_declared(load_file):
    assert (7,) == load_file(rows(*SENTENCES), columns=TEXT).schema.columns[-1].shape
    declared = {"message": {"kind": "text", "tokens": 3}}
    data = load_file(rows(*SENTENCES), columns=declared)
    assert (3,) == data.schema.columns[-1].shape
    [note] = [n for n in data.notes if n.startswith("message")]
    assert "message: 32 of 32 texts have more than 3 tokens" in note
    assert "data.columns.message.tokens: 7 reads all" in note


def test_free_text_that_is_not_declared_is_refused_with_the_line_to_add(load_file):
    with pytest.raises(DataError, match=r"data.columns.message read them word by word \(kind: tex"):
        load_file(rows(*SENTENCES))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"kind": "text", "clip": (0, 1)}, "clip: not for kind: text"),
        ({"kind": "text", "indicator": True}, "indicator: not for kind: text"),
        ({"kind": "numeric", "tokens": 3}, "tokens is for kind: text"),
    ],
)
def test_options_that_mean_nothing_for_text_are_refused(options, why):
    with pytest.raises(ValueError, match=why):
        ColumnSpec(**options)


def test_windows_take_no_text(load_file):
    with pytest.raises(DataError, match="column 'message' is text, which windows do not take"):
        load_file(rows(*SENTENCES), columns=TEXT, windows=WindowSpec(rows=2))


def test_init_recognises_free_text_and_says_so(tmp_path):
    import pyarrow as pa

    table = pa.table({"message": SENTENCES, "code": [f"c{k}" for k in range(40)]})
    found = {
        f.name: f for f in profile_table(table, ["message", "code"], DataSpec(), _origin(), Path())
    }
    assert isinstance(found["message"], DeclaredColumn)
    assert "text" == found["message"].spec.kind
    assert "free text of 6 words" in found["message"].reason
    assert not isinstance(found["code"], DeclaredColumn)


def test_init_writes_the_hyperparameters_of_text(tmp_path):
    (tmp_path / "rows.csv").write_text(rows(*SENTENCES), encoding="utf-8")
    write_starter(str(tmp_path / "rows.csv"), "y", tmp_path / "s.yaml", [])
    text = (tmp_path / "s.yaml").read_text(encoding="utf-8")
    assert "message: {kind: text}   # free text of 6 words" in text
    assert "text_ngrams:   [1, 2]" in text
    for family in ("realmlp", "tabm"):
        file = tmp_path / f"{family}.yaml"
        write_starter(str(tmp_path / "rows.csv"), "y", file, [], family=family)
        assert "text_ngrams:   [1, 2]" in file.read_text(encoding="utf-8")


def _origin():
    from hpsearch.data.source_table import TableOrigin

    return TableOrigin()
