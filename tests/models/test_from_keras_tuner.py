"""The model and the study of docs/from_keras_tuner.md are valid."""

import re
from pathlib import Path

from hpsearch.study.tune import read_spec

PAGE = (Path(__file__).parents[2] / "docs" / "from_keras_tuner.md").read_text(encoding="utf-8")


def test_the_study_of_the_page_finds_the_space_of_its_model(tmp_path: Path) -> None:
    [model] = re.findall(r"```python\n(# my_models.py\n.*?)```", PAGE, re.S)
    [study] = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    (tmp_path / "my_models.py").write_text(model, encoding="utf-8")
    (tmp_path / "study.yaml").write_text(study, encoding="utf-8")
    file = read_spec(tmp_path / "study.yaml").file
    conditions = {p.name: dict(p.when) for p in file.spec.space}
    expected = {
        "num_layers": {},
        "units_0": {},
        "activation": {},
        "dropout": {},
        "lr": {},
        "units_1": {"num_layers": (2, 3)},
        "units_2": {"num_layers": (3,)},
        "batch_size": {},
    }
    assert expected == conditions
    assert file.model_facts["compiled"]
