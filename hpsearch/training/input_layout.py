"""Match the named inputs of a custom model with the columns of the data.

A custom model takes all features of a row as one array, unless the data have a text or an image or
the study file declares `data.inputs`. Then its function gets a dict of shapes, and its inputs are
matched by name with these groups, or with single columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..data.columns import ARRAY_KINDS, ColumnInput
from ..errors import DataError, TrainingError
from ..models.families import text_embedding
from ..models.named_inputs import NamedInput, count_numbers, pack_inputs, split_features
from ..trial import Value

if TYPE_CHECKING:
    import keras

    from .problem import Problem

REST = "features"  # the input of the columns that are in no group


def group_columns(
    columns: Sequence[ColumnInput], declared: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Group the columns by input: the declared groups, each text or image, and the rest.

    Returns:
        Names of columns by input; empty if nothing is declared and no column is a text or image.

    Raises:
        DataError: If a group names an unknown column, or a text or image beside others.
    """
    kinds = {column.name: column.kind for column in columns}
    groups = {name: tuple(own) for name, own in declared.items()}
    for name, own in groups.items():
        if unknown := [column for column in own if column not in kinds]:
            raise DataError(
                f"{name}: {', '.join(unknown)} is not a feature. Known: {', '.join(kinds)}."
            )
        if len(own) > 1 and (arrays := [c for c in own if kinds[c] in ARRAY_KINDS]):
            kind = kinds[arrays[0]]
            raise DataError(f"{name}: {arrays[0]} is {kind}, which is an input of its own")
    grouped = {column for own in groups.values() for column in own}
    groups |= {n: (n,) for n, kind in kinds.items() if kind in ARRAY_KINDS and n not in grouped}
    if not groups:
        return {}
    rest = tuple(n for n, kind in kinds.items() if kind not in ARRAY_KINDS and n not in grouped)
    return {REST: rest, **groups} if rest else groups


def list_input_shapes(problem: Problem, params: Mapping[str, Value]) -> Any:
    """Return the `inputs` of a custom function: the shape of one row, or shapes by input."""
    if not problem.input_groups:
        return problem.row_shape
    return {n: _make_input(problem, n, params).shape for n in problem.input_groups}


def find_layout(
    problem: Problem, model: keras.Model, params: Mapping[str, Value]
) -> tuple[NamedInput, ...]:
    """Return the named inputs of a custom model; empty: it takes all features as one array.

    Raises:
        TrainingError: If an input has the name of no group and no column, or another shape.
    """
    inputs = list(getattr(model, "inputs", None) or ())
    groups = problem.input_groups
    if not inputs:
        return tuple(_make_input(problem, name, params) for name in groups)
    if len(inputs) == 1:
        if not groups:
            if inputs[0].dtype == "string":
                raise TrainingError(
                    f"the model's input {inputs[0].name!r} takes strings, but categories reach it "
                    f"as features of 0 and 1, shape {problem.row_shape}: leave StringLookup out"
                )
            return ()
        if len(groups) == 1:
            [name] = groups
            return (_check_input(_make_input(problem, name, params), inputs[0]),)
    named = _name_inputs(model)
    known = [*groups, *(c.name for c in problem.column_inputs)]
    if wrong := [name for name in named if name not in known]:
        shapes = {n: _make_input(problem, n, params).shape for n in dict.fromkeys(known)}
        raise TrainingError(
            f"the model's input {wrong[0]!r} has the name of no column and of no group of "
            "data.inputs: name each keras.Input. Known: "
            + ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        )
    return tuple(_check_input(_make_input(problem, n, params), x) for n, x in named.items())


def _name_inputs(model: keras.Model) -> dict[str, Any]:
    """Return the inputs of a model by name; a dict of inputs has names of its own."""
    if isinstance(model.input, dict):
        return dict(model.input)
    return {given.name: given for given in model.inputs}


def _check_input(made: NamedInput, given: Any) -> NamedInput:
    """Compare an input with the data.

    Raises:
        TrainingError: If its shape or its type differs.
    """
    if given.dtype == "string":
        raise TrainingError(
            f"the model's input {given.name!r} takes strings, but a text reaches it as the numbers "
            f"of its tokens, shape {made.shape}: leave TextVectorization out, and embed numbers "
            "below text_vocabulary"
        )
    shape = tuple(given.shape[1:])
    if len(shape) != len(made.shape) or any(
        a not in (None, b) for a, b in zip(shape, made.shape, strict=True)
    ):
        raise TrainingError(
            f"the model's input {given.name!r} takes rows of shape {shape}, but the data have "
            f"rows of shape {made.shape} for it"
        )
    return made


def _make_input(problem: Problem, name: str, params: Mapping[str, Value]) -> NamedInput:
    """Make the input of a group, or of a single column."""
    columns = {column.name: column for column in problem.column_inputs}
    members = [columns[column] for column in problem.input_groups.get(name, (name,))]
    features = tuple(k for column in members for k in range(column.start, column.stop))
    if members[0].kind == "image":
        return NamedInput(name, features, members[0].shape)
    if members[0].kind != "text":
        return NamedInput(name, features, (len(features),))
    text = read_text_options(params)
    return NamedInput(name, features, (count_numbers(len(features), **text),), text)


def read_text_options(params: Mapping[str, Value]) -> dict[str, int]:
    """Read how a custom model takes texts: by single tokens, unless `text_ngrams` says more."""
    given: dict[str, Any] = {**text_embedding.DEFAULTS, "text_ngrams": 1, **params}
    names = {"vocabulary": "text_vocabulary", "ngrams": "text_ngrams", "n_tokens": "text_tokens"}
    return {argument: int(given[name]) for argument, name in names.items()}


def join_inputs(
    network: keras.Model, layout: Sequence[NamedInput], row_shape: tuple[int, ...]
) -> keras.Model:
    """Return a model that takes all features of a row as one array, the layers shared.

    A compiled one keeps its optimizer and its loss.
    """
    import keras

    features = keras.Input(row_shape, name=REST)
    given = pack_inputs(network, split_features(features, layout))
    joined = keras.Model(features, network(given), name=network.name)
    if network.compiled:
        joined.compile(network.optimizer, network.loss, run_eagerly=network.run_eagerly)
        network.compiled = False  # a clone of the joined model would compile it, too
    return joined
