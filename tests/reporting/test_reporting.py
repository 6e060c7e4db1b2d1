"""Tables, exports and the page say what the journal says."""

import csv
import io
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import synthetic
from rich.console import Console, RenderableType

from hpsearch.errors import HpsearchError, JournalError
from hpsearch.reporting import html, terminal_tables
from hpsearch.reporting.trial_export import choose_format, export_trials


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return synthetic.write(tmp_path / "journal.jsonl", synthetic.study(24, folds=3, epochs=3))


def text(shown: RenderableType) -> str:
    console = Console(width=200, file=io.StringIO(), color_system=None)
    console.print(shown)
    return console.file.getvalue()


def test_top_shows_the_best_trials_best_first(journal: Path) -> None:
    shown = text(terminal_tables.top_table(journal, 5))
    best = synthetic.history(24, folds=3, epochs=3).ranked_trials()[:5]
    rows = re.findall(r"^ +(\d+) +(\d+)(?: ★)? +(0\.\d+)", shown, re.MULTILINE)
    expected = [(str(k), str(t.number), f"{t.score:#.5g}") for k, t in enumerate(best, start=1)]
    assert expected == rows
    assert "best 5 of 18 complete, 3 pruned, 3 failed" in shown


def test_top_with_pruned_trials_says_how_many_are_left_out(journal: Path) -> None:
    all_but_one = text(terminal_tables.top_table(journal, 20, with_pruned=True))
    assert "best 20 of 18 complete, 3 pruned, 3 failed" in all_but_one
    every = text(terminal_tables.top_table(journal, 21, with_pruned=True))
    assert "best" not in every


def test_top_of_two_thousand_trials_works(tmp_path: Path) -> None:
    records = synthetic.study(2000, folds=2, epochs=2)
    shown = text(terminal_tables.top_table(synthetic.write(tmp_path / "journal.jsonl", records)))
    assert "best 10 of 1600 complete, 200 pruned, 200 failed" in shown


def test_top_of_a_study_that_has_only_begun_is_empty(tmp_path: Path) -> None:
    journal = synthetic.write(tmp_path / "journal.jsonl", synthetic.study(1)[:1])
    assert "no trial yet" in text(terminal_tables.top_table(journal))


def test_show_tells_params_folds_and_curve(journal: Path) -> None:
    trial = synthetic.history(24, folds=3, epochs=3).trials[0]
    shown = text(terminal_tables.trial_details(journal, 0))
    assert repr(trial.params["learning_rate"]) in shown
    assert all(f"{score:#.5g}" in shown for score in trial.fold_scores)
    assert "val/accuracy" in shown


def test_show_of_a_failed_trial_tells_its_traceback(journal: Path) -> None:
    assert "ValueError: NaN" in text(terminal_tables.trial_details(journal, 3))


def test_compare_shows_trials_side_by_side(journal: Path) -> None:
    shown = text(terminal_tables.comparison_table(journal, [0, 3, 4]))
    assert re.search(r"trial-000 +trial-003 +trial-004-retry-1", shown)
    assert re.search(r"state +complete +failed +complete", shown)


def test_a_trial_that_does_not_exist_is_refused_with_those_that_do(journal: Path) -> None:
    with pytest.raises(JournalError, match=r"no trial 99\. Trials: 0 to 23"):
        terminal_tables.trial_details(journal, 99)


def test_csv_has_the_columns_of_cv_results(journal: Path, tmp_path: Path) -> None:
    assert 24 == export_trials(journal, tmp_path / "trials.csv", form="csv")
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = min((r for r in rows if r["rank_test_score"]), key=lambda r: int(r["rank_test_score"]))
    expected = synthetic.history(24, folds=3, epochs=3).ranked_trials()[0]
    assert str(expected.number) == best["trial"]
    assert expected.score == float(best["mean_test_score"])
    assert list(expected.fold_scores) == [float(best[f"split{k}_test_score"]) for k in range(3)]
    assert str(expected.params["optimizer"]) == best["param_optimizer"]
    assert "" == rows[3]["mean_test_score"]


def test_a_spreadsheet_finds_no_formula_in_a_safe_csv(tmp_path: Path) -> None:
    records = synthetic.study(4)
    for record in records:
        if record["event"] == "asked":
            record["params"] |= {"=cmd": "=HYPERLINK(1)", "low": -1.5}
        if record.get("error"):
            record["error"] = "@SUM(A1)"
    journal = synthetic.write(tmp_path / "journal.jsonl", records)
    tables = {}
    for form in ("csv", "safe-csv"):
        export_trials(journal, tmp_path / "out.csv", form=form)
        with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
            tables[form] = list(csv.reader(file))
    assert tables["csv"] != tables["safe-csv"]
    cells = [cell for row in tables["safe-csv"] for cell in row]
    assert "-1.5" in cells
    texts = [cell for cell in cells if cell[:1] in "=+-@\t\r" and cell != "-1.5" and cell]
    assert [] == texts
    assert "'=HYPERLINK(1)" in cells


def test_parquet_holds_the_same_rows(journal: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    export_trials(journal, tmp_path / "trials.parquet", form="parquet")
    stored = pq.read_table(tmp_path / "trials.parquet").to_pylist()
    trials = synthetic.history(24, folds=3, epochs=3).trials
    assert [t.score for t in trials] == [row["mean_test_score"] for row in stored]
    assert [t.params.get("momentum") for t in trials] == [row["param_momentum"] for row in stored]


def test_a_choice_of_mixed_types_is_exported_as_text(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    records = synthetic.study(3)
    for record, value in zip(
        (r for r in records if r["event"] == "asked"), (1, "auto"), strict=False
    ):
        record["params"]["units"] = value
    journal = synthetic.write(tmp_path / "journal.jsonl", records)
    export_trials(journal, tmp_path / "trials.parquet", form="parquet")
    column = pq.read_table(tmp_path / "trials.parquet")["param_units"].to_pylist()
    assert ["1", "auto"] == column[:2]


@pytest.mark.parametrize("name", ["study.log", "study.db"])
def test_optuna_opens_the_exported_study(journal: Path, tmp_path: Path, name: str) -> None:
    import optuna

    export_trials(journal, tmp_path / name, form="optuna")
    storage = f"sqlite:///{tmp_path / name}"
    if name == "study.log":
        backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / name))
        storage = optuna.storages.JournalStorage(backend)
    study = optuna.load_study(study_name="churn", storage=storage)
    best = synthetic.history(24, folds=3, epochs=3).ranked_trials()[0]
    assert dict(best.params) == study.best_trial.params
    assert best.score == study.best_value
    assert 3 == len(study.best_trial.intermediate_values)
    assert 3 == len(study.get_trials(states=[optuna.trial.TrialState.PRUNED]))
    with pytest.raises(HpsearchError, match="exists already"):
        export_trials(journal, tmp_path / name, form="optuna")


@pytest.mark.parametrize(
    ("name", "asked", "form"),
    [
        ("x.csv", None, "csv"),
        ("x.Parquet", None, "parquet"),
        ("x.pq", "parquet", "parquet"),
        ("x.db", None, "optuna"),
        ("x.txt", "csv", "csv"),
    ],
)
def test_the_ending_says_the_format(name: str, asked: str | None, form: str) -> None:
    assert form == choose_format(Path(name), asked)


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("x.csv", "xlsx", "Known: csv, optuna, parquet"),
        ("x.xlsx", None, "'.xlsx' is unknown. Known: .csv, .parquet"),
        ("x", None, "'' is unknown"),
        ("x.csv", "parquet", "the ending says csv and --format parquet"),
    ],
)
def test_a_format_that_is_not_clear_is_refused(name: str, asked: str | None, message: str) -> None:
    with pytest.raises(HpsearchError, match=message):
        choose_format(Path(name), asked)


class Page(HTMLParser):
    """Collects what a page would load, its text, and whether its tags close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [v or "" for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_is_one_page_that_loads_nothing(journal: Path) -> None:
    page = Page(html.render_report(journal))
    assert [] == page.open
    assert [] == page.loads
    for part in ("Locked test rows", "0.83", "Declaration", "search_space:", "keras", "trial-0"):
        assert part in page.text


def test_texts_of_a_study_are_escaped(tmp_path: Path) -> None:
    records = synthetic.study(4)
    hostile = "<script>alert(1)</script>\x1b[2J"
    records[0]["data"]["name"] = records[0]["spec"]["data"]["source"] = hostile
    for record in records:
        if record["event"] == "asked":
            record["params"]["optimizer"] = hostile
        if record.get("error"):
            record["error"] = f'"{hostile}'
    journal = synthetic.write(tmp_path / "journal.jsonl", records)
    records[0]["spec"]["search_space"]["optimizer"]["choices"].append(hostile)
    journal = synthetic.write(tmp_path / "journal.jsonl", records)
    page = html.render_report(journal)
    assert hostile not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_study_that_has_only_begun_has_a_report(tmp_path: Path) -> None:
    journal = synthetic.write(tmp_path / "journal.jsonl", synthetic.study(1)[:1])
    assert "Declaration" in Page(html.render_report(journal)).text


def test_tables_import_nothing_heavy(journal: Path) -> None:
    code = (
        "import sys, pathlib, rich; from hpsearch.reporting.terminal_tables import top_table as "
        "top\n"
        "top(pathlib.Path(sys.argv[1]))\n"
        "heavy = {'mlflow', 'keras', 'jax', 'tensorflow', 'pandas', 'optuna', 'sklearn', "
        "'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(journal)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(terminal_tables.__file__).parents[2])},
        check=True,
    )
    assert "[]" == done.stdout.strip()
