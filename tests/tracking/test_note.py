"""The description of a study's run: escaped names, and omission of failing parts."""

import synthetic

from hpsearch.history import History
from hpsearch.tracking import study_note


def test_names_are_text_in_the_note():
    records = synthetic.study(6)
    records[0]["study"] = "**x** [a](javascript:b)"
    records[0]["objective"]["metric"] = "a`|b"
    for record in records:
        if record["event"] == "asked":
            record["params"]["<img src=x>|"] = "|\x1b[2J\n# heading"
    written = study_note.render_study_note(History(synthetic.events(records)))
    assert r"\*\*x\*\* \[a\](javascript:b)" in written
    assert "`a'¦b`" in written
    assert r"\<img src=x\>\|" in written
    assert "\x1b" not in written
    assert not any(line.startswith("# ") for line in written.splitlines())
    table = [line for line in written.splitlines() if line.startswith("| trial-")]
    assert 1 == len({line.replace(r"\|", "").count("|") for line in table})


def test_a_part_that_fails_is_left_out_and_told(monkeypatch, caplog):
    def fail(_):
        raise KeyError("intervals")

    monkeypatch.setattr(study_note, "_render_scores", fail)
    written = study_note.render_study_note(synthetic.history(6))
    assert "locked test rows" in written
    assert "a part of the study's note is left out" in caplog.text
