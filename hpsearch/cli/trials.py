"""Commands that show or export trials: studies, top, show, compare, export, report.

They read journals alone. Without the name of a study they take the newest of the folder.
"""

from __future__ import annotations

from pathlib import Path

import click

from .completion import complete_studies, complete_trials
from .group import main
from .output import OVERWRITE, new_file, output_option
from .study_paths import journal_or_newest, list_journals, split_study_and_trials
from .terminal import make_console, print_line


@main.command()
def studies() -> None:
    """The studies of this folder, the newest first."""
    from ..reporting.studies_table import studies_table

    make_console().print(studies_table(list_journals()))


@main.command()
@click.argument("study", required=False, shell_complete=complete_studies)
@click.option("-n", "--rows", type=click.IntRange(1), default=10, help="How many trials.")
@click.option(
    "--all", "everything", is_flag=True, help="Pruned trials too, dimmed, by their score."
)
def top(study: str | None, rows: int, everything: bool) -> None:
    """The best trials of STUDY, or of the newest, as a table."""
    from ..reporting.terminal_tables import top_table

    make_console().print(top_table(journal_or_newest(study), rows, with_pruned=everything))


@main.command()
@click.argument("arguments", nargs=-1, metavar="[STUDY] [TRIAL]", shell_complete=complete_trials)
def show(arguments: tuple[str, ...]) -> None:
    """One TRIAL of STUDY: its hyperparameters, folds and curve, or why it failed.

    TRIAL is 5, trial-5 or best, which is taken if none is named.
    """
    from ..reporting.terminal_tables import trial_details, trial_number

    journal, trials = split_study_and_trials(arguments)
    if len(trials) > 1:
        raise click.UsageError(f"show takes one trial, not {len(trials)}: hpsearch compare")
    number = trial_number(journal, trials[0] if trials else "best")
    make_console().print(trial_details(journal, number))


@main.command()
@click.argument(
    "arguments", nargs=-1, required=True, metavar="[STUDY] TRIAL...", shell_complete=complete_trials
)
def compare(arguments: tuple[str, ...]) -> None:
    """TRIALS of STUDY side by side; each is 5, trial-5 or best."""
    from ..reporting.terminal_tables import comparison_table, trial_number

    journal, trials = split_study_and_trials(arguments)
    if not trials:
        raise click.UsageError("which trials? For example: hpsearch compare STUDY best 5")
    numbers = [trial_number(journal, trial) for trial in trials]
    make_console().print(comparison_table(journal, numbers))


@main.command()
@click.argument("study", required=False, shell_complete=complete_studies)
@output_option("The file to write; its extension sets the format.", required=True)
@OVERWRITE
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet", "optuna"]),
    help="If the extension does not set it; optuna: a study for optuna-dashboard.",
)
@click.option(
    "--safe-csv",
    is_flag=True,
    help="A CSV file without formulas for spreadsheets: such a cell begins with '.",
)
def export(
    study: str | None, output: Path, overwrite: bool, form: str | None, safe_csv: bool
) -> None:
    """All trials of STUDY: as a table with scikit-learn's column names, or as an Optuna study."""
    from ..reporting.trial_export import choose_format
    from ..reporting.trial_export import export_trials as write

    journal, form = journal_or_newest(study), choose_format(output, "csv" if safe_csv else form)
    with new_file(output, overwrite=overwrite) as draft:
        count = write(journal, draft, form="safe-csv" if safe_csv else form)
    print_line(f"{count} trials to {output}", err=True)


@main.command()
@click.argument("study", required=False, shell_complete=complete_studies)
@output_option("The HTML page to write; report.html in the study's folder if left out.")
@OVERWRITE
def report(study: str | None, output: Path | None, overwrite: bool) -> None:
    """STUDY on one page that needs no server: verdict, figures, trials, data, declaration."""
    from ..reporting.html import REPORT, write_report
    from ..reporting.html import render_report as page_of

    journal = journal_or_newest(study)
    if output is None:
        write_report(journal)
        print_line(f"{journal.with_name(REPORT)}")
        return
    with new_file(output, overwrite=overwrite) as draft:
        draft.write_text(page_of(journal), encoding="utf-8")
    print_line(f"{output}", err=True)
