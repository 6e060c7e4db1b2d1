"""`hpsearch init`: a study file for a table that `check` and `tune` accept unchanged."""

import csv
import random
import re
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from answer_check import read_answer
from click.testing import CliRunner

import hpsearch
from hpsearch.cli import main
from hpsearch.errors import DataError, SpecError
from hpsearch.spec.search_space import Categorical
from hpsearch.study.init.recommended_ranges import TABM_ROWS, recommend_family, recommend_ranges
from hpsearch.study.init.wizard import write_starter
from hpsearch.study.initial_trials import initial_points
from hpsearch.study.prepare import load_data
from hpsearch.study.tune import read_spec

from .test_images import images

SPACES = Path(__file__).parents[2] / "search_spaces"

DOCS = (Path(__file__).parents[2] / "docs" / "search_space.md").read_text(encoding="utf-8")


def table(path: Path, rows: int = 400) -> Path:
    """A table with everything that needs a word."""
    rng = random.Random(3)
    names = ["", "customer id", "joined", "age", "city", "income", "note: #1", "one", "account"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "gives it away", "churned"])
        for i in range(rows):
            churned = rng.random() < 0.3
            writer.writerow(
                [
                    i,
                    f"C-{i:05}",
                    f"2024-{i % 12 + 1:02}-{i % 28 + 1:02}",
                    rng.randrange(18, 80),
                    f"town {rng.randrange(150)}",
                    "secret" if i % 20 == 0 else rng.randrange(1000, 9000),
                    rng.choice(["yes: {a}", "# no", '"quoted"', "?"]),
                    7,
                    10**12 + 37 * i,
                    "left" if churned else "stays",
                    "" if i == 5 else "yes" if churned else "no",
                ]
            )
    return path


@pytest.mark.parametrize("target", ["churned", "age"])
def test_realmlp_is_offered_in_the_space_of_its_authors(tmp_path, target):
    file, given = tmp_path / "s.yaml", str(table(tmp_path / "rows.csv"))
    command = ["init", given, "--target", target, "-o", str(file), "--family", "realmlp"]
    assert 0 == CliRunner().invoke(main, command).exit_code
    spec = read_spec(file).spec
    assert ("realmlp", 256, None) == (
        spec.model,
        spec.training.epochs,
        spec.training.early_stopping,
    )
    assert (target == "churned") == ("label_smoothing" in spec.search_space)


def test_tabm_is_recommended_where_its_trials_take_seconds():
    assert ["tabm", "mlp", "mlp"] == [
        recommend_family(rows, features)
        for rows, features in ((850, 20), (850, 2000), (30_000, 20))
    ]


def test_tabm_is_offered_smaller_networks_and_larger_rates_than_its_authors_space(tmp_path):
    rows = table(tmp_path / "rows.csv")
    write_starter(str(rows), "churned", tmp_path / "s.yaml", family="tabm")
    spec = read_spec(tmp_path / "s.yaml").spec
    stopping = spec.training.early_stopping
    assert ("tabm", 256, 16) == (spec.model, spec.training.epochs, stopping.patience)
    ours = read_spec(SPACES / "tabm.yaml").spec
    smaller = ("members", "layers", "units")
    own = {*smaller, "learning_rate"}
    assert {*ours.search_space, "batch_size"} == {*spec.search_space}
    for name in ours.search_space.keys() - own:
        assert ours.search_space[name] == spec.search_space[name]
    published, *learned, expected = initial_points(spec)  # and a point with the expected ones
    assert [2, 256] == [published[name] for name in smaller[1:]]
    assert [2, 128] == [expected[name] for name in smaller[1:]]
    assert [0.002, 0.004, 0.009, 0.01, 0.003] == pytest.approx(
        [point["learning_rate"] for point in (published, *learned, expected)]
    )


def test_realmlp_is_not_offered_for_images(tmp_path):
    images(tmp_path / "images", 20)
    with pytest.raises(SpecError, match="realmlp is for tables"):
        write_starter(str(tmp_path / "images"), None, tmp_path / "s.yaml", (), "realmlp")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starter")
    starter = write_starter(
        str(table(folder / "my customers.csv")), "churned", folder / "study.yaml"
    )
    return folder, starter


def test_what_cannot_be_a_feature_is_dropped_with_its_reason(made):
    folder, starter = made
    dropped = {d.name: d.reason for d in starter.dropped}
    assert {"unnamed_1", "customer id", "one", "account"} == dropped.keys()
    assert "identifier" in dropped["customer id"]
    text = (folder / "study.yaml").read_text()
    assert '- "customer id"   # 400 different values' in text


def test_what_needs_a_word_gets_it(made):
    _, starter = made
    said = {t.name: t.spec.model_dump(exclude_defaults=True) for t in starter.treated}
    assert {
        "joined": {"kind": "date"},
        "city": {"buckets": 64},
        "income": {"missing": ["secret"]},
        "note: #1": {"missing": ["?"]},
    } == said
    assert "drop" == starter.data["missing_target"]


def test_texts_that_are_too_many_among_the_development_rows_alone_are_hashed(tmp_path):
    rows = [["city", "x", "y"], *([f"town {i % 90}", i * i, i % 7 + i / 3] for i in range(200))]
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    starter = write_starter(str(tmp_path / "rows.csv"), "y", tmp_path / "s.yaml")
    assert ["city"] == [treated.name for treated in starter.treated]


def test_a_target_without_values_is_named(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b,y\n" + "1.5,2,\n2.5,4,\n" * 20, encoding="utf-8")
    with pytest.raises(DataError, match="target 'y' has no value in any row"):
        write_starter(str(tmp_path / "rows.csv"), "y", tmp_path / "s.yaml")


def test_a_column_that_gives_the_target_away_is_named_in_a_comment_and_stays(made):
    folder, starter = made
    assert ["gives it away"] == list(starter.suspects)
    assert '#   "gives it away": right in 100.0% of rows' in (folder / "study.yaml").read_text()


def test_the_embedding_of_a_text_is_as_large_as_its_words_need(tmp_path):
    words = [f"w{k}" for k in range(40)]
    rng = random.Random(3)
    lines = [f"{' '.join(rng.choices(words, k=8))},{'yn'[k % 2]}" for k in range(200)]
    (tmp_path / "rows.csv").write_text("\n".join(["comment,label", *lines]))
    write_starter(str(tmp_path / "rows.csv"), "label", tmp_path / "s.yaml")
    text = (tmp_path / "s.yaml").read_text()
    seen = [line.split(",")[0].split() for line in lines]
    size = int(re.search(r"text_vocabulary: (\d+) ", text)[1])
    pairs = {pair for row in seen for pair in pairwise(row)}
    assert 2 * (40 + len(pairs)) * 0.8 <= size <= 4 * (40 + len(pairs))


def test_without_a_target_the_columns_are_listed(tmp_path):
    with pytest.raises(SpecError, match=r"with --target; columns: unnamed_1, customer id, "):
        write_starter(str(table(tmp_path / "rows.csv")), None, tmp_path / "s.yaml")


def test_the_file_is_a_valid_study_of_the_same_data(made):
    folder, starter = made
    file = read_spec(folder / "study.yaml")
    assert ("my-customers", "churned") == (file.spec.study, file.spec.data.target)
    data = load_data(file)
    assert starter.dataset.fingerprint == data.fingerprint
    assert ("binary", 319, 80) == (data.task, data.n_rows, len(data.locked_rows))


@pytest.mark.usefixtures("inline_workers")
def test_the_file_can_be_tuned_unchanged(made, tmp_path):
    folder, _ = made
    small = ["budget.trials=2", "training.epochs=3", "cross_validation.repeats=1"]
    small += ["cross_validation.folds=2", "selection.finalists=0"]
    small += ["search_space.layers=1", "search_space.units=16"]
    result = hpsearch.tune(folder / "study.yaml", overrides=small, root=tmp_path, offline=True)
    assert 2 == result.counts["complete"] + result.counts["pruned"]
    assert result.test["roc_auc"] > 0.5


@pytest.mark.long
@pytest.mark.usefixtures("inline_workers")
def test_a_study_of_tabm_is_scored_and_served_by_the_mean_of_its_members(tmp_path):
    rows = table(tmp_path / "rows.csv", 120)
    write_starter(str(rows), "churned", tmp_path / "s.yaml", family="tabm")
    small = ["budget.trials=1", "training.epochs=40", "cross_validation.repeats=1"]
    small += ["cross_validation.folds=2", "selection.finalists=0", "search_space.members=3"]
    small += ["search_space.layers=1", "search_space.units=16", "search_space.learning_rate=0.03"]
    result = hpsearch.tune(tmp_path / "s.yaml", overrides=small, root=tmp_path, offline=True)
    assert result.test["roc_auc"] > 0.9  # a column gives the target away


def test_a_file_that_is_there_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text("mine")
    done = CliRunner().invoke(main, ["init", "sklearn:wine", "--target", "target"])
    assert 2 == done.exit_code
    assert "study.yaml already exists: name another file" in done.stderr
    assert "mine" == (tmp_path / "study.yaml").read_text()


def test_the_command_writes_a_file_that_check_accepts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    done = runner.invoke(main, ["init", "sklearn:wine", "--target", "target", "-o", "wine.yaml"])
    assert (0, "") == (done.exit_code, done.stdout)
    assert "wine.yaml: multiclass, 142 development rows" in done.stderr
    again = runner.invoke(
        main, ["init", "sklearn:wine", "--target", "target", "-o", "b.yaml", "--json"]
    )
    answer = read_answer("init", again.stdout)
    assert ("b.yaml", "multiclass", 142) == (answer["file"], answer["task"], answer["rows"])
    assert "study.schema.json" == answer["schema_file"]
    described = read_answer("check", runner.invoke(main, ["check", "b.yaml", "--json"]).stdout)
    assert (142, 36) == (described["data"]["rows"], described["data"]["locked_rows"])
    assert "embedding_bins" in {p["name"] for p in described["hyperparameters"]}
    checked = runner.invoke(main, ["check", "wine.yaml"], catch_exceptions=False)
    assert (0, True) == (checked.exit_code, "embedding_bins" in checked.stdout)


def test_a_regression_names_two_columns_whose_sum_is_the_target(tmp_path):
    rng = random.Random(0)
    lines = ["a,b,c,y"]
    for _ in range(300):
        a, b = rng.random(), rng.random()
        lines.append(f"{a},{b},{rng.random()},{3 * a + b}")
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    starter = write_starter(str(tmp_path / "rows.csv"), "y", tmp_path / "s.yaml", family="mlp")
    assert {"a", "b"} == starter.suspects.keys()
    spec = read_spec(tmp_path / "s.yaml").spec
    assert ("regression", "rmse", "kfold") == (
        spec.task,
        spec.objective.metric,
        spec.cross_validation.kind,
    )
    assert Categorical("loss", ("mean_squared_error", "huber")) in spec.space.parameters
    assert Categorical("embedding", ("none", "plr", "piecewise")) in spec.space.parameters
    assert (16, ("defaults",)) == (spec.training.early_stopping.patience, tuple(spec.enqueue))


@pytest.mark.parametrize(("rows", "batch_sizes"), [(1000, (32, 64, 256)), (3000, None)])
def test_tabm_gets_smaller_batches_for_few_rows(tmp_path, rows, batch_sizes):
    lines = ["x,y", *(f"{i % 97},{i % 2}" for i in range(rows))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    write_starter(str(tmp_path / "rows.csv"), "y", tmp_path / "s.yaml", family="tabm")
    spec = read_spec(tmp_path / "s.yaml").spec
    offered = {p.name: getattr(p, "choices", None) for p in spec.space}
    assert batch_sizes == offered.get("batch_size")


@pytest.mark.parametrize(("share", "metric"), [(0.5, "roc_auc"), (0.02, "average_precision")])
def test_a_rare_class_asks_for_another_metric(tmp_path, share, metric):
    rows = [f"{i % 7},{'yes' if i < share * 1000 else 'no'}" for i in range(1000)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,y", *rows]))
    assert metric == write_starter(str(tmp_path / "rows.csv"), "y", tmp_path / "s.yaml").metric


def test_a_table_without_a_header_takes_a_word_with_set(tmp_path):
    (tmp_path / "rows.csv").write_text("\n".join(f"{i % 9},{i % 2}" for i in range(100)))
    arguments = str(tmp_path / "rows.csv"), "c1", tmp_path / "s.yaml"
    with pytest.raises(DataError, match=r"data.header: false"):
        write_starter(*arguments)
    assert not (tmp_path / "s.yaml").exists()
    write_starter(*arguments, ["data.header=false"])
    assert read_spec(tmp_path / "s.yaml").spec.data.header is False
    with pytest.raises(SpecError, match="init takes keys of data"):
        write_starter(*arguments[:2], tmp_path / "other.yaml", ["budget.trials=3"])


def test_ranges_grow_with_the_data():
    sizes = [recommend_ranges(n, 20) for n in (100, 1_000, 10_000, 100_000, 1_000_000)]
    assert sizes == sorted(sizes, key=lambda r: (r.batch_size, r.units))
    assert sizes == sorted(sizes, key=lambda r: -r.epochs)


@pytest.mark.parametrize("rows", [100, 1_000, 10_000, 100_000, 1_000_000])
def test_the_documented_ranges_are_those_that_are_written(rows):
    r = recommend_ranges(rows, 1_000)
    batch = ", ".join(map(str, r.batch_size))
    folds = f"{r.folds}, three times" if r.repeats == 3 else f"{r.folds}"
    row = (
        f"| {batch} | {r.units[1]} | 1 to {r.layers[1]} | {r.epochs} | {r.patience} | {folds} "
        f"| {r.test_fraction} | {r.minutes} |"
    )
    assert re.search(r"\n\| (< [\d,]+|more) " + re.escape(row), DOCS)


@pytest.mark.parametrize(
    ("place", "target", "settings", "dropped", "suspects"),
    [
        ("telco_churn/Telco-Customer-Churn.csv", "Churn", [], {"customerID"}, set()),
        ("bank_marketing/bank-full.csv.gz", "y", [], set(), set()),
        ("california_housing/housing.csv.gz", "median_house_value", [], set(), set()),
        ("bike_sharing/hour.csv.gz", "cnt", [], {"instant"}, {"casual", "registered"}),
        ("beijing_pm25/pollution.csv.gz", "pm2.5", [], {"No"}, set()),
        ("wine_quality/winequality-white.csv", "c11", ["data.header=false"], set(), set()),
        ("adult/adult.data.gz", "c14", ["data.header=false"], set(), set()),
    ],
)
def test_real_sets_get_a_file_that_check_accepts(
    real_data, tmp_path, place, target, settings, dropped, suspects
):
    starter = write_starter(str(real_data / place), target, tmp_path / "study.yaml", settings)
    assert dropped == {d.name for d in starter.dropped}
    assert suspects == starter.suspects.keys()
    spec = read_spec(tmp_path / "study.yaml").spec
    expected = "tabm" if starter.dataset.n_rows < TABM_ROWS else "mlp"
    assert expected == spec.model
    assert any(p.name == "units" for p in spec.space)


@pytest.mark.usefixtures("inline_workers")
def test_a_folder_of_images_gets_a_study_of_convolutions_that_runs(tmp_path):
    images(tmp_path / "my sides", 80)
    starter = write_starter(str(tmp_path / "my sides"), None, tmp_path / "study.yaml")
    assert ("my-sides", "binary", 8 * 8) == (
        starter.study,
        starter.task,
        starter.dataset.n_features,
    )
    small = ["budget.trials=1", "training.epochs=2", "cross_validation.repeats=1"]
    small += ["cross_validation.folds=2", "selection.finalists=0", "search_space.blocks=1"]
    result = hpsearch.tune(
        tmp_path / "study.yaml", overrides=small, workers=1, root=tmp_path, offline=True
    )
    assert "roc_auc" in result.test
    with pytest.raises(SpecError, match="name the column to predict with --target"):
        write_starter(str(table(tmp_path / "rows.csv")), None, tmp_path / "other.yaml")


def shops(path: Path, names: tuple[str, ...] = ("a", "b")) -> Path:
    """Daily sales of shops in the order of time; no column but `shop` tells the rows apart."""
    rng = random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "shop", "promo", "day", "sales"])
        for i in range(120):
            day = date(2024, 1, 1) + timedelta(days=i)
            for k, name in enumerate(names):
                writer.writerow([2 * i + k, name, rng.randrange(2), day, round(rng.gauss(9, 2), 2)])
    return path


def test_a_forecast_is_proposed_for_a_column_of_dates(tmp_path):
    file, given = tmp_path / "s.yaml", str(shops(tmp_path / "shops.csv"))
    command = ["init", given, "--target", "sales", "-o", str(file), "--horizon", "3"]
    done = CliRunner().invoke(main, command)
    assert 0 == done.exit_code, done.output
    line = "forecast of the next 3 steps of 1 day of each shop, from the last 14 rows"
    assert line in done.stderr
    study = read_spec(file)
    declared = study.spec.data.forecast
    assert declared is not None
    assert ("day", "shop", 14, ["day"]) == (
        *(declared.time, declared.series, declared.history),
        declared.known,
    )
    dataset = load_data(study, None)
    assert ("sales_h1", "sales_h2", "sales_h3") == dataset.schema.target.names


def test_a_forecast_without_dates_or_series_is_refused(tmp_path):
    with pytest.raises(DataError, match="--horizon needs a column of dates"):
        write_starter(str(table(tmp_path / "rows.csv")), "joined", tmp_path / "s.yaml", horizon=2)
    rows = shops(tmp_path / "shops.csv", ("a", "a"))
    text = "\n".join(
        ",".join(line.split(",")[1:]) for line in rows.read_text(encoding="utf-8").splitlines()
    )
    rows.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="no other column tells the series apart"):
        write_starter(str(rows), "promo", tmp_path / "s.yaml", horizon=2)
    given = str(shops(tmp_path / "good.csv"))
    with pytest.raises(SpecError, match="--family tabm is for single rows"):
        write_starter(given, "sales", tmp_path / "t.yaml", (), "tabm", 3)
