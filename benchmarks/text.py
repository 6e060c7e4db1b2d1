"""Texts: the network's accuracy beside TF-IDF with logistic regression on the same folds.

    HPSEARCH_DATA=<tables> python benchmarks/text.py [--only sms_spam] [--trials 4] [--epochs 10]
        [--filters 0]

The tables are `sms_spam.csv.gz` and `app_reviews.csv.gz`. TF-IDF counts words and pairs of words of
a fold's training rows; both it and the logistic regression have scikit-learn's defaults. The
network is the family `mlp`; the score of a study's best trial is the mean over its folds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import hpsearch
from hpsearch.study.prepare import load_data
from hpsearch.study.tune import read_spec

TABLES = {"sms_spam": ("text", "label"), "app_reviews": ("reviewText", "Positive")}


def make_study(
    name: str, folder: Path, trials: int, epochs: int, filters: int = 0
) -> dict[str, Any]:
    """Make the study of a table."""
    text, target = TABLES[name]
    return {
        "study": name,
        "data": {
            "source": str(folder / f"{name}.csv.gz"),
            "target": target,
            "columns": {text: {"kind": "text"}},
        },
        "objective": {"metric": "accuracy"},
        "training": {"epochs": epochs, "early_stopping": {"patience": 3}},
        "search_space": {
            "learning_rate": {"type": "float", "low": 1e-3, "high": 3e-3, "log": True},
            "layers": 1,
            "text_filters": filters,
        },
        "budget": {"trials": trials},
        "selection": {"finalists": 0},
    }


def score_tfidf(spec: dict[str, Any], text: str) -> np.ndarray:
    """Return the accuracy of TF-IDF with logistic regression on each fold of a study."""
    dataset = load_data(read_spec(spec))
    texts = pd.read_csv(spec["data"]["source"])[text].fillna("").to_numpy()[dataset.rows]
    labels = dataset.target[:, 0] > 0.5
    scores = []
    for fold in dataset.folds:
        model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression())
        model.fit(texts[fold.train], labels[fold.train])
        scores.append(model.score(texts[fold.validation], labels[fold.validation]))
    return np.array(scores)


def main() -> None:
    """Print one line for each table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(TABLES))
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--filters", type=int, default=0)
    options = parser.parse_args()
    folder = Path(os.environ["HPSEARCH_DATA"]).resolve()
    for name in options.only.split(","):
        spec = make_study(name, folder, options.trials, options.epochs, options.filters)
        rival = score_tfidf(spec, TABLES[name][0])
        print(f"{name}: TF-IDF {rival.mean():.4f} ± {rival.std():.4f}", flush=True)
        with tempfile.TemporaryDirectory() as root:
            found = hpsearch.tune(spec, root=root, offline=True)
        print(f"{name}: network {found.best.score:.4f} ± {found.best.score_std:.4f}", flush=True)


if __name__ == "__main__":
    main()
