"""Real data sets load without editing, and serving reads them as training does."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data import Dataset, Schema, load
from hpsearch.spec.data_spec import CrossValidationSpec, DataSpec

# fmt: off
ADULT = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation",
    "relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week",
    "native-country", "income",
]
WINE = [
    "fixed_acidity", "volatile_acidity", "citric_acid", "residual_sugar", "chlorides",
    "free_sulfur_dioxide", "total_sulfur_dioxide", "density", "pH", "sulphates", "alcohol",
    "quality",
]
# fmt: on
TIME = CrossValidationSpec(kind="time_series", gap=24)

# name -> declaration, folds, (task, development rows, test rows, columns, features)
SETS = {
    "telco": (
        {
            "source": "telco_churn/Telco-Customer-Churn.csv",
            "target": "Churn",
            "drop": ["customerID"],
        },
        None,
        ("binary", 5634, 1409, 19, 45),
    ),
    "adult": (
        {
            "source": "adult/adult.data.gz",
            "test_source": "adult/adult.test.gz",
            "names": ADULT,
            "target": "income",
            "missing": ["?"],
            "columns": {"income": {"replace": {"<=50K.": "<=50K", ">50K.": ">50K"}}},
        },
        None,
        ("binary", 32561, 16281, 14, 105),
    ),
    "bank": (
        {
            "source": "bank_marketing/bank-full.csv.gz",
            "target": "y",
            "drop": ["duration"],
            "missing": ["unknown"],
            "columns": {"pdays": {"missing": [-1], "indicator": True}},
        },
        CrossValidationSpec(kind="time_series"),
        ("binary", 36168, 9043, 15, 46),  # no September before the last fifth of the calls
    ),
    "california": (
        {"source": "california_housing/housing.csv.gz", "target": "median_house_value"},
        None,
        ("regression", 16512, 4128, 9, 13),
    ),
    "wine": (
        {
            "source": "wine_quality/winequality-white.csv",
            "names": WINE,
            "target": "quality",
            "drop_duplicates": True,
        },
        CrossValidationSpec(kind="kfold"),
        ("regression", 3168, 793, 11, 11),
    ),
    "bike": (
        {
            "source": "bike_sharing/hour.csv.gz",
            "target": "cnt",
            "drop": ["instant", "casual", "registered", "dteday"],
        },
        TIME,
        ("regression", 13903, 3476, 12, 12),
    ),
    "beijing": (
        {
            "source": "beijing_pm25/pollution.csv.gz",
            "target": "pm2.5",
            "drop": ["No"],
            "missing_target": "drop",
        },
        TIME,
        ("regression", 33405, 8352, 11, 14),
    ),
    "sgemm": (
        {
            "source": "sgemm_gpu/sgemm_product.csv.gz",
            "target": "Run1 (ms)",
            "drop": ["Run2 (ms)", "Run3 (ms)", "Run4 (ms)"],
        },
        None,
        ("regression", 193280, 48320, 14, 14),
    ),
}


@pytest.fixture(scope="module", params=SETS)
def opened(request: pytest.FixtureRequest, real_data: Path) -> tuple[Dataset, tuple]:
    """Each real set, opened once."""
    data, cv, shape = SETS[request.param]
    task = "regression" if shape[0] == "regression" else None
    spec = DataSpec(**data)
    return load(spec, task=task, cross_validation=cv, seed=7, folder=real_data), shape


def test_real_set_is_read_cleaned_divided_and_served(opened):
    data, shape = opened
    assert shape == (data.task, data.n_rows, len(data.locked_rows), data.n_columns, data.n_features)
    features = data.features
    for fold in data.folds:
        seen = data.statistics(fold.train).apply(features[fold.validation])
        assert np.isfinite(seen).all()
    served = Schema.from_json(json.loads(json.dumps(data.schema.to_json())))
    rows = data.locked_rows.read()
    frame = rows.table.to_pandas()
    np.testing.assert_array_equal(rows.columns, served.clean(frame))
    np.testing.assert_array_equal(rows.target, served.encode_target(frame))
    np.testing.assert_array_equal(rows.columns, served.clean(rows.table))


def test_telcos_blanks_are_missing_numbers(real_data: Path):
    data = load(
        DataSpec(**SETS["telco"][0]), task=None, cross_validation=None, seed=7, folder=real_data
    )
    at = next(i for i, c in enumerate(data.schema.columns) if c.name == "TotalCharges")
    assert "numeric" == data.schema.columns[at].kind
    missing = (
        np.isnan(data.columns[:, at]).sum() + np.isnan(data.locked_rows.read().columns[:, at]).sum()
    )
    assert 11 == missing


def test_telco_read_by_pandas_is_served_alike(real_data: Path):
    import pandas as pd

    spec = DataSpec(**SETS["telco"][0])
    data = load(spec, task=None, cross_validation=None, seed=7, folder=real_data)
    frame = pd.read_csv(real_data / spec.source)
    np.testing.assert_array_equal(data.columns, data.schema.clean(frame.iloc[data.rows]))
    memory = load(spec, task=None, cross_validation=None, seed=7, folder=real_data, arrays=frame)
    np.testing.assert_array_equal(data.columns, memory.columns)
    assert replace(data.schema, layout=None) == memory.schema  # a frame has no separator
    assert data.rows.tolist() == memory.rows.tolist()
