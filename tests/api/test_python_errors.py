"""Errors that a function raises name its arguments, not the options of a command."""

import ast
import re
from pathlib import Path

import pytest

import hpsearch
from hpsearch.errors import JournalError, PromotionError, SpecError
from hpsearch.python_errors import to_python
from tests import synthetic

ROOT = Path(hpsearch.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
# Modules whose options are those of a command that has no function, or of another program.
COMMANDS = {
    "python_errors.py",  # the options that it replaces
    "study/init/wizard.py",
    "study/init/forecast_proposal.py",
    "reporting/trial_export.py",
    "promotion/model_export.py",
    "promotion/model_loading.py",
    "promotion/scoring.py",
    "promotion/folder_scoring.py",
    "tracking/study_deletion.py",
    "tracking/artifact_store.py",
    "tracking/store.py",
    "tracking/sender.py",
    "study/git_provenance.py",
    "execution/devices.py",
    "execution/slurm_script.py",  # of Slurm and Ray
    "execution/spark_cluster.py",
    "data/addresses.py",  # where a command writes its file
    "answers/action_answers.py",  # describes what doctor --json prints
}


def docstrings(tree: ast.AST) -> set[int]:
    bodies = [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]
    return {
        id(body[0].value)
        for body in bodies
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    }


def texts(path: Path) -> list[str]:
    """Texts of a file that may name options, but its docstrings; what is filled in reads X."""
    source = path.read_text(encoding="utf-8")
    if "--" not in source:
        return []  # and need not be parsed: it names no option
    tree = ast.parse(source)
    inner = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node)
        if part is not node
    }
    skipped = docstrings(tree) | inner
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = [getattr(part, "value", "X") for part in node.values]
            found.append("".join(part if isinstance(part, str) else "X" for part in parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


NAMING = [
    (str(path.relative_to(ROOT)), text)
    for path in sorted(ROOT.rglob("*.py"))
    if path.relative_to(ROOT).parts[0] not in ("cli", "api", "mcp")
    and path.relative_to(ROOT).as_posix() not in COMMANDS
    for text in texts(path)
    if OPTION.search(text)
]


def test_there_are_messages_that_name_options():
    assert len(NAMING) > 10


@pytest.mark.parametrize(("file", "text"), NAMING, ids=[file for file, _ in NAMING])
def test_no_message_of_a_function_names_an_option(file, text):
    said = re.sub(r"`hpsearch [^`]*`|pip install --upgrade", "", to_python(text))
    assert [] == OPTION.findall(said)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("--set a.b=3: a is not a section", "overrides: a.b=3: a is not a section"),
        ("--set budget.trials: got 'x'", "overrides: budget.trials: got 'x'"),
        (
            "--fresh --set objective.threshold=0.5.",
            'fresh=True overrides=["objective.threshold=0.5"].',
        ),
        ("Correct --tracking-uri, or leave it out", "Correct tracking_uri, or leave it out"),
        ("Name another with --study NAME, or", 'Name another with overrides=["study=NAME"], or'),
        (
            "`hpsearch enqueue s --like 3 --epochs 9`",
            'hpsearch.load("s").enqueue({}, like=3, epochs=9)',
        ),
        ("`hpsearch tune SPEC --fresh` begins", "`hpsearch tune SPEC --fresh` begins"),
    ],
)
def test_an_option_becomes_the_argument_of_its_function(message, expected):
    assert expected == to_python(message)


def test_the_functions_speak_python(tmp_path):
    given = {"data": {"source": "sklearn:wine"}, "search_space": {"units": [4]}}
    with pytest.raises(SpecError, match=r"^overrides: budget\.trials: "):
        hpsearch.tune(given, overrides=["budget.trials=x"], root=tmp_path)
    with pytest.raises(SpecError, match=r"^overrides: units: write key\.path=value"):
        hpsearch.check(given, overrides=["units"])
    with pytest.raises(PromotionError, match=r"^confidence: "):
        hpsearch.promote("wine", "wine", confidence=2, root=tmp_path)


def test_a_study_whose_trial_cannot_be_extended_names_the_call_that_trains_another(tmp_path):
    folder = tmp_path / "mlruns" / "studies" / "churn"
    folder.mkdir(parents=True)
    records = [r for r in synthetic.study(3, epochs=4) if r["event"] != "final"]
    for record in records:
        if record["event"] == "asked":
            record["params"]["schedule"] = "cosine"
    synthetic.write(folder / "journal.jsonl", records)
    study = hpsearch.load("churn", tmp_path)
    with pytest.raises(JournalError, match="As another trial, from its first epoch: ") as refused:
        study.extend(0, epochs=9)
    call = str(refused.value).rpartition(": ")[2]
    assert 'hpsearch.load("churn").enqueue({}, like=0, epochs=9)' == call


def test_a_notebook_shows_an_error_as_its_message():
    assert ["SpecError: a: wrong\\x1b[31m"] == SpecError("a: wrong\x1b[31m")._render_traceback_()
