"""The JSON schema and the loader must agree on every declaration that a test loads.

Imported by tests that load many study files, valid and invalid.
"""

import importlib
import json
from functools import cache

import jsonschema
import pytest
from pydantic import ValidationError

from hpsearch.errors import SpecError
from hpsearch.spec import study_file
from hpsearch.spec.study_spec import StudySpec
from hpsearch.study.file_schema import build_schema

tune = importlib.import_module("hpsearch.study.tune")  # the package has a function of that name
# Sections with names that the loader leaves to `check_study`.
CHECKED_LATER = ("objective", "objectives", "model", "sampler", "pruner", "execution")


@cache
def validator() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(build_schema())


def find_schema_problems(raw: object) -> list[str]:
    """Messages of the schema; each with the section that it is about."""
    return [f"{[*error.absolute_path]}: {error.message}" for error in validator().iter_errors(raw)]


def is_file(raw: object) -> bool:
    """Whether a file can hold the declaration, and not only a program."""
    try:
        return json.loads(json.dumps(raw)) == raw
    except TypeError:
        return False


def is_refused_by_structure(error: ValidationError) -> bool:
    """Whether a schema can express one of the mistakes."""
    return any(
        e["type"] not in ("value_error", "finite_number")  # JSON has no infinite number
        # 3.0 and 1e19 are integers to a schema; the bounds of a number in quotes are not looked at
        and not (e["type"] in ("int_type", "int_parsing_size") and isinstance(e["input"], float))
        and not (e["type"].split("_")[0] in ("greater", "less") and isinstance(e["input"], str))
        # `$` of Python's patterns also matches before a line break at the end
        and not (e["type"] == "string_pattern_mismatch" and str(e["input"]).endswith("\n"))
        for e in error.errors()
    )


def check_loaded(raw: object) -> None:
    problems, spec, refusal = find_schema_problems(raw), None, None
    try:
        spec = StudySpec.model_validate(raw)
    except ValidationError as error:
        refusal = error
    if spec is not None:  # a journal records every option with its default
        assert spec == StudySpec.model_validate(spec.model_dump(mode="json")), raw
    later = tuple(f"['{key}'" for key in CHECKED_LATER)
    assert refusal or [] == [p for p in problems if not p.startswith(later)], raw
    assert problems or refusal is None or not is_refused_by_structure(refusal), (raw, refusal)


def check_validated(raw: object, error: SpecError | None) -> None:
    problems, told = find_schema_problems(raw), str(error).splitlines()
    unknown = [
        line
        for line in told
        if (" does not exist. " in line or "does not read this option" in line)
        and any(f": {key}" in line for key in ("sampler.", "pruner.", "execution."))
    ]
    assert not (error is None and problems), (raw, problems)
    assert problems or not unknown, (raw, unknown)


@pytest.fixture(autouse=True)
def schema_agrees_with_the_loader(monkeypatch):
    """Compare both for each declaration that the test loads."""
    load, check = study_file._validate_study, tune.check_study

    def compare_and_load(raw, *arguments):
        if is_file(raw):
            check_loaded(raw)
        return load(raw, *arguments)

    def compare_and_check(file):
        try:
            checked, error = check(file), None
        except SpecError as refused:
            checked, error = None, refused
        if is_file(file.raw):
            check_validated(file.raw, error)
        if error is not None:
            raise error
        return checked

    monkeypatch.setattr(study_file, "_validate_study", compare_and_load)
    monkeypatch.setattr(tune, "check_study", compare_and_check)
