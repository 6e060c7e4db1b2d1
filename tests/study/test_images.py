"""A whole study on a folder of images, and its promotion."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

import hpsearch
from hpsearch.cli import main
from hpsearch.errors import SpecError
from hpsearch.promotion import parse_reference, promote_run
from hpsearch.promotion.scoring import predict_file
from hpsearch.tracking.store import open_store

SPACE = {"blocks": 1, "filters": 4, "units": 0, "learning_rate": [0.01, 0.02], "batch_size": 16}


def spec(**changes: object) -> dict[str, object]:
    return {
        "study": "sides",
        "data": {"source": "sides", "scaling": "minmax"},
        "cross_validation": {"kind": "stratified", "folds": 2},
        "model": "cnn",
        "training": {"epochs": 6},
        "search_space": SPACE,
        "budget": {"trials": 2},
        "selection": {"finalists": 0},
        **changes,
    }


def images(folder: Path, n: int) -> np.ndarray:
    """Grey images of which a class is bright on the left and the other on the right."""
    rng = np.random.default_rng(n)
    pixels = rng.integers(0, 100, (n, 8, 8), dtype=np.uint8)
    for i, image in enumerate(pixels):
        side = ("left", "right")[i % 2]
        image[:, slice(0, 4) if side == "left" else slice(4, 8)] += 120
        (folder / side).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / side / f"{i:03}.png")
    return pixels


@pytest.mark.usefixtures("inline_workers")
def test_a_folder_of_images_becomes_a_model_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "sides", 80)
    result = hpsearch.tune(spec(), workers=1)
    assert 2 == result.counts["complete"]
    assert result.test["accuracy"] > 0.9
    client = open_store(result.tracking_uri)
    promote_run(client, str(result.run_id), parse_reference("sides@champion"))
    images(tmp_path / "new", 10)
    done = CliRunner().invoke(main, ["predict", "sides@champion", "new", "-o", "answers.csv"])
    assert "10 rows to answers.csv" in done.stderr
    answers = pd.read_csv("answers.csv")
    assert [f.split("/")[0] for f in answers["file"]] == answers["label"].tolist()
    files = [np.asarray(Image.open(tmp_path / "new" / f)) for f in answers["file"]]
    np.save(tmp_path / "new.npy", np.stack(files))
    output = io.StringIO()
    predict_file(client, parse_reference("sides@champion"), tmp_path / "new.npy", output)
    again = pd.read_csv(io.StringIO(output.getvalue()))
    pd.testing.assert_frame_equal(answers.drop(columns="file"), again)


@pytest.mark.usefixtures("inline_workers")
def test_a_family_that_cannot_take_the_rows_is_refused_before_the_first_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"cnn takes rows of shape \(height, width, channels\)"):
        hpsearch.tune(spec(data={"source": "sklearn:wine"}), workers=1)
    assert not list(tmp_path.rglob("journal.jsonl"))
    wrong = {**SPACE, "pooling": ["max", "min"]}
    with pytest.raises(SpecError, match=r"search_space\.pooling: got 'min'; allowed: max, average"):
        hpsearch.tune(spec(search_space=wrong), workers=1)
