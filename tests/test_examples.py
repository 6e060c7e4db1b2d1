"""Examples in docstrings run; every sampler, pruner, trainer and executor has one."""

import doctest
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1] / "hpsearch"
SLOW = {  # they start a process, or a cluster
    "hpsearch.execution.process_executor",
    "hpsearch.execution.ray_executor",
    "hpsearch.training.vectorized.batch_engine",
}
METHODS = {
    "samplers": {"ask", "tell", "epochs"},
    "pruners": {"rungs", "verdicts"},
    "trainers": {"train", "prepare", "fit"},
    "executors": {"submit", "wait", "recall"},
}
FOLDERS = ("search/samplers", "search/pruners", "training", "execution")


def modules(*folders: str) -> Iterator[str]:
    for folder in folders or ("",):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT.parent).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__")


def source_of(module: str) -> str:
    path = ROOT.parent / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.read_text(encoding="utf-8")


WITH_EXAMPLES = [module for module in modules() if ">>> " in source_of(module)]


@pytest.mark.parametrize(
    "name",
    [pytest.param(m, marks=[pytest.mark.long] if m in SLOW else []) for m in WITH_EXAMPLES],
)
def test_the_examples_of_a_module_run(name: str) -> None:
    if name.endswith("ray_executor"):
        pytest.importorskip("ray")
    module = importlib.import_module(name)
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert 0 == found.failed


def pluggable_classes() -> Iterator[tuple[str, type[Any]]]:
    for name in modules(*FOLDERS):
        if not any(f"def {m}(" in source_of(name) for m in ("ask", "rungs", "prepare", "recall")):
            continue
        module = importlib.import_module(name)
        for _, found in inspect.getmembers(module, inspect.isclass):
            is_ours = found.__module__ == name and not getattr(found, "_is_protocol", False)
            if is_ours and any(m <= set(dir(found)) for m in METHODS.values()):
                yield name, found


def test_every_sampler_pruner_trainer_and_executor_has_an_example() -> None:
    found = list(pluggable_classes())
    assert len(found) >= 18
    assert [] == [c.__name__ for _, c in found if ">>> " not in (c.__doc__ or "")]
