"""What optuna-dashboard is shown, and what is said where it is not installed."""

import sys
from pathlib import Path

import pytest
import synthetic

from hpsearch.errors import HpsearchError
from hpsearch.reporting.optuna_dashboard import DashboardStudy, import_dashboard


def test_trials_that_end_meanwhile_appear_once(tmp_path: Path) -> None:
    records = synthetic.study(6)
    ends = [i for i, record in enumerate(records) if record["event"] == "result"]
    path = synthetic.write(tmp_path / "journal.jsonl", records[: ends[1] + 1])
    shown = DashboardStudy(path)
    assert [0, 1] == numbers(shown)
    synthetic.write(path, records)
    shown.update()
    shown.update()
    assert [0, 1, 2, 3, 4, 5] == sorted(numbers(shown))
    assert ["churn"] == [study.study_name for study in shown.storage.get_all_studies()]


def numbers(shown: DashboardStudy) -> list[int]:
    (study,) = shown.storage.get_all_studies()
    trials = shown.storage.get_all_trials(study._study_id)
    return [trial.user_attrs["number"] for trial in trials]


def test_where_it_is_not_installed_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with pytest.raises(HpsearchError, match=r"pip install 'hpsearch\[dashboard\]'"):
        import_dashboard()
