"""The commands, files and messages that the pages of the docs show.

Every command is parsed. The pages in WALKED are done from the first line to the last, in an empty
folder, with short studies. The messages of the FAQ are those of the code.
"""

import ast
import csv
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpsearch.cli import main

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
WALKED = [
    *("tutorial", "serving", "text", "images", "time_series", "python", "scikit_learn", "gpu"),
    *("from_keras_tuner", "from_optuna", "from_ray_tune", "from_wandb", "from_scikit_learn"),
]
ELSEWHERE = {  # pages with commands of other programs -> why they are not walked
    "README.md": "tests/test_docs.py and tests/study; make and pip change this environment",
    "docs/install.md": "changes the environment; tests/test_wheel.py installs the wheel",
    "docs/json_output.md": "tests/cli/test_json_answers.py",
    "docs/cluster.md": "tests/test_cluster_docs.py",
    "docs/mlflow_server.md": "tests/test_cluster_docs.py",
    "docs/docker.md": "needs Docker",
    "docs/notebook.md": "changes the environment; tests/test_notebooks.py executes the notebooks",
    "docs/data.md": "tests/test_data_docs.py",
    "docs/logging.md": "tests/cli/test_logging.py",
    "docs/cross_validation.md": "tests/data/test_outer_folds.py",
}
SHORT = " --trials 2 --workers 1 --set training.epochs=10"
NOT_RUN = {
    "pip install": "changes the environment",
    "export": "for the next line",
    "mlflow models serve": "tests/study/test_in_use.py serves a model",
    "curl": "asks that server",
}
STUDY = """\
study: example
data: {source: "sklearn:wine"}
cross_validation: {folds: 2}
search_space: {units: [4, 8]}
"""


def shown_commands(text: str) -> list[str]:
    """The lines of a page's indented blocks, without comments, continued lines joined."""
    plain = re.sub(r"```.*?```", "", text, flags=re.S)
    lines = re.findall(r"^ {4}(\S.*)$", re.sub(r"\\\n\s+", "", plain), re.M)
    return [re.sub(r"\s+#.*$", "", line) for line in lines]


def split_page(text: str) -> Iterator[tuple[str, str]]:
    """Yield the files, the Python code and the commands of a page, in its order.

    A fenced block whose first line is a comment with a file's name is that file.
    """
    for block in re.finditer(r"```(\w*)\n(.*?)```|^ {4}(\S[^\n]*)$", text, re.S | re.M):
        language, body, line = block.groups()
        if line is not None:
            yield "command", re.sub(r"\s+#.*$", "", line)
        elif named := re.match(r"# ([\w.]+\.(?:py|yaml))\n", body):
            yield named[1], body
        elif language == "python":
            yield "python", body


HPSEARCH = sorted(
    {
        (page, line)
        for page, text in PAGES.items()
        for line in shown_commands(text)
        if line.startswith("hpsearch ")
    }
)


@pytest.mark.parametrize(("page", "line"), HPSEARCH)
def test_a_command_has_the_arguments_that_a_page_shows(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(re.split(r" (?:\|\||&&|[|>&]) ?", line)[0])[1:]
    for argument in arguments:
        if re.fullmatch(r"[\w/]+\.(yaml|csv|csv\.gz)|[\w/]+/[\w-]*", argument):
            path = tmp_path / argument
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if "." not in argument else path.write_text("a,b\n", encoding="utf-8")
    with main.make_context("hpsearch", arguments) as context:
        name, command, rest = main.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        with command.make_context(name, rest, parent=context):
            pass


def test_each_page_with_commands_is_walked_or_says_why_not() -> None:
    with_commands = {page for page, text in PAGES.items() if any(map(runs, shown_commands(text)))}
    walked = {f"docs/{name}.md" for name in WALKED}
    assert set() == with_commands - walked - ELSEWHERE.keys()
    assert set() == ELSEWHERE.keys() - with_commands


def runs(line: str) -> bool:
    return line.startswith(
        ("hpsearch ", "python ", "pip ", "docker ", "make ", "mlflow ", "export ")
    )


@pytest.mark.long
@pytest.mark.parametrize("name", WALKED)
def test_a_page_can_be_done_from_the_first_line_to_the_last(name: str, tmp_path: Path) -> None:
    page = PAGES[f"docs/{name}.md"]
    if "hpsearch init" not in page:
        (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    write_rows(tmp_path / "rows.csv")
    write_rows(tmp_path / "labelled.csv", labelled=True)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    code, done = "", 0
    for kind, text in split_page(page):
        if kind == "python":
            code += text
        elif kind != "command":
            (tmp_path / kind).write_text(text, encoding="utf-8")
        elif text.startswith(("hpsearch ", "python ")):
            run(shorten(text), tmp_path, environment)
            done += 1
        elif runs(text):
            assert text.startswith(tuple(NOT_RUN)), text
    if code:
        code = code.replace('weights="imagenet"', "weights=None")  # which would be downloaded
        (tmp_path / "page.py").write_text(code, encoding="utf-8")
        run("python page.py", tmp_path, environment)
    assert done or code


def shorten(command: str) -> str:
    """Let a study train two trials of ten epochs, which every pruner accepts."""
    if not command.startswith("hpsearch tune "):
        return command
    return re.sub(r" --trials \d+", "", command) + SHORT


def run(command: str, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert 0 == done.returncode, f"{command}\n{done.stdout}\n{done.stderr}"


def write_rows(path: Path, *, labelled: bool = False) -> None:
    """Rows of breast cancer with an identifier, and with the target if `labelled`."""
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *table.feature_names, *["target"] * labelled])
        for number, row in enumerate(table.data[:40].tolist()):
            writer.writerow([number, *row, *[table.target[number]] * labelled])


def texts_of_the_code() -> Iterator[str]:
    """Every text of hpsearch, with … for the parts that are computed."""
    for path in sorted((ROOT / "hpsearch").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
                yield re.sub("…+", "…", "".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_the_errors_of_the_faq_are_messages_of_the_program() -> None:
    shown = re.findall(r"```text\n(.*?)\n```", PAGES["docs/faq.md"], re.S)
    known = set(texts_of_the_code())
    assert len(shown) > 15
    assert [] == [message for message in shown if message not in known]
