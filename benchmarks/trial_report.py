"""The table of the benchmark `trials.py`, from the contestants' answers."""

from __future__ import annotations

from typing import Any

import numpy as np

HEAD = """\
| mode | data | contestant | seconds (CPU) | against loop | AUC | beside loop's | products |
|---|---|---|---|---|---|---|---|"""


def format_row(answer: dict[str, Any], loop: dict[str, Any] | None) -> str:
    """A line of the table; `loop` is the loop's answer to the same, where it ran."""
    steady = answer["mode"] == "steady"
    wall, cpu = ("seconds", "steady_cpu") if steady else ("wall", "cpu")
    times = f"{answer[wall]:.2f} ({answer[cpu]:.2f})"
    ratios = f"{loop[wall] / answer[wall]:.1f}x ({loop[cpu] / answer[cpu]:.1f}x)" if loop else ""
    scores = answer["scores"]
    score = f"{np.mean(scores):.4f} ± {np.std(scores):.4f}, best {max(scores):.4f}"
    speed = ""
    if steady:
        reached = answer["flops"] / answer["seconds"] / 1e9
        speed = f"{reached:.0f} of {answer['peak']:.0f} GFLOP/s = {reached / answer['peak']:.0%}"
    cells = [answer["mode"], answer["data"], answer["name"], times, ratios, score]
    return f"| {' | '.join([*cells, compare_scores(answer, loop), speed])} |"


def compare_scores(answer: dict[str, Any], loop: dict[str, Any] | None) -> str:
    """How far the scores lie from the loop's, and whether its seeds lie as far apart.

    A steady contestant's mean may lie two standard errors and 0.001 away, because Keras reads the
    curve at 200 thresholds. In a study it is the differences of single trials whose mean is
    judged so; hpsearch itself draws configurations of its own.
    """
    if loop is None or answer["name"] in ("loop", "hpsearch"):
        return ""
    ours, theirs = (np.asarray(a["scores"]) for a in (answer, loop))
    if answer["mode"] == "study":
        apart = ours - theirs
        error = np.std(apart) / np.sqrt(len(apart))
        least = ""
        if len(apart) > 2:
            least = f", correlation {np.corrcoef(ours, theirs)[0, 1]:.3f}"
    else:
        apart, least = np.array([ours.mean() - theirs.mean()]), ""
        error = np.sqrt(sum(np.var(s) / max(1, len(s) - 1) for s in (ours, theirs)))
    difference = float(apart.mean())
    word = "equal" if abs(difference) <= 2 * error + 0.001 else "DIFFERS"
    return f"{difference:+.4f}, {word} within 2 x {error:.4f} + 0.001{least}"


def format_table(answers: list[dict[str, Any]]) -> str:
    """The whole table; of a contestant that ran more than once the last answer counts."""
    last = {(a["mode"], a["data"], a["name"]): a for a in answers}
    lines = [format_row(a, last.get((mode, data, "loop"))) for (mode, data, _), a in last.items()]
    return "\n".join([HEAD, *lines])
