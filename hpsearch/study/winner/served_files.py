"""Write the files of a final fit besides network and predictions: its schema and served model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from ...data import Dataset
from ...data.schema import Schema
from ...events import WinnerEvaluated
from ...models import strip_convention
from ...promotion.package import EXAMPLE_ROWS, MODEL_FOLDER, Lineage, save_served_model
from ...promotion.packed_code import NOT_PACKED, explain_untrusted, find_own_code
from ...training.problem import Problem
from ...verdict import describe_members, describe_verdict
from ..user_code import list_code_files
from .final_files import NETWORK
from .selection import Choice


def write_served_files(
    folder: Path,
    evaluated: WinnerEvaluated,
    *,
    choice: Choice,
    schema: Schema,
    dataset: Dataset,
    problem: Problem,
    study: str,
    trust_code: bool,
) -> None:
    """Write the schema, the columns' importance and the served model.

    Args:
        folder: The folder, which holds the network.
        evaluated: The evaluation on the locked rows.
        choice: The chosen trial or ensemble.
        schema: The schema that is served, with threshold and calibration.
        dataset: The study's data, of which the served model gets example rows.
        problem: The study's problem.
        study: The study's name.
        trust_code: Whether the user's files are packed where the model needs them.
    """
    text = json.dumps(schema.to_json(), indent=1)
    (folder / "schema.json").write_text(text + "\n", encoding="utf-8")
    if evaluated.importance is not None:
        importance = json.dumps(asdict(evaluated.importance), indent=1)
        (folder / "importance.json").write_text(importance + "\n", encoding="utf-8")
    own = find_own_code(folder / NETWORK)
    if own is not None and not trust_code:
        (folder / NOT_PACKED).write_text(explain_untrusted(own) + "\n", encoding="utf-8")
        return
    n_rows = EXAMPLE_ROWS
    if dataset.windows:
        n_rows += sum(dataset.schema.input_shape[:-1])
    model, code_root = strip_convention(problem.model), Path(problem.folder)
    save_served_model(
        folder / MODEL_FOLDER,
        model=folder / NETWORK,
        schema=schema,
        columns=dataset.columns[:n_rows],
        lineage=_make_lineage(evaluated, choice, dataset, problem, study),
        user_code=None if own is None else list_code_files(model, code_root),
    )


def _make_lineage(
    evaluated: WinnerEvaluated, choice: Choice, dataset: Dataset, problem: Problem, study: str
) -> Lineage:
    best = choice.trial
    assert best.score is not None
    assert best.spread is not None
    return Lineage(
        study=study,
        trial=best.number,
        fingerprint=dataset.fingerprint,
        metric=problem.objective,
        score=best.score,
        spread=best.spread,
        epochs=choice.epochs,
        test=evaluated.test,
        verdict=describe_verdict(evaluated.baselines),
        ensemble=describe_members(evaluated.members) if choice.is_ensemble else "",
    )
