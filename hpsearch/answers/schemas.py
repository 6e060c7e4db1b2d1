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
    "gc": action.GcAnswer,
    "init": result.InitAnswer,
    "models": action.ModelsAnswer,
    "nested": result.NestedAnswer,
    "note": action.NoteAnswer,
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
    "watch": trial.StatusAnswer,
}


def build_answer_schema(command: str) -> dict[str, Any]:
    """Build the JSON schema of what a command prints with `--json`."""
    schema = ANSWERS[command].model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def format_answer_schema(command: str) -> str:
    """Format the schema as JSON, ending with a newline."""
    return json.dumps(build_answer_schema(command), indent=1, ensure_ascii=False) + "\n"
