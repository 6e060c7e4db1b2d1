"""Names follow the vocabulary: verb and object, standard words, one meaning each."""

import ast
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hpsearch"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Words of one form that end like a participle, and participles that do not end in -ed.
VERBS = {"embed", "feed", "need", "seed", "speed"}
IRREGULAR = {
    *("begun", "broken", "built", "chosen", "done", "drawn", "found", "given", "gone", "grown"),
    *("heard", "held", "hidden", "kept", "known", "left", "lost", "made", "meant", "said", "seen"),
    *("sent", "shown", "spent", "taken", "told", "written"),
}
# A word that is not used, and what is said instead.
AVOIDED = {
    "place": "index, position or slot",
    "places": "indices, positions or slots",
    "crew": "worker pool",
    "scribe": "writer",
    "bury": "handle an exit",
    "stillborn": "startup failure",
    "heard": "received",
    "owe": "defer",
    "finale": "final fit",
    "survey": "profile",
    "judged": "evaluated",
    "course": "run",
}


TEXTS = {path: path.read_text(encoding="utf-8") for path in SOURCES}


@functools.cache
def trees() -> dict[Path, ast.Module]:
    """The parsed modules; only the worker that runs these tests parses them."""
    return {path: ast.parse(text) for path, text in TEXTS.items()}


def definitions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Each class, method and function of a module, and where it stands."""
    for path, tree in trees().items():
        todo: list[ast.stmt] = list(tree.body)
        for node in todo:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node
            if isinstance(node, ast.ClassDef):
                todo += node.body


def words(name: str) -> list[str]:
    return [word.lower() for word in name.split("_") if word]


PUBLISHED = {"nested"}  # a command, and a function of the package


def is_participle(word: str) -> bool:
    return word in IRREGULAR or (word.endswith("ed") and word not in VERBS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("told", True), ("opened", True), ("seed", False), ("read", False), ("fit", False)],
)
def test_a_participle_is_told_from_a_verb(name: str, expected: bool) -> None:
    assert expected == is_participle(name)


def test_no_function_is_called_by_a_bare_participle() -> None:
    wrong = [
        f"{where} {node.name}"
        for where, node in definitions()
        if not isinstance(node, ast.ClassDef)
        and len(words(node.name)) == 1
        and is_participle(node.name.strip("_"))
        and node.name not in PUBLISHED
    ]
    assert [] == wrong


def test_no_two_classes_have_one_name() -> None:
    """Those within a function too: a traceback and a search show only the name."""
    found = Counter(
        node.name
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert {} == {name: n for name, n in found.items() if n > 1}


def test_words_that_the_field_does_not_use_are_not_used() -> None:
    wrong = [
        f"{where} {node.name}: say {AVOIDED[word]}"
        for where, node in definitions()
        for word in words(node.name)
        if word in AVOIDED
    ]
    files = [
        f"{path.relative_to(PACKAGE)}: say {AVOIDED[word]}"
        for path in SOURCES
        for word in words(path.stem)
        if word in AVOIDED
    ]
    assert [] == wrong + files


def test_no_two_modules_have_one_name_but_by_convention() -> None:
    """So that a search for a file by its name finds one."""
    found = Counter(path.stem for path in SOURCES if path.stem != "__init__")
    assert {} == {name: n for name, n in found.items() if n > 1}


# Phrases that docstrings, comments and messages do without.
PHRASES = (
    *("of the user's own", "the user's own", "a function of the user's", "by whomever"),
    *("so many", "nobody", "anybody", "became of", "knows no ", "its doing"),
    *("takes leave", "to be had", "by whom", "it stands around"),
)

# A docstring says what the code is or does, and does not begin with a question.
QUESTIONS = {"what", "who", "whom", "whose", "which", "why", "how", "where", "when", "by", "of"}


def test_phrases_that_puzzle_a_reader_are_not_used() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{number}: {phrase}"
        for path, text in TEXTS.items()
        for number, line in enumerate(text.lower().splitlines(), start=1)
        for phrase in PHRASES
        if phrase in line
    ]
    assert [] == wrong


def docstrings() -> Iterator[tuple[str, str]]:
    """Each docstring of a module, class or function, and where it stands."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, documented) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(PACKAGE).as_posix()}:{node.body[0].lineno}", text


def test_no_docstring_begins_with_a_question() -> None:
    wrong = [
        f"{where}: {text.splitlines()[0]}"
        for where, text in docstrings()
        if text.split()[0].lower() in QUESTIONS
    ]
    assert [] == wrong
