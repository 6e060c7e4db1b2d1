"""Small tables on disk, loaded as a study would load them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpsearch.data import Dataset, load
from hpsearch.spec.data_spec import CrossValidationSpec, DataSpec

Load = Callable[..., Dataset]


@pytest.fixture
def load_file(tmp_path: Path) -> Load:
    """Write `content` to a file and load it."""

    def loaded(
        content: str | bytes,
        *,
        name: str = "rows.csv",
        task: Any = None,
        cv: CrossValidationSpec | None = None,
        seed: int = 7,
        cache: Path | None = None,
        **data: Any,
    ) -> Dataset:
        raw = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(raw)
        spec = DataSpec(**{"source": name, "target": "y", **data})
        return load(spec, task=task, cross_validation=cv, seed=seed, folder=tmp_path, cache=cache)

    return loaded


@pytest.fixture
def load_memory(tmp_path: Path) -> Load:
    """Load arrays or frames."""

    def loaded(
        arrays: Any,
        *,
        task: Any = None,
        cv: CrossValidationSpec | None = None,
        seed: int = 7,
        cache: Path | None = None,
        **data: Any,
    ) -> Dataset:
        return load(
            DataSpec(**data),
            task=task,
            cross_validation=cv,
            seed=seed,
            folder=tmp_path,
            arrays=arrays,
            cache=cache,
        )

    return loaded
