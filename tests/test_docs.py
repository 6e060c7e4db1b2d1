"""The docs are correct and complete: examples are valid, every command and key is described."""

import re
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel
from study_file_schema import schema_agrees_with_the_loader  # noqa: F401  # used by every test

from hpsearch.cli import main
from hpsearch.models import FAMILIES
from hpsearch.search.objectives import COSTS
from hpsearch.search.pruners import PRUNERS
from hpsearch.search.samplers import SAMPLERS
from hpsearch.spec.parameter_domains import format_markdown_table
from hpsearch.spec.study_file import load_dict
from hpsearch.spec.study_spec import StudySpec
from hpsearch.study.tune import read_spec
from hpsearch.training.losses import LOSSES
from hpsearch.training.metrics import METRICS
from hpsearch.training.optimizers import OPTIMIZERS, list_optimizer_params
from hpsearch.training.schedules import SCHEDULES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.relative_to(ROOT / "docs").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").rglob("*.md"))
}
STUDY_FILE = "\n".join(  # the pages that describe the study file
    PAGES[f"{name}.md"]
    for name in (
        *("study_file", "search_space", "hyperparameters", "metrics"),
        *("samplers", "pruners", "trainers", "winner", "own_model"),
    )
)
SHIPPED = sorted((ROOT / "hpsearch" / "search_spaces").glob("*.yaml"))
SPECS = sorted((ROOT / "search_spaces").glob("*.yaml")) + SHIPPED


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_every_shipped_file_is_valid(path):
    assert read_spec(path).spec.study == path.stem.replace("_", "-")


def test_there_are_the_files_that_readme_promises():
    assert {"breast_cancer", "digits", "wine", "diabetes", "telco_churn"} <= {p.stem for p in SPECS}


def yaml_blocks(text: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", text, re.S)


@pytest.mark.parametrize("block", yaml_blocks(README) + yaml_blocks(STUDY_FILE))
def test_every_yaml_example_is_a_valid_study(block, tmp_path):
    path = tmp_path / "example.yaml"
    path.write_text(block, encoding="utf-8")
    read_spec(path)


@pytest.mark.usefixtures("inline_workers")
def test_the_python_example_of_readme_runs_and_prints_a_winner(tmp_path, monkeypatch, capsys):
    code = next(b for b in re.findall(r"```python\n(.*?)```", README, re.S) if "hpsearch.tune" in b)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert "'units': " in printed
    assert "'accuracy': " in printed


def test_the_python_example_is_a_model_that_trains(tmp_path):
    source = re.search(r"```python\n(# my_models.py\n.*?)```", STUDY_FILE, re.S)[1]
    scope: dict[str, Any] = {}
    exec(compile(source, "my_models.py", "exec"), scope)
    from hpsearch.models import Outputs

    model = scope["build"]({"width": 4}, (3,), Outputs(1, "sigmoid"))
    assert (None, 1) == model.output_shape


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_stands_in_readme(name):
    assert f"hpsearch {name}" in README


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_option_of_a_command_says_what_it_does(name):
    for option in main.commands[name].params:
        if isinstance(option, click.Option):
            assert option.help, f"{name} {option.name}"


def test_every_option_in_the_docs_is_one_of_its_command():
    unknown, n_options = [], 0
    for page, text in {"README.md": README, **PAGES}.items():
        for shown in re.finditer(r"\bhpsearch ((?:[a-z][\w-]* ?)+)[^`\n;|&#]*", text):
            command, words = main, shown[1].split()
            while isinstance(command, click.Group) and words and words[0] in command.commands:
                command = command.commands[words.pop(0)]
            known = {name for p in command.params for name in [*p.opts, *p.secondary_opts]}
            named = re.findall(r"(?<![\w-])--[a-z][\w-]*", shown[0])
            n_options += len(named)
            unknown += [f"{page}: {shown[0]}" for name in named if name not in known | {"--help"}]
    assert [] == unknown
    assert n_options > 80


def keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key of a section, but of the sections that have a page of their own."""
    found = []
    for name, field in model.model_fields.items():
        inner = (field.annotation, *getattr(field.annotation, "__args__", ()))
        section = next((t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)), None)
        if section is None or name in ("data", "cross_validation"):
            found.append(prefix + name)
        else:
            found += keys(section, f"{prefix}{name}.")
    return found


@pytest.mark.parametrize("key", keys(StudySpec))
def test_every_key_of_the_file_is_documented(key):
    assert f"| `{key}` |" in STUDY_FILE


def test_every_name_that_a_file_can_use_is_documented():
    known = {*METRICS, *OPTIMIZERS, *SAMPLERS, *PRUNERS, *COSTS}
    known |= {loss for task in LOSSES.values() for loss in task}
    known |= {argument for name in OPTIMIZERS for argument in list_optimizer_params(name)}
    known |= {argument for family in FAMILIES.values() for argument in family.defaults or ()}
    known |= {a for task in LOSSES.values() for _, reads in task.values() for a in reads}
    known |= {*SCHEDULES, *(a for reads in SCHEDULES.values() for a in reads)}
    assert set() == {name for name in known if f"`{name}`" not in STUDY_FILE}


def test_types_and_bounds_are_documented_as_they_are_checked():
    assert format_markdown_table() in STUDY_FILE


def test_the_documented_defaults_are_the_defaults():
    spec = load_dict({"data": {"source": "a.csv"}, "search_space": {"units": 8}}).spec
    rows = dict(re.findall(r"\| `([\w.]+)` \| `([^`]+)` \|", STUDY_FILE))
    assert rows["seed"] == str(spec.seed)
    assert rows["model"] == spec.model
    assert rows["training.epochs"] == str(spec.training.epochs)
    assert rows["training.trainer"] == spec.training.trainer
    assert rows["training.early_stopping.patience"] == str(spec.training.early_stopping.patience)
    assert rows["sampler.kind"] == spec.sampler.kind
    assert rows["budget.trials"] == str(spec.budget.trials)


def test_documents_that_are_linked_exist():
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
