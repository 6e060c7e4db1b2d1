"""The tables of `tables.py`: scores, losses, ratings and coverage, printed or put on the page."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from ratings import show_ratings

from hpsearch.models import FAMILIES
from hpsearch.training.metrics import METRICS

PAGE = Path(__file__).parent / "tables.md"
MOST = 1000  # percent by which an error is larger; above, the other one is nearly 0
BEGIN, END = "<!-- begin: benchmarks/tables.py -->", "<!-- end: benchmarks/tables.py -->"


def write_page(records: list[dict[str, Any]]) -> None:
    """Replace the tables between the page's two marks by those of the records."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        show(records)
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    text = f"{before}{BEGIN}\n\n{printed.getvalue().strip()}\n\n{END}{after}"
    PAGE.write_text(text, encoding="utf-8")


def show(records: list[dict[str, Any]]) -> None:
    """Mean and deviation over the seeds, the best of each line in bold; then ranks and time."""
    scores: dict[tuple[str, str], list[float]] = {}
    for r in {(r["data"], r["model"], r["seed"]): r for r in records}.values():
        scores.setdefault((r["data"], r["model"]), []).append(r["score"])
    metrics = {r["data"]: r["metric"] for r in records}
    models = list(dict.fromkeys(r["model"] for r in records))
    print(f"| data | metric | splits | {' | '.join(models)} |")
    print(f"|---|---|---|{'---|' * len(models)}")
    ranks: dict[str, list[int]] = {model: [] for model in models}
    for data, metric in metrics.items():
        rising = METRICS[metric].direction == "maximize"
        means = {m: float(np.mean(scores[data, m])) for m in models if (data, m) in scores}
        order = sorted(means, key=lambda m: -means[m] if rising else means[m])
        cells = []
        for model in models:
            if model not in means:
                cells.append("-")
                continue
            ranks[model].append(order.index(model) + 1)
            text = f"{means[model]:.5g}"
            text = f"**{text}**" if model == order[0] else text
            seeds = scores[data, model]
            cells.append(f"{text} ± {np.std(seeds):.2g}" if len(seeds) > 1 else text)
        splits = max(len(scores[data, m]) for m in means)
        print(f"| {data} | {metric} | {splits} | {' | '.join(cells)} |")
    told = [f"{np.mean(ranks[m]):.2f}" if ranks[m] else "-" for m in models]
    print(f"| mean rank | | | {' | '.join(told)} |")
    seconds = [np.mean([r["seconds"] for r in records if r["model"] == m]) for m in models]
    print(f"| seconds | | | {' | '.join(f'{s:.0f}' for s in seconds)} |")
    errors = {
        data: {
            m: float(np.mean([error_of(metric, score) for score in scores[data, m]]))
            for m in models
            if (data, m) in scores
        }
        for data, metric in metrics.items()
    }
    show_ratings(errors)
    show_losses(errors, find_intervals(records))
    show_coverage(records)


def error_of(metric: str, score: float) -> float:
    """A score as an error: the smaller the better."""
    return 1 - score if METRICS[metric].direction == "maximize" else score


def show_coverage(records: list[dict[str, Any]]) -> None:
    """The share of locked rows that 90% intervals, or sets of classes, hold, over the splits."""
    covered = [r for r in records if "coverage" in r]
    if not covered:
        return
    print("\n| data | model | splits | 90% intervals hold | mean width or size | temperature |")
    print("|---|---|---|---|---|---|")
    shares: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in covered:
        shares.setdefault((record["data"], record["model"]), []).append(record)
    for (data, model), found in shares.items():
        share, size, heat = (
            float(np.mean([r[name] for r in found])) for name in ("coverage", "size", "temperature")
        )
        print(f"| {data} | {model} | {len(found)} | {share:.1%} | {size:.3g} | {heat:.2f} |")
    for kind, is_kind in (("intervals", True), ("sets", False)):
        means = [
            np.mean([r["coverage"] for r in found])
            for (data, _), found in shares.items()
            if (found[0]["metric"] == "rmse") == is_kind
        ]
        if means:
            print(f"| mean of {kind} | | | {np.mean(means):.1%} | | |")


def find_intervals(records: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Return the least error within the 95% interval, by set and model; of single splits."""
    found: dict[tuple[str, str], list[float]] = {}
    for r in records:
        if "interval" in r:
            errors = [error_of(r["metric"], bound) for bound in r["interval"]]
            found.setdefault((r["data"], r["model"]), []).append(min(errors))
    return {key: least for key, (least, *more) in found.items() if not more}


def show_losses(
    errors: dict[str, dict[str, float]], least: dict[tuple[str, str], float] | None = None
) -> None:
    """Print by how much the error of each family exceeds each other model's, where it does.

    In bold, where the other's error is beyond the 95% interval of the family's.
    """
    models = list(dict.fromkeys(model for row in errors.values() for model in row))
    least = least or {}
    print("\n| model | has a larger error than | on | by; in bold: beyond its 95% interval |")
    print("|---|---|---|---|")
    for model in (m for m in models if m.partition(",")[0] in FAMILIES):
        for other in models:
            both = {name: r for name, r in errors.items() if model in r and other in r}
            excess = {
                name: 100 * (r[model] / max(r[other], 1e-12) - 1)
                for name, r in both.items()
                if r[model] > r[other]
            }
            if excess:
                beyond = {n for n in excess if both[n][other] < least.get((n, model), 0.0)}
                texts = {n: f"{n} {e:.1f}%" if e < MOST else n for n, e in excess.items()}
                each = ", ".join(f"**{t}**" if n in beyond else t for n, t in texts.items())
                print(f"| {model} | {other} | {len(excess)} of {len(both)} sets | {each} |")
