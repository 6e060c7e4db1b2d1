"""The template of a new study file: YAML with comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.columns import Column
from .recommended_ranges import TABM_SMALL_BATCHES, recommend_vocabulary
from .table_profile import count_ngrams

if TYPE_CHECKING:
    from .wizard import StarterFacts

PLAIN_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
YAML_KEYWORDS = {"null", "true", "false", "yes", "no", "on", "off"}  # in YAML 1.1 or 1.2
LIST_WIDTH = 60  # described columns
WIDTH = 100  # characters per line, unless a list needs more
SEED = 7


def render_file(starter: StarterFacts) -> str:
    """Render the file, ending with a newline."""
    parts = (_render_head, _render_data, _render_task, _render_training, _render_space, _render_end)
    return "\n".join(line for part in parts for line in (*part(starter), "")).rstrip() + "\n"


def _render_head(s: StarterFacts) -> Iterator[str]:
    if s.schema is not None:
        yield f"# yaml-language-server: $schema={s.schema}"
    locked = f" and {len(s.dataset.locked_rows):,} locked ones" if s.dataset.locked_rows else ""
    yield f"# {format_comment(s.dataset.name)}: {s.dataset.n_rows:,} development rows{locked}."
    if s.dataset.schema.shape:
        yield f"# Rows are images of shape (height, width, channels) = {s.dataset.shape}."
    elif s.forecast:
        yield f"# A {format_comment(s.forecast)}: docs/time_series.md."
    else:
        columns, features = s.dataset.n_columns, s.dataset.n_features
        yield f"# {columns} columns become {features} features of a network."
    yield "#"
    yield "# Written by `hpsearch init`. Every value may be changed; `hpsearch check` explains"
    yield "# the study, `hpsearch plan` estimates its time, `hpsearch tune` runs it."
    yield ""
    yield f"study: {format_text(s.study)}"
    yield f"seed: {SEED}                           # the same seed is the same study"


def _render_data(s: StarterFacts) -> Iterator[str]:
    yield "data:"
    for key, value in s.data.items():
        if key == "drop":
            yield from _render_dropped(s, value)
        elif key == "columns":
            yield "  columns:"
            reasons = {t.name: t.reason for t in s.treated}
            for name, spec in value.items():
                why = f"   # {format_comment(reasons[name])}" if name in reasons else ""
                yield f"    {format_text(name)}: {format_flow(spec)}{why}"
        else:
            why = _DATA_COMMENTS.get(key, "")
            yield f"  {key}: {format_flow(value)}{f'   # {why}' if why else ''}"
    if s.suspects:
        yield "  # These alone nearly determine the target. Add to drop what is not yet known"
        yield "  # when a prediction is made:"
        for name, how in s.suspects.items():
            yield f"  #   {format_comment(format_text(name))}: {format_comment(how)}"
    for note in s.dataset.notes:
        yield f"  # Noticed: {format_comment(note)}"
    if s.dataset.schema.shape:
        return
    yield "  # What the columns are taken for; `data.columns.NAME: {kind: …}` overrules it:"
    yield from _render_columns(s)


_DATA_COMMENTS = {
    "test_fraction": "locked until the winner is chosen",
    "missing_target": "rows without a target are left out",
}


def _render_dropped(s: StarterFacts, names: list[str]) -> Iterator[str]:
    yield "  drop:"
    reasons = {d.name: d.reason for d in s.dropped}
    for name in names:
        why = f"   # {format_comment(reasons[name])}" if name in reasons else ""
        yield f"    - {format_text(name)}{why}"


def _render_columns(s: StarterFacts) -> Iterator[str]:
    columns = s.dataset.schema.columns
    wide = min(30, max(len(format_comment(c.name)) for c in columns))
    rows = s.dataset.columns
    if s.dataset.windows is not None:  # others are hidden
        rows = rows[s.dataset.windows.find_covered_rows(len(rows), np.arange(s.dataset.n_rows))]
    for column, start in islice(s.dataset.schema.iter_cleaned(), LIST_WIDTH):
        values = rows[:, start]
        yield f"  #   {format_comment(column.name):{wide}}  {_describe_column(column, values)}"
    if len(columns) > LIST_WIDTH:
        yield f"  #   and {len(columns) - LIST_WIDTH} more, as `hpsearch check` shows"


def _describe_column(column: Column, values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    missing = f", {len(values) - len(known):,} missing" if len(known) < len(values) else ""
    if column.kind == "categorical":
        if column.buckets:
            return f"categorical, hashed into {column.buckets}{missing}"
        shown = ", ".join(format_comment(v)[:20] for v in column.vocabulary[:4])
        more = ", …" if len(column.vocabulary) > 4 else ""
        return f"categorical, {len(column.vocabulary)} values: {shown}{more}{missing}"
    if column.kind == "image":
        return f"images, read as {' x '.join(map(str, column.shape))}"
    if column.kind == "text":
        return f"text of up to {column.n_cleaned} tokens{missing}"
    if not known.size:
        return "numeric, without a value"
    return f"numeric, {known.min():g} to {known.max():g}{missing}"


def _render_task(s: StarterFacts) -> Iterator[str]:
    target = s.dataset.schema.target
    classes = ", ".join(format_comment(str(c)) for c in target.classes[:6]) if target else ""
    more = ", …" if target and len(target.classes) > 6 else ""
    positive = "; the last is the positive one" if s.task == "binary" else ""
    yield f"task: {s.task}" + (f"   # {classes}{more}{positive}" if classes else "")
    yield f"objective: {{metric: {s.metric}}}   # {s.metric_reason}"
    yield f"cross_validation: {format_flow(s.cross_validation)}"
    for name in s.ordered_by:
        yield "# If later rows are to be predicted from earlier ones, say so instead:"
        yield (
            "# cross_validation: "
            f"{{kind: time_series, folds: 5, time: {format_comment(format_text(name))}}}"
        )


def _render_training(s: StarterFacts) -> Iterator[str]:
    if s.dataset.schema.shape:
        yield "model: cnn                        # convolutions; your own: FILE.py:FUNCTION"
    elif s.family == "realmlp":
        yield "model: realmlp                    # see docs/hyperparameters.md#realmlp"
        yield "training: {epochs: 256, early_stopping: null}   # as published: the best is kept"
        return
    elif s.family == "tabm":
        yield "model: tabm                       # several networks in one; mlp trains faster"
        yield "training: {epochs: 256, early_stopping: {patience: 16}}   # epochs at most"
        return
    elif s.forecast:
        yield "model: wide_and_deep              # a linear model of the window beside dense layers"
    else:
        yield "model: mlp                        # dense layers; your own: FILE.py:FUNCTION"
    stopping = f"{{patience: {s.ranges.patience}}}"
    yield f"training: {{epochs: {s.ranges.epochs}, early_stopping: {stopping}}}   # epochs at most"


def _render_space(s: StarterFacts) -> Iterator[str]:
    r = s.ranges
    yield "search_space:                     # a bare value is fixed, a list is a choice"
    if s.family != "mlp":
        yield from {"realmlp": _render_realmlp, "tabm": _render_tabm}[s.family](s)
        return
    yield "  optimizer:     [adam, adamw, sgd]"
    yield "  learning_rate: {type: float, low: 1e-4, high: 1e-1, log: true}"
    yield (
        "  weight_decay:  {type: float, low: 1e-6, high: 1.0, log: true, when: {optimizer: adamw}}"
    )
    yield "  momentum:      {type: float, low: 0.0, high: 0.99, when: {optimizer: sgd}}"
    yield f"  batch_size:    {format_flow(list(r.batch_size))}"
    if s.dataset.schema.shape:
        yield from _render_convolutions()
        return
    yield f"  layers:        {{type: int, low: {r.layers[0]}, high: {r.layers[1]}}}"
    yield f"  units:         {{type: int, low: {r.units[0]}, high: {r.units[1]}, log: true}}"
    yield "  activation:    [relu, gelu]"
    if "numeric" in _list_kinds(s) and not s.forecast:
        yield "  embedding:     [none, plr, piecewise]   # of numbers"
    yield from _render_arrays(s)
    if r.has_normalization:
        yield "  normalization: [none, batch]"
    yield "  dropout:       {type: float, low: 0.0, high: 0.5}"
    yield f"  l2:            {{type: float, low: {r.l2[0]:g}, high: {r.l2[1]:g}, log: true}}"
    if s.task == "regression":
        yield "  loss:          [mean_squared_error, huber]"
    elif s.task == "multiclass":
        yield "  label_smoothing: {type: float, low: 0.0, high: 0.2}"
    yield "enqueue: defaults                 # Keras's, and the family's, come first"
    yield f"# constraints: [units * layers <= {2 * r.units[1]}]   # what must hold between them"


def _list_kinds(s: StarterFacts) -> set[str]:
    return {column.kind for column in s.dataset.schema.columns}


def _render_arrays(s: StarterFacts) -> Iterator[str]:
    """Render the hyperparameters of text and image columns."""
    kinds = _list_kinds(s)
    if "text" in kinds:
        n_ngrams = count_ngrams(s.dataset)
        yield "  text_ngrams:   [1, 2]            # words, or words and pairs of words"
        size = recommend_vocabulary(n_ngrams)
        yield f"  text_vocabulary: {size}   # rows of their table; there are {n_ngrams:,} of them"
        yield "  text_size:     [16, 32, 64]      # of the vector of a word"
    if "image" in kinds:
        yield "  image_blocks:  [2, 3]            # convolutions with pooling"
        yield "  image_filters: [8, 16]           # of the first, twice as many in each next"


def _render_realmlp(s: StarterFacts) -> Iterator[str]:
    """Render the authors' search space; other hyperparameters have the published defaults."""
    yield "  layers:              {type: int, low: 2, high: 4}"
    yield "  units:               [256, 384, 512]"
    yield "  activation:          mish"
    yield "  dropout:             {type: float, low: 0.0, high: 0.5}"
    published = 0.2 if s.task == "regression" else 0.04
    scale = f"log: true, prior: {published}"
    yield f"  learning_rate:       {{type: float, low: 2e-2, high: 3e-1, {scale}}}"
    yield "  weight_decay:        {type: float, low: 1e-3, high: 5e-2, log: true}"
    yield "  beta_2:              {type: float, low: 0.95, high: 0.995}"
    if s.task != "regression":
        yield "  label_smoothing:     {type: float, low: 0.0, high: 0.1}"
    yield "  embedding_scale:     {type: float, low: 1e-2, high: 50.0, log: true}"
    yield "  embedding_lr_factor: {type: float, low: 5e-2, high: 3e-1, log: true}"
    yield "  scale_lr_factor:     {type: float, low: 2.0, high: 10.0, log: true}"
    yield from _render_arrays(s)
    yield "enqueue: defaults                 # the published ones first, as near as the ranges go"
    yield "pruner: {kind: none}              # amid a cycle of its schedule no curve tells its end"


def _render_tabm(s: StarterFacts) -> Iterator[str]:
    """Render the authors' search space with smaller networks, which suit small tables.

    With few rows, their batches of 256 rows are too few steps; see benchmarks/tables.md.
    """
    yield "  members:         8              # networks in one; time grows with them; published: 32"
    yield "  layers:          {type: int, low: 1, high: 3, prior: 2}"
    yield "  units:           {type: int, low: 64, high: 256, step: 16, prior: 128}"
    yield "  dropout:         {type: float, low: 0.0, high: 0.5}"
    yield "  learning_rate:   {type: float, low: 5e-4, high: 1e-2, log: true, prior: 3e-3}"
    yield "  weight_decay:    {type: float, low: 1e-4, high: 1e-1, log: true}"
    yield "  embedding_units: {type: int, low: 8, high: 32, step: 4}"
    yield "  embedding_bins:  {type: int, low: 2, high: 128}"
    if s.dataset.n_rows < TABM_SMALL_BATCHES:
        yield "  batch_size:      {type: categorical, choices: [32, 64, 256], prior: 64}"
    yield from _render_arrays(s)
    yield "enqueue: [defaults, portfolio]    # the published ones, and points good on many tables"


def _render_convolutions() -> Iterator[str]:
    yield "  blocks:        {type: int, low: 1, high: 3}"
    yield "  filters:       [8, 16, 32]"
    yield "  units:         [0, 64, 128]     # of the dense layer before the output; 0: none"
    yield "  normalization: [none, batch]"
    yield "  dropout:       {type: float, low: 0.0, high: 0.5}"
    yield "# random_flip:  [none, horizontal]  # augmentation, where a mirrored image is as good"


def _render_end(s: StarterFacts) -> Iterator[str]:
    yield "sampler: {kind: gp}               # learns from the trials so far"
    yield f"budget: {{trials: 50, minutes: {s.ranges.minutes}}}   # whichever is reached first"


# ---- YAML ----


def format_flow(value: Any) -> str:
    """Format a plain value in YAML's flow style."""
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{format_text(str(k))}: {format_flow(v)}" for k, v in value.items())
            + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(format_flow, value)) + "]"
    return format_text(value) if isinstance(value, str) else json.dumps(value)


def format_text(value: str) -> str:
    """Format a string so that YAML reads it unchanged."""
    if PLAIN_WORD.fullmatch(value) and value.lower() not in YAML_KEYWORDS:
        return value
    return json.dumps(value)


def format_comment(value: str) -> str:
    """Format a text from the data as a single-line comment."""
    shown = "".join(c if c.isprintable() else " " for c in value)
    return shown if len(shown) <= WIDTH else f"{shown[:WIDTH]}…"
