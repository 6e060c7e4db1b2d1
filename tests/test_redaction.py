"""Redaction: what is recognized as a secret, in linear time."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import HpsearchError
from hpsearch.redaction import MAX_TRACEBACK_LENGTH, redact, shorten
from hpsearch.training.trial_result import build_failed_result
from hpsearch.trial import TrialSpec

CANARY = "Canary7f3a9"

SECRETS = [
    "cannot connect to postgresql://bob:{}@db.example/feat",
    "http://h/feat?token={}&x=1",
    "https://h/blob?sig={}",
    "password: {}",
    "password: correct {} battery, staple",
    "  api_key: {}",
    'KEY = "{}"',
    "+KEY = '{}'",
    "Authorization: Bearer {}",
    '{{"Authorization": "Bearer {}", "n": 1}}',
    "curl -H 'Authorization: token {}'",
    "the header was Bearer {}",
    "Cookie: a=1; session={}",
    '{{"password": "{}", "n": 3}}',
    "{{'db_password': '{}'}}",
    '"{{\\"password\\": \\"{}\\"}}"',
    "AWS_SECRET_ACCESS_KEY={}",
    "export HF_TOKEN={}",
    'accessToken: "{}"',
    'os.environ["DB_PASSWORD"] = "{}"',
    'os.environ.setdefault("DB_PASSWORD", "{}")',
    "deploy --password {} --verbose",
    "['deploy', '--token', '{}']",
    'PASSWORD = """\n{}\n"""',
    'PASSWORD = (\n    "{}"\n)',
    "+password: |\n+  first\n+  {}\n host: x",
    "token: |\n  {}\nunits: 8",
    "host=h password={} dbname=x",
    "Server=x;Pwd={};Database=y",
    'secret="a\\"{}"',
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
]

SHAPES = [
    "AKIA" + "A1" * 8,
    "ghp_" + "a1B2" * 9,
    "xoxb-" + "123-" * 3 + "abc",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "hf_" + "aB1" * 11,
    "dapi" + "0f" * 16,
    "sk-" + "aB1" * 16,
    "glpat-" + "a1" * 10,
]

ORDINARY = [
    "token_count: 5, max_tokens=512, tokens: 128, token: 5",
    "tokenizer: bert, tokenizer = Tokenizer(), token = tokens[0]",
    "monkey=3 donkey: 4 keyword=value keys: [a, b] kernel_size: 3",
    "column 'key' has 3 values; columns: key, token, secret, password",
    "Known: 'token', 'key', 'password'.",
    "study.yaml:7: search_space.key: low=0.6 must be less than high=0.5",
    "key=units sort_key: name primary_key: id",
    "units=8 learning_rate=0.001 batch_size=32 momentum=0.9",
    "secretary: Ann, compass: north, passed=3, bypass: 4",
    'password = os.environ["DB_PASSWORD"]',
    "password: null",
    "study.yaml:7: search_space.password: is read by nothing, leave it out",
    "signature: (x: float)",
    "basic statistics; bearer tokens are missing",
    "sklearn:breast_cancer, sk-learn==1.5",
    "sqlite:////data/mlruns/mlflow.db",
    "https://docs.example.org/a?x=1#token",
    "Unexpected token: foo bar",
    "trial 3 FAILED ValueError: nine is not to be had",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_hidden_and_its_name_is_not(text: str) -> None:
    shown = redact(text.format(CANARY))
    assert CANARY not in shown
    assert "***" in shown
    assert shown == redact(shown)


@pytest.mark.parametrize("token", SHAPES)
def test_a_token_is_known_by_its_shape(token: str) -> None:
    assert "told *** x" == redact(f"told {token} x")


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert text == redact(text)


def test_values_of_telling_variables_are_hidden_wherever_they_stand(monkeypatch) -> None:
    monkeypatch.setenv("FEATURES_PASSWORD", CANARY)
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:pa%2Fss99@db/x")
    monkeypatch.setenv("POSTGRES_PASSWORD", "postgres")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "parallel")
    assert "said ***, *** and ***" == redact(f"said {CANARY}, pa%2Fss99 and pa/ss99")
    assert "postgresql of ***, parallel" == redact("postgresql of postgres, parallel")


PIECES = st.sampled_from(
    [
        "password",
        "token",
        "key",
        "=",
        ": ",
        '"',
        "'",
        "\\",
        "\n",
        " ",
        "://",
        "@",
        "a1",
        "***",
        ",",
        "Bearer ",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ",
        "|",
        "(",
        "]",
        "+",
        "-",
        "Authorization",
    ]
)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    assert redact(text) == redact(redact(text))


@given(st.text(max_size=200))
def test_any_text_can_be_redacted(text: str) -> None:
    json.dumps(redact(text))


@pytest.mark.parametrize(
    "unit",
    [
        "://",
        "://a@ ",
        "password=",
        'password="',
        "password: x, ",
        "key=",
        "key='",
        "eyJ-",
        "a",
        "-----BEGIN PRIVATE KEY-----",
        "--token ",
        "key: |\n x\n",
        "Bearer ",
        "password\\",
    ],
)
def test_the_time_is_linear_in_the_text(unit: str) -> None:
    def seconds(n: int) -> float:
        text = unit * (n // len(unit))
        began = time.process_time()
        redact(text)
        return time.process_time() - began

    short = min(seconds(20_000) for _ in range(3))
    assert seconds(160_000) < 24 * max(short, 0.01)  # quadratic would be 64 times as long


def test_an_error_of_a_user_is_short_and_tells_no_secret(figure) -> None:
    said = f"http://ann:{CANARY}@h " + "x" * 60_000_000 + f" password: {CANARY}"
    try:
        raise ValueError(said)
    except ValueError as error:
        result = build_failed_result(
            TrialSpec(0, {}, 1, 1), error, seconds=1.0, trainer="vectorized"
        )
    assert CANARY not in result.error + result.traceback
    assert "characters left out" in result.error
    assert len(result.error) < 3_000
    assert len(result.traceback) < MAX_TRACEBACK_LENGTH + 100
    assert len(str(HpsearchError(said))) < 65_000
    figure(characters=len(result.error) + len(result.traceback))


def test_the_middle_is_left_out_and_counted() -> None:
    assert "abc" == shorten("abc", 10)
    cut = shorten("begin " + "x" * 1000 + " the end", 100)
    assert cut.startswith("begin ")
    assert cut.endswith(" the end")
    assert "characters left out" in cut
