"""The answer of each command, and its JSON schema."""

from __future__ import annotations

import json
from typing import Any

from . import action_answers as action
from . import result_answers as result
from . import trial_answers as trial
from .answer import Answer

ANSWERS: dict[str, type[Answer]] = {
    "check": result.CheckAnswer,
    "compare": trial.CompareAnswer,
    "dashboard": action.AddressAnswer,
    "delete": action.DeleteAnswer,
    "doctor": action.DoctorAnswer,
    "enqueue": action.EnqueueAnswer,
    "export": action.ExportAnswer,
    "export-model": action.ExportModelAnswer,
    "extend": action.ExtendAnswer,
    "gc": action.GcAnswer,
    "init": result.InitAnswer,
    "models": action.ModelsAnswer,
    "nested": result.NestedAnswer,
    "note": action.NoteAnswer,
    "pause": action.PauseAnswer,
    "plan": result.PlanAnswer,
    "predict": action.PredictAnswer,
    "promote": action.PromoteAnswer,
    "rename": action.RenameAnswer,
    "report": action.FileAnswer,
    "rerun": action.RerunAnswer,
    "rollback": action.RollbackAnswer,
    "show": trial.TrialAnswer,
    "stop": action.StopAnswer,
    "studies": trial.StudiesAnswer,
    "sync": action.SyncAnswer,
    "top": trial.TopAnswer,
    "tune": result.TuneAnswer,
    "ui": action.AddressAnswer,
    "unpause": action.PauseAnswer,
    "watch": trial.StatusAnswer,
}


def build_answer_schema(command: str) -> dict[str, Any]:
    """Build the JSON schema of what a command prints with `--json`."""
    schema = ANSWERS[command].model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def format_answer_schema(command: str) -> str:
    """Format the schema as JSON, ending with a newline."""
    return json.dumps(build_answer_schema(command), indent=1, ensure_ascii=False) + "\n"


def format_reference() -> str:
    """Format all answers as Markdown: a table per command, then one per type inside answers."""
    inner: dict[str, Any] = {}
    parts = []
    for command in ANSWERS:
        schema = build_answer_schema(command)
        inner |= schema.get("$defs", {})
        parts.append(_format_table(f"`{command}`", schema))
    parts += [_format_table(name, inner[name]) for name in sorted(inner)]
    return "\n".join(parts)


def _format_table(title: str, schema: dict[str, Any]) -> str:
    rows = [
        f"| `{name}` | {_format_type(field)} | {field.get('description', '')} |"
        for name, field in schema["properties"].items()
    ]
    head = [
        f"### {title}",
        "",
        schema["description"],
        "",
        "| key | type | meaning |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows, ""])


def _format_type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_format_type(option) for option in field["anyOf"])
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field:
        return " or ".join(f'`"{value}"`' for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_format_type(field['items'])}"
    if field.get("type") == "object":
        return f"object of {_format_type(field['additionalProperties'])}"
    return str(field["type"])
