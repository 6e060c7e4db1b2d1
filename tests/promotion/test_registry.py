"""Promotion moves an alias to a better model, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from promotion.conftest import RAW, Store

from hpsearch import fault_injection
from hpsearch.cli import main
from hpsearch.errors import PromotionError, TrackingError
from hpsearch.promotion import (
    Gate,
    NotBetterError,
    Reference,
    list_versions,
    parse_reference,
    promote_run,
    rollback_model,
)
from hpsearch.promotion.gate import Comparison, compare_models
from hpsearch.promotion.model_loading import fetch_model
from hpsearch.promotion.registry import version_at
from hpsearch.tracking.study_runs import find_study_run


@pytest.fixture(scope="module")
def weak(store: Store) -> str:
    return store.study("weak", skill=1.0)


@pytest.fixture(scope="module")
def strong(store: Store) -> str:
    return store.study("strong", skill=2.0)


def held(store: Store, name: str, alias: str = "champion") -> int | None:
    version = version_at(store.client, Reference(name, alias))
    return None if version is None else int(version.version)


def test_a_promoted_model_answers_under_its_alias(store: Store, weak: str) -> None:
    import mlflow

    done = promote_run(store.client, weak, parse_reference("served@champion"))
    assert ("served", 1, "champion", None) == (done.name, done.version, done.alias, done.before)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(store.uri)  # as its user would
    try:
        answer = mlflow.pyfunc.load_model("models:/served@champion").predict(RAW)
    finally:
        mlflow.set_tracking_uri(before)
    assert ["label", "probability_no", "probability_yes"] == list(answer.columns)
    assert len(RAW) == len(answer)


def test_a_version_says_where_it_comes_from(store: Store, weak: str) -> None:
    promote_run(store.client, weak, Reference("lineage"))
    (row,) = list_versions(store.client, "lineage")
    assert ("lineage", 1, ("champion",)) == (row.name, row.version, row.aliases)
    expected = {
        "study": "weak",
        "trial": "3",
        "run": weak,
        "metric": "roc_auc",
        "score": "0.9",
        "test.roc_auc": "0.88",
    }
    assert expected.items() <= row.lineage.items()
    assert 64 == len(row.lineage["sha256"])
    assert row.created <= int(row.lineage["since.champion"]) == row.since


def test_a_better_challenger_becomes_champion_and_rollback_undoes_it(
    store: Store, weak: str, strong: str
) -> None:
    promote_run(store.client, weak, Reference("steps"))
    done = promote_run(store.client, strong, Reference("steps"))
    assert (2, 1) == (done.version, done.before)
    assert done.comparison is not None
    assert done.comparison.certain_gain > 0
    assert (2, 1) == (held(store, "steps"), held(store, "steps", "previous"))
    assert 1 == rollback_model(store.client, "steps").version
    assert (1, 2) == (held(store, "steps"), held(store, "steps", "previous"))
    assert [("steps", 2), ("steps", 1)] == [
        (r.name, r.version) for r in list_versions(store.client)
    ][-2:]


def test_a_worse_challenger_is_refused_in_words(store: Store, weak: str, strong: str) -> None:
    promote_run(store.client, strong, Reference("worse"))
    with pytest.raises(NotBetterError) as refused:
        promote_run(store.client, weak, Reference("worse"))
    words = str(refused.value)
    assert words.startswith("worse@champion stays version 1. roc_auc on the same 400 locked rows")
    assert "not better" in words
    assert 3 == refused.value.exit_code
    assert 1 == held(store, "worse")
    assert 1 == len(list_versions(store.client, "worse"))


def test_an_equal_challenger_is_refused(store: Store, weak: str) -> None:
    promote_run(store.client, weak, Reference("equal"))
    with pytest.raises(NotBetterError, match=r"\+0\.0000: not better by the required 0\."):
        promote_run(store.client, store.study("twin", skill=1.0), Reference("equal"))
    assert 1 == held(store, "equal")


def test_a_margin_can_be_asked_for(store: Store, weak: str, strong: str) -> None:
    promote_run(store.client, weak, Reference("margin"))
    with pytest.raises(NotBetterError, match=r"by the required 0\.5"):
        promote_run(store.client, strong, Reference("margin"), gate=Gate(margin=0.5))


def test_force_promotes_and_says_so(store: Store, weak: str, strong: str) -> None:
    promote_run(store.client, strong, Reference("forced"))
    done = promote_run(store.client, weak, Reference("forced"), force=True)
    assert 2 == done.version
    assert "true" == list_versions(store.client, "forced")[0].lineage["forced"]


def test_a_study_that_goes_on_leaves_its_champion_whole_and_may_beat_it(
    store: Store, strong: str, tmp_path: Path
) -> None:
    run = store.study("goes-on", skill=1.0)
    promote_run(store.client, run, Reference("goes-on"))
    better = store.client.download_artifacts(strong, "final", str(tmp_path))
    store.client.log_artifacts(run, better, "final")  # as the study's next winner is written
    assert fetch_model(store.client, Reference("goes-on"), str(tmp_path)).is_dir()
    done = promote_run(store.client, run, Reference("goes-on"))
    assert (2, 1) == (done.version, done.before)
    assert done.comparison is not None
    assert 1 == rollback_model(store.client, "goes-on").version
    assert fetch_model(store.client, Reference("goes-on"), str(tmp_path)).is_dir()


def test_promoting_the_champion_again_changes_nothing(store: Store, weak: str) -> None:
    first = promote_run(store.client, weak, Reference("again"))
    assert first.version == promote_run(store.client, weak, Reference("again")).version
    assert 1 == len(list_versions(store.client, "again"))


def test_another_alias_of_the_same_run_shares_its_version(store: Store, weak: str) -> None:
    promote_run(store.client, weak, Reference("aliases"))
    promote_run(store.client, weak, Reference("aliases", "staging"))
    (row,) = list_versions(store.client, "aliases")
    assert ("champion", "staging") == row.aliases


@pytest.mark.parametrize(
    ("study", "reason"),
    [({"fingerprint": "0" * 64}, "different data"), ({"locked": 10}, "locked other rows")],
)
def test_models_judged_on_different_rows_are_not_compared(
    store: Store, weak: str, study: dict[str, str], reason: str
) -> None:
    name = reason.replace(" ", "-")
    other = store.study(name, skill=3.0, **study)
    promote_run(store.client, weak, Reference(name))
    with pytest.raises(NotBetterError, match=reason):
        promote_run(store.client, other, Reference(name))


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(
    store: Store, weak: str, strong: str
) -> None:
    stronger = store.study("stronger", skill=4.0)
    promote_run(store.client, weak, Reference("race"))

    def attempt(run: str) -> str:
        try:
            return f"version {promote_run(store.client, run, Reference('race')).version}"
        except PromotionError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(attempt, (strong, stronger)))
    won = [a for a in answers if a.startswith("version")]
    assert 1 <= len(won)
    for lost in set(answers) - set(won):
        assert "meanwhile" in lost or "stays" in lost
    if len(won) == 2:  # one after the other: the second was compared with the first
        assert held(store, "race") == 3


@pytest.fixture(scope="module")
def rivals(store: Store) -> list[str]:
    return [store.study(f"rival-{skill}", skill=skill) for skill in (3.0, 3.5, 4.0, 4.5)]


@pytest.mark.parametrize("where", ["store", pytest.param("over_http", marks=pytest.mark.long)])
def test_of_several_promotions_at_once_one_wins_each_round_and_the_others_are_told_who(
    where: str,
    request: pytest.FixtureRequest,
    weak: str,
    rivals: list[str],
    monkeypatch: pytest.MonkeyPatch,
    figure: Callable[..., None],
) -> None:
    store, runs = request.getfixturevalue(where), rivals
    together = Barrier(len(runs))

    def compared(*given: Any) -> Comparison:
        comparison = compare_models(*given)
        together.wait(60)  # nobody moves the alias before all were compared with its holder
        return comparison

    monkeypatch.setattr("hpsearch.promotion.registry.compare_models", compared)
    winners = []
    for round_ in range(3):
        reference = Reference(f"rivals-{where}-{round_}")
        promote_run(store.client, weak, reference)
        with ThreadPoolExecutor(len(runs)) as pool:
            attempts = [pool.submit(promote_run, store.client, run, reference) for run in runs]
        errors = [e for a in attempts if (e := a.exception()) is not None]
        won = [a.result() for a in attempts if a.exception() is None]
        winners.append(len(won))
        assert [PromotionError] * (len(runs) - 1) == [type(e) for e in errors]
        assert [] == [e for e in map(str, errors) if not ("study rival-" in e and "meanwhile" in e)]
        assert [won[0].version] == [
            v.version
            for v in list_versions(store.client, reference.name)
            if "champion" in v.aliases
        ]
    assert [1, 1, 1] == winners
    figure(winners_per_round=1)


@pytest.mark.parametrize("step", ["before_promote", "after_promote"])
def test_a_promotion_broken_off_is_made_whole_by_the_next(
    store: Store, weak: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broken-{step}"
    with monkeypatch.context() as broken:
        broken.setattr(
            "hpsearch.fault_injection._faults", fault_injection.parse_faults(f"{step}=disk_full")
        )
        broken.setattr("hpsearch.fault_injection._passes", Counter())
        with pytest.raises(OSError, match="No space left"):
            promote_run(store.client, weak, Reference(name))
    promote_run(store.client, weak, Reference(name))
    assert [(1, ("champion",))] == [
        (v.version, v.aliases) for v in list_versions(store.client, name)
    ]


def test_a_run_without_a_fitted_winner_is_refused(store: Store) -> None:
    run = store.client.create_run(store.client.create_experiment("unfinished"))
    with pytest.raises(PromotionError, match="has no fitted winner"):
        promote_run(store.client, run.info.run_id, Reference("unfinished"))


def test_a_study_is_found_by_its_name(store: Store, weak: str) -> None:
    assert weak == find_study_run(store.client, "weak").run_id
    with pytest.raises(TrackingError, match="no study 'nothing'"):
        find_study_run(store.client, "nothing")


def test_there_is_nothing_to_go_back_to(store: Store, weak: str) -> None:
    promote_run(store.client, weak, Reference("first"))
    with pytest.raises(PromotionError, match="has no previous champion"):
        rollback_model(store.client, "first")


@pytest.mark.parametrize("text", ["cancer", "cancer@champion"])
def test_a_reference_is_a_name_and_an_alias(text: str) -> None:
    assert Reference("cancer", "champion") == parse_reference(text)
    assert "models:/cancer@champion" == parse_reference(text).uri


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "a@", "../a", "a/b", "a..b", ".a", "a\n", "ä", "a%2fb", "a b", "x" * 251),
        *("a@latest", "a@LATEST", "a@v3", "a@3", "a@b@c", "a@../b"),
    ],
)
def test_a_bad_name_is_refused(text: str) -> None:
    with pytest.raises(PromotionError, match=r"are allowed|reserved"):
        parse_reference(text)


def test_the_alias_of_the_last_champion_is_ours(store: Store, weak: str) -> None:
    with pytest.raises(PromotionError, match="reserved by hpsearch"):
        promote_run(store.client, weak, Reference("kept", "previous"))


def test_the_bootstrap_agrees_with_the_normal_theory_of_a_mean(tmp_path: Path) -> None:
    from hpsearch.promotion.gate import HoldoutPredictions, compare_models

    rng = np.random.default_rng(0)
    truth, weights = np.zeros((2000, 1)), np.ones(2000)
    champion = HoldoutPredictions(truth, rng.normal(0, 1.1, truth.shape), weights, "f")
    challenger = HoldoutPredictions(truth, rng.normal(0, 1.0, truth.shape), weights, "f")
    gains = champion.prediction[:, 0] ** 2 - challenger.prediction[:, 0] ** 2
    expected = gains.mean() - 1.645 * gains.std() / np.sqrt(len(gains))
    found = compare_models(challenger, champion, "mse", Gate())
    np.testing.assert_allclose(gains.mean(), found.gain)
    np.testing.assert_allclose(expected, found.certain_gain, atol=0.01)


def test_labels_are_compared_as_labels_and_not_as_classes() -> None:
    """Both answer every label of a row as well; taken for classes they would answer one."""
    from hpsearch.promotion.gate import HoldoutPredictions, compare_models

    rng = np.random.default_rng(0)
    truth = (rng.random((400, 3)) < 0.5).astype(float)
    weights = np.ones(400)
    champion = HoldoutPredictions(truth, rng.random(truth.shape), weights, "f", task="multilabel")
    better = np.clip(0.6 * truth + 0.4 * champion.prediction, 0, 1)
    challenger = HoldoutPredictions(truth, better, weights, "f", task="multilabel")
    found = compare_models(challenger, champion, "accuracy", Gate())
    right = [((a > 0.5) == (truth > 0.5)).all(axis=1).mean() for a in (better, champion.prediction)]
    np.testing.assert_allclose(right, [found.challenger, found.champion])
    assert found.is_better


def test_a_shell_completes_the_promoted_models(store: Store, weak: str) -> None:
    promote_run(store.client, weak, Reference("completed", "candidate"))
    environment = {
        "_HPSEARCH_COMPLETE": "bash_complete",
        "MLFLOW_TRACKING_URI": store.uri,
        "COMP_WORDS": "hpsearch predict compl",
        "COMP_CWORD": "2",
    }
    done = CliRunner().invoke(main, [], prog_name="hpsearch", env=environment)
    assert "plain,completed@candidate\n" == done.stdout
    environment["COMP_WORDS"] = "hpsearch rollback compl"
    done = CliRunner().invoke(main, [], prog_name="hpsearch", env=environment)
    assert "plain,completed\n" == done.stdout
