"""Check the output of `--json` against the schema that `hpsearch schema --answer` prints."""

import functools
import json
from typing import Any

from jsonschema import Draft202012Validator

from hpsearch.answers.schemas import build_answer_schema


@functools.cache
def validator(command: str) -> Draft202012Validator:
    schema = build_answer_schema(command)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def read_answer(command: str, output: str) -> dict[str, Any]:
    """Parse what `COMMAND --json` printed: one line that its schema accepts."""
    assert 1 == output.count("\n"), output
    answer = json.loads(output, parse_constant=lambda name: 1 / 0)  # NaN is no JSON
    validator(command).validate(answer)
    return answer
