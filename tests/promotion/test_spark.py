"""A promoted model as a function of Spark, as docs/cluster.md describes it."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from promotion.conftest import Store

from hpsearch.promotion import Reference, promote_run

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")  # Spark warns of pandas 3, and of sockets that it leaves
def test_the_script_of_the_page_scores_a_folder_by_spark(
    store: Store, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyspark", reason="PySpark is not installed: pip install pyspark")
    if shutil.which("java") is None:
        pytest.skip("Java is not here: apt-get install default-jre-headless")
    import mlflow
    from mlflow import pyfunc

    name = Reference("sparkling")
    promote_run(store.client, store.study("sparkling"), name)
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(store.uri)
    frame = pd.read_csv(table)
    (tmp_path / "lake").mkdir()
    frame.to_parquet(tmp_path / "lake" / "rows.parquet")
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    exec(compile(script.replace("churn@champion", "sparkling@champion"), "score.py", "exec"), {})
    found = pd.read_parquet(tmp_path / "lake" / "answers").sort_values("id")
    expected = pyfunc.load_model("models:/sparkling@champion").predict(frame)
    assert expected["label"].tolist() == found["label"].tolist()
    np.testing.assert_allclose(expected["probability_yes"], found["probability_yes"], atol=1e-6)
