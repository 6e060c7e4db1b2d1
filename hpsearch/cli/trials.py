"""Commands that show or export trials: studies, top, show, compare, export, report.

They read only journals. If no study is named, they use the newest study of the folder.
"""

from __future__ import annotations

from pathlib import Path

import click

from .completion import complete_studies, complete_trials
from .group import main
from .json_output import json_option, print_answer
from .locations import Address, Location
from .output import OVERWRITE, new_file, output_option
from .study_paths import journal_or_newest, list_journals, split_study_and_trials
from .terminal import make_console, print_line


@main.command()
@json_option
def studies(as_json: bool) -> None:
    """List the studies of this folder, newest first."""
    if as_json:
        from ..answers.from_journal import list_studies

        print_answer(list_studies(list_journals()))
        return
    from ..reporting.studies_table import studies_table

    make_console().print(studies_table(list_journals()))


@main.command()
@click.argument("study", required=False, shell_complete=complete_studies)
@click.option("-n", "--rows", type=click.IntRange(1), default=10, help="Number of trials to show.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Include trials that cannot win: pruned ones, dimmed, by their last score, and those "
    "beyond a limit.",
)
@json_option
def top(study: str | None, rows: int, everything: bool, as_json: bool) -> None:
    """Show the best trials of STUDY, or of the newest study, as a table."""
    journal = journal_or_newest(study)
    if as_json:
        from ..answers.from_journal import list_top_trials

        print_answer(list_top_trials(journal, rows, with_pruned=everything))
        return
    from ..reporting.terminal_tables import top_table

    make_console().print(top_table(journal, rows, with_pruned=everything))


@main.command()
@click.argument("arguments", nargs=-1, metavar="[STUDY] [TRIAL]", shell_complete=complete_trials)
@json_option
def show(arguments: tuple[str, ...], as_json: bool) -> None:
    """Show one TRIAL of STUDY: its hyperparameters, folds and curve, or why it failed.

    TRIAL is 5, trial-5 or best, which is the default.
    """
    from ..reporting.terminal_tables import trial_details, trial_number

    journal, trials = split_study_and_trials(arguments)
    if len(trials) > 1:
        raise click.UsageError(f"show takes one trial, not {len(trials)}: hpsearch compare")
    number = trial_number(journal, trials[0] if trials else "best")
    if as_json:
        from ..answers.from_journal import describe_trial

        print_answer(describe_trial(journal, number))
        return
    make_console().print(trial_details(journal, number))


@main.command()
@click.argument(
    "arguments", nargs=-1, required=True, metavar="[STUDY] TRIAL...", shell_complete=complete_trials
)
@json_option
def compare(arguments: tuple[str, ...], as_json: bool) -> None:
    """Compare TRIALS of STUDY side by side; each is 5, trial-5 or best."""
    from ..reporting.terminal_tables import comparison_table, trial_number

    journal, trials = split_study_and_trials(arguments)
    if not trials:
        raise click.UsageError("which trials? For example: hpsearch compare STUDY best 5")
    numbers = [trial_number(journal, trial) for trial in trials]
    if as_json:
        from ..answers.from_journal import compare_trials

        print_answer(compare_trials(journal, numbers))
        return
    make_console().print(comparison_table(journal, numbers))


@main.command()
@click.argument("study", required=False, shell_complete=complete_studies)
@output_option("The file to write; its extension sets the format.", required=True)
@OVERWRITE
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet", "optuna"]),
    help="Format, if the extension does not set it; optuna: a study for optuna-dashboard.",
)
@click.option(
    "--safe-csv",
    is_flag=True,
    help="Write a CSV file that is safe to open in spreadsheets: formulas get a leading '.",
)
@json_option
def export(
    study: str | None,
    output: Location,
    overwrite: bool,
    form: str | None,
    safe_csv: bool,
    as_json: bool,
) -> None:
    """Export all trials of STUDY, with scikit-learn's column names or as an Optuna study."""
    from ..reporting.trial_export import choose_format
    from ..reporting.trial_export import export_trials as write

    file = Path(output.name) if isinstance(output, Address) else output
    journal, form = journal_or_newest(study), choose_format(file, "csv" if safe_csv else form)
    with new_file(output, overwrite=overwrite) as draft:
        count = write(journal, draft, form="safe-csv" if safe_csv else form)
    print_line(f"{count} trials to {output}", err=True)
    if as_json:
        from ..answers.action_answers import ExportAnswer

        name = journal.parent.name
        print_answer(ExportAnswer(study=name, file=str(output), format=form, trials=count))


@main.command()
@click.argument("study", required=False, shell_complete=complete_studies)
@output_option("The HTML page to write; the default is report.html in the study's folder.")
@OVERWRITE
@json_option
def report(study: str | None, output: Location | None, overwrite: bool, as_json: bool) -> None:
    """Write the HTML report of STUDY: verdict, figures, trials, data and study file."""
    from ..reporting.html import REPORT, write_report
    from ..reporting.html import render_report as page_of

    journal = journal_or_newest(study)
    if output is None:
        write_report(journal)
    else:
        with new_file(output, overwrite=overwrite) as draft:
            draft.write_text(page_of(journal), encoding="utf-8")
    file = journal.with_name(REPORT) if output is None else output
    if as_json:
        from ..answers.action_answers import FileAnswer

        print_answer(FileAnswer(study=journal.parent.name, file=str(file)))
    else:
        print_line(f"{file}", err=output is not None)
