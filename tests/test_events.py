"""Events are decoded as they were encoded, and only the codec knows their keys."""

import ast
import gzip
import math
from dataclasses import fields
from pathlib import Path

import pytest
import synthetic

import hpsearch
from hpsearch import event_codec
from hpsearch.event_codec import decode_event, encode_event, from_json
from hpsearch.events import KINDS, EpochFinished, SearchEnded, UnknownEvent
from hpsearch.history import History

ROOT = Path(hpsearch.__file__).parent
CODEC = ("events.py", "event_codec.py", "event_redaction.py", "record_form.py")
# What holds an event, or what a history kept of one, by the names that it has in the code.
HOLDERS = {
    *("end", "event", "final", "finalist", "first", "fitted", "plots", "r", "record", "said"),
    *("study", "winner", "last", "before", "accepted", "change", "promotion"),
}
KEYS = {field.name for kind in KINDS for field in fields(kind)} | {"event", "of"}


def reads(tree: ast.AST) -> list[str]:
    """`record["trial"]` and `record.get("trial")` of what holds an event."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=holder, slice=ast.Constant(value=str(key))):
                pass
            case ast.Call(
                func=ast.Attribute(value=holder, attr="get"),
                args=[ast.Constant(value=str(key)), *_],
            ):
                pass
            case _:
                continue
        name = holder.attr if isinstance(holder, ast.Attribute) else getattr(holder, "id", "")
        if name in HOLDERS and key in KEYS:
            found.append(ast.unparse(node))
    return found


def test_a_read_by_a_string_would_be_found():
    assert 2 == len(reads(ast.parse('record["trial"] + history.final.get("test", {})')))


def test_no_module_reads_an_event_by_a_string(figure):
    found = {
        path.name: told
        for path in ROOT.rglob("*.py")
        if path.name not in CODEC and (told := reads(ast.parse(path.read_text("utf-8"))))
    }
    assert {} == found
    figure(string_keyed_reads=0)


def test_every_kind_of_event_has_a_name_of_its_own():
    names = [kind.kind for kind in KINDS]
    assert len(names) == len({*names, ""}) - 1


@pytest.mark.parametrize("kind", [kind.kind for kind in KINDS])
def test_an_event_with_its_defaults_is_read_as_it_was_written(kind):
    needed = {
        "trial": 1,
        "attempt": 0,
        "params": {"a": 1},
        "seed": 3,
        "epochs": 2,
        "epoch": 0,
        "scores": [0.1],
        "metrics": {"val/loss": [0.2]},
        "fold": 0,
        "state": "COMPLETE",
        "reason": "done",
        "score": 0.5,
        "file": "predictions/000001.npy",
        "crc32": 5,
        "name": "m",
        "version": 1,
        "alias": "champion",
        "request": "5f3a",
        "of": {} if kind == "winner" else 0,
        "changes": [["a", "1", "2"]],
    }
    cls = next(each for each in KINDS if each.kind == kind)
    keys = [field.metadata.get("key", field.name) for field in fields(cls)]
    event = synthetic.event(kind, **{k: v for k, v in needed.items() if k in keys})
    assert type(event) is cls
    assert event == synthetic.events([synthetic.json_of(event)])[0]


def test_a_part_of_one_name_has_one_type_in_every_kind():
    """Parts are decoded by their names."""
    types = {}
    for kind in KINDS:
        for field in fields(kind):
            if field.name in event_codec._DECODED:
                types.setdefault(field.name, set()).add(str(field.type).removesuffix(" | None"))
    assert {} == {name: found for name, found in types.items() if len(found) > 1}


def test_fields_and_kinds_that_a_later_version_adds_are_passed_over():
    later = {"seq": 4, "time": 5, "event": "ended", "reason": "done", "mood": "glad"}
    assert SearchEnded(seq=4, time=5, reason="done") == from_json(later)
    new = from_json({"seq": 5, "time": 6, "event": "weighed", "kilograms": 3})
    assert UnknownEvent(seq=5, time=6, name="weighed") == new
    assert () == History().apply(new)


def test_an_event_does_not_change():
    event = next(e for e in synthetic.events(synthetic.study(1)) if isinstance(e, EpochFinished))
    with pytest.raises(AttributeError):
        event.epoch = 3


def epoch(scores, **metrics):
    told = {"trial": 0, "attempt": 0, "epoch": 0, "scores": scores}
    return EpochFinished(**told, metrics={f"val/{name}": v for name, v in metrics.items()})


def test_an_epochs_scores_stand_in_its_line_once():
    event = epoch([0.5, 0.25], loss=[1.5, 2.5], roc_auc=[0.5, 0.25])
    text = encode_event(event)
    assert 1 == text.count(b"[0.5,0.25]")
    assert event == decode_event(text)
    assert ["val/loss", "val/roc_auc"] == list(decode_event(text).metrics)


@pytest.mark.parametrize(
    ("scores", "metric"),
    [([0.0, 1.0], [-0.0, 1.0]), ([0.5, math.nan], [0.5, math.nan]), ([0.5, 1.0], [0.5])],
)
def test_what_is_not_bit_for_bit_the_scores_is_written_as_it_is(scores, metric):
    read = decode_event(encode_event(epoch(scores, roc_auc=metric)))
    assert repr((scores, metric)) == repr((read.scores, read.metrics["val/roc_auc"]))


def test_journals_of_format_2_hold_the_scores_twice_and_read_the_same_in_less_bytes(figure):
    before = after = 0
    for path in sorted((Path(__file__).parent / "journals" / "format-2").glob("*.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            text = line.partition(b" ")[2]
            event = decode_event(text)
            if isinstance(event, EpochFinished):
                again = encode_event(event)
                assert repr(event) == repr(decode_event(again))
                before, after = before + len(text), after + len(again)
    assert 0.95 * before > after
    figure(epoch_bytes_before=before, epoch_bytes_now=after)


def test_the_first_bytes_of_a_line_say_what_it_is():
    for event in synthetic.events(synthetic.study(3)):
        text = encode_event(event)
        assert text.startswith(b'{"seq":%d,"time":%d,"event":"%s"' % (
            event.seq, event.time, event.kind.encode(),
        ))  # fmt: skip
