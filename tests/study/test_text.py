"""A study on text beside numbers and categories: searched, promoted and served."""

import json
import random
from pathlib import Path

import pytest
from inline_worker_pool import training_inline

from .conftest import invoke

pytestmark = pytest.mark.long  # one study per trainer
ROWS = 120
WORDS = ("prize", "winner", "free", "call", "meet", "lunch", "home", "late", "today", "soon")


def write_table(path: Path) -> None:
    """A table whose label depends on two words and a number; some texts are missing."""
    rng = random.Random(0)
    lines = ["message,length,from,label"]
    for k in range(ROWS):
        words = rng.choices(WORDS, k=5)
        text = "" if k % 20 == 0 else " ".join(words)
        label = "spam" if {"prize", "free"} & set(text.split()) else "ham"
        lines.append(f'"{text}",{rng.random():.2f},{rng.choice("ab")},{label}')
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.parametrize("trainer", ["vectorized", "keras_fit"])
def test_text_is_searched_promoted_and_served(tmp_path, trainer):
    root = tmp_path
    write_table(root / "rows.csv")
    (root / "s.yaml").write_text(
        "study: texts\n"
        "data: {source: rows.csv, target: label, columns: {message: {kind: text}}}\n"
        "cross_validation: {folds: 2}\n"
        f"training: {{epochs: 12, early_stopping: null, trainer: {trainer}}}\n"
        "search_space: {text_ngrams: [1, 2], text_vocabulary: 500, text_size: 8, units: 4,\n"
        "  learning_rate: 0.02}\n"
        "sampler: {kind: grid}\nbudget: {trials: 2}\nselection: {finalists: 0}\n",
        encoding="utf-8",
    )
    with training_inline():
        told = json.loads(invoke(root, "tune", "s.yaml", "--quiet", "--json").output)
        assert 2 == told["trials"]["complete"], told
        assert told["best"]["score"] > 0.7  # ROC AUC: the words are found
        invoke(root, "promote", "texts", "--as", "texts")
        answers = invoke(root, "predict", "texts@champion", "rows.csv").output.splitlines()
    rows = [line for line in answers if line.startswith(("ham,", "spam,"))]
    assert ROWS == len(rows)
