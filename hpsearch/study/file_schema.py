"""Build the JSON schema of the study file, with which editors complete and check it.

The schema is generated from the models of `spec/` and the registries, including installed plugins.
It accepts every file that `load_file` accepts. It checks the structure: keys, types, bounds, names
of metrics, samplers and pruners, and the options that these read. `hpsearch check` checks relations
between values, the data and the user's code.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from ..execution.executor import EXECUTORS
from ..models import FAMILIES
from ..plugins import installed_names
from ..search.objectives import COSTS
from ..search.pruners import PRUNERS, find_pruner
from ..search.samplers import SAMPLERS, sampler_options
from ..spec.data_spec import GROUPED_KINDS
from ..spec.parameter_declarations import MAX_NAME_CHARACTERS, STRICT_MODELS
from ..spec.parameter_domains import iter_readers
from ..spec.study_spec import PrunerSpec, SamplerSpec, StudySpec
from ..training.metrics import METRICS

Schema = dict[str, Any]
TITLE = "hpsearch study file"
FILE_NAME = "study.schema.json"
COMPLETE, EXTENDING = "#/$defs/", "#/$defs/extending/"
# FILE.py:FUNCTION, or a reference to an environment variable that holds it
REFERENCE = {"type": "string", "pattern": r":[A-Za-z_]\w*$|\$\{[^{}]*\}$"}
# Values of other types that pydantic converts to a type.
WORDS = ("true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0")
BOOLEAN_TEXT = "|".join("".join(f"[{c.upper()}{c}]" for c in word) for word in WORDS)
CONVERTED: dict[str, list[Schema]] = {
    "boolean": [{"enum": [0, 1]}, {"type": "string", "pattern": f"^({BOOLEAN_TEXT})$"}],
    "integer": [{"type": "string", "pattern": r"^\s*[+-]?[0-9][0-9_]*(\.0*)?\s*$"}],
    "number": [
        {
            "type": "string",
            "pattern": r"^\s*[+-]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$",
        }
    ],
}


def build_schema() -> Schema:
    """Build the schema, in the draft that editors support.

    A file that extends another may omit any key, so it has a schema of its own.

    Raises:
        SpecError: If an installed sampler or pruner cannot be loaded.
    """
    root = StudySpec.model_json_schema()
    models = root.pop("$defs")
    for name, schema in [("StudySpec", root), *models.items()]:
        _simplify(schema, converts=name not in STRICT_MODELS)
    models["StudySpec"] = root
    _add_registries(models)
    extending = copy.deepcopy(models)
    _add_rules(models)
    _relax(extending)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": TITLE,
        "type": "object",
        "if": {"required": ["extends"]},
        "then": {"$ref": f"{EXTENDING}StudySpec"},
        "else": {"$ref": f"{COMPLETE}StudySpec"},
        "$defs": {**models, "extending": extending},
    }


def format_schema() -> str:
    """Format the schema as JSON, ending with a newline."""
    return json.dumps(build_schema(), indent=1, ensure_ascii=False) + "\n"


def may_write_schema(path: Path) -> bool:
    """Return whether `path` does not exist, or is a schema that hpsearch has written."""
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["title"] == TITLE)
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _iter_schemas(schema: Any) -> Iterator[Schema]:
    """Iterate over a schema and all schemas in it, the inner ones first."""
    if isinstance(schema, list):
        for part in schema:
            yield from _iter_schemas(part)
    elif isinstance(schema, dict):
        for part in list(schema.values()):
            yield from _iter_schemas(part)
        yield schema


def _simplify(schema: Schema, *, converts: bool) -> None:
    """Remove redundant titles, and allow the values that the models convert.

    Args:
        schema: The schema of one model; changed in place.
        converts: Whether the model converts texts to numbers and booleans.
    """
    for part in _iter_schemas(schema):
        if isinstance(part.get("title"), str):
            del part["title"]
        part.pop("discriminator", None)
        if "prefixItems" in part:  # unknown to the draft; all our tuples have one type
            part["items"] = part.pop("prefixItems")[0]
        if converts:
            _allow_converted(part)


def _allow_converted(part: Schema) -> None:
    """Also allow strings where a schema, or a mapping of schemas, has numbers or booleans."""
    options = part.get("anyOf")
    if isinstance(options, list) and {"type": "string"} not in options:
        options += [s for option in options for s in CONVERTED.get(option.get("type"), ())]
    for name, field in part.items():
        kind = field.get("type") if isinstance(field, dict) else None
        if isinstance(kind, str) and kind in CONVERTED:
            default = {"default": field.pop("default")} if "default" in field else {}
            part[name] = {**default, "anyOf": [field, *CONVERTED[kind]]}


def _relax(models: dict[str, Schema]) -> None:
    """Make all keys optional, as the extended file may have them, and relax hyperparameters."""
    for part in _iter_schemas(models):
        part.pop("required", None)
        if isinstance(part.get("oneOf"), list):  # without `type`, several may match
            part["anyOf"] = part.pop("oneOf")
        if str(part.get("$ref", "")).startswith(COMPLETE):
            part["$ref"] = EXTENDING + part["$ref"].removeprefix(COMPLETE)
    models["StudySpec"]["properties"]["extends"] = {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
        ],
        "description": "Another study file, relative to this one, or a list of files.",
    }


# ---- names ----


def _add_registries(models: dict[str, Schema]) -> None:
    """Add the names of metrics, models, samplers, pruners, executors and hyperparameters."""
    sections = models["StudySpec"]["properties"]
    metrics = _list_names(METRICS, "metrics")
    _narrow(sections["objective"], {"metric": {"anyOf": [{"enum": metrics}, REFERENCE]}})
    _narrow(sections["objectives"], {"metric": {"enum": [*metrics, *COSTS]}})
    families = {"anyOf": [{"enum": _list_names(FAMILIES, "families")}, REFERENCE]}
    sections["model"]["oneOf"] = [families, *sections["model"]["oneOf"][1:]]
    _add_names(models["ExecutionSpec"], "executor", _list_names(EXECUTORS, "executors"))
    samplers = _list_names(SAMPLERS, "samplers")
    _add_names(models["SamplerSpec"], "kind", samplers)
    models["SamplerSpec"]["allOf"] = [
        _if_kind(k, sampler_options(k), SamplerSpec) for k in samplers
    ]
    pruners = _list_names(PRUNERS, "pruners")
    _add_names(models["PrunerSpec"], "kind", pruners)
    models["PrunerSpec"]["allOf"] = [_if_kind(k, _pruner_options(k), PrunerSpec) for k in pruners]
    models["Hyperparameter"] = _describe_hyperparameters(sections["search_space"])


def _list_names(built_in: Iterable[str], kind: str) -> list[str]:
    return list(dict.fromkeys([*built_in, *installed_names(kind)]))


def _add_names(model: Schema, key: str, names: list[str]) -> None:
    model["properties"][key] = {"default": model["properties"][key]["default"], "enum": names}


def _narrow(field: Schema, properties: Schema) -> None:
    """Add constraints to the model, or list of models, that a nullable field refers to."""
    for option in field["anyOf"]:
        target = option.get("items", option)
        if "$ref" in target:
            target["allOf"] = [{"$ref": target.pop("$ref")}, {"properties": properties}]


def _pruner_options(kind: str) -> Iterable[str]:
    found = find_pruner(kind)
    return () if found is None else found[1]


def _if_kind(kind: str, options: Iterable[str], model: type[Any]) -> Schema:
    """Return the rule that refuses options which a kind does not read."""
    unread = [k for k in model.model_fields if k != "kind" and k not in set(options)]
    return {
        "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
        "then": {"properties": {key: {"type": "null"} for key in unread}},
    }


def _describe_hyperparameters(search_space: Schema) -> Schema:
    """List the built-in hyperparameters; returns the schema of a hyperparameter.

    Other names stay allowed, since a custom function may read them.
    """
    readers: dict[str, dict[str, list[str]]] = {}
    for reader, domains in iter_readers():
        for name, domain in domains.items():
            readers.setdefault(name, {}).setdefault(domain.summary, []).append(reader)
    ((pattern, declaration),) = search_space["patternProperties"].items()
    hyperparameter = {"$ref": f"{COMPLETE}Hyperparameter"}
    search_space["properties"] = {
        name: {
            "description": "; ".join(f"{a} ({', '.join(by)})" for a, by in allowed.items()),
            "allOf": [dict(hyperparameter)],
        }
        for name, allowed in readers.items()
    }
    search_space["patternProperties"] = {pattern: hyperparameter}
    search_space["propertyNames"] = {"maxLength": MAX_NAME_CHARACTERS}
    search_space["additionalProperties"] = False
    return cast(Schema, declaration)


# ---- rules between keys, for a file that extends none ----


def _add_rules(models: dict[str, Schema]) -> None:
    whole = models["StudySpec"]
    names_space = {"properties": {"model": {"type": "object"}}, "required": ["model"]}
    whole["if"] = names_space
    whole["else"] = {
        "required": ["search_space"],
        "properties": {"search_space": {"minProperties": 1}},
    }
    whole["not"] = {
        "properties": {"objective": {"type": "object"}, "objectives": {"type": "array"}},
        "required": ["objective", "objectives"],
    }
    for name, default in (("SamplerSpec", SamplerSpec().kind), ("PrunerSpec", PrunerSpec().kind)):
        rule = next(
            rule
            for rule in models[name]["allOf"]
            if rule["if"]["properties"]["kind"]["const"] == default
        )
        del rule["if"]["required"]  # the default kind need not be named
    folds = models["CrossValidationSpec"]
    folds["allOf"] = [
        _needs_kind("group", GROUPED_KINDS, {"type": "null"}),
        _needs_kind("column", ("predefined",), {"type": "null"}),
        *(
            _needs_kind(key, ("time_series",), {"enum": [None, 0, ""]}, required=False)
            for key in ("time", "gap", "window", "validation_rows")
        ),
    ]


def _needs_kind(
    key: str, kinds: tuple[str, ...], otherwise: Schema, *, required: bool = True
) -> Schema:
    """Return the rule that only some kinds of folds allow, or require, a key."""
    rule: Schema = {
        "if": {"properties": {"kind": {"enum": list(kinds)}}, "required": ["kind"]},
        "else": {"properties": {key: otherwise}},
    }
    if required:
        rule["then"] = {"properties": {key: {"type": "string"}}, "required": [key]}
    return rule
