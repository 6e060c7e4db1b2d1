"""The Markdown that describes a registered model and its versions in MLflow's pages."""

from __future__ import annotations

from collections.abc import Mapping

from ..escaping import escape_markdown, format_code_span
from ..tracking.runs_view import run_page

MODEL_NOTE = (
    "Models that hpsearch promoted. The alias `champion` is the version in use, `previous` the one "
    "before; each version says which study it comes from and how good it is."
)


def render_version_note(lineage: Mapping[str, str]) -> str:
    """Render the scores, then the version's origin with a link to its run.

    Args:
        lineage: From `read_lineage`; fields that an older model lacks are omitted.
    """
    metric, ensemble = lineage.get("metric", "score"), lineage.get("ensemble", "")
    lines = []
    if test := lineage.get(f"test.{metric}"):
        lines.append(f"**{format_code_span(metric)} {_shorten(test)}** on the locked test rows")
    if verdict := lineage.get("verdict"):
        lines.append(f"By these rows, it is {escape_markdown(verdict)}")
    if score := lineage.get("score"):
        spread = f" ± {_shorten(lineage['spread'], 2)}" if "spread" in lineage else ""
        alone = ", of its best trial alone" if ensemble else ""
        lines.append(f"{_shorten(score)}{spread} over the folds of the search{alone}")
    page = run_page(lineage["experiment"], lineage["run"])
    study = escape_markdown(lineage.get("study", "its study"))
    trial = f", trial {lineage['trial']}" if "trial" in lineage else ""
    if ensemble:
        trial = f", an ensemble of {escape_markdown(ensemble)}"
    lines.append(f"From [{study}]({page}){trial}")
    return "\n\n".join(f"{line}." for line in lines)


def _shorten(number: str, digits: int = 5) -> str:
    try:
        return f"{float(number):.{digits}g}"
    except ValueError:
        return escape_markdown(number)
