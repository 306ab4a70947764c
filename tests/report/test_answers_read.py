"""How answers were read: rules, letters, prefills and the probe, from the rows themselves and never from old marks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_run
from report_records import cell, changed, scores

from components.engines.probe import NOT_ASKED
from components.platform.tables import write_items, write_rows
from components.questions.askings import SETTINGS
from components.questions.items import Item
from components.report.files import read_inputs, write_report
from components.report.limits import Limits
from components.report.score_files import write_scores
from components.report.sections import answered, prefills
from components.report.survey import Survey, survey
from components.scoring.intervals import accuracy_interval
from components.scoring.outcomes import grade
from components.scoring.readings import letters, probed

OPTIONS = {"A": "Aspirin", "B": "Heparin", "C": "Warfarin", "D": "Ibuprofen"}
PREFILL = "I believe it is C, Warfarin."


def items(count: int = 8, prefill: str | None = None) -> list[Item]:
    named = {f"adversarial_trace_{k}": prefill for k in range(3)} if prefill else {}
    return [Item(f"q{n}", f"Question {n}?", OPTIONS, "ABCD"[n % 4], "medqa", **named) for n in range(count)]


def row(item: Item, setting: str = "plain", output: str = "The answer is A.", **more: Any) -> dict[str, Any]:
    return {"item_id": item.id, "model": "m", "setting": setting, "output": output, **more}


def seen(asked: list[Item], rows: list[dict[str, Any]], models: tuple[str, ...] = ("m",)) -> Survey:
    return survey(asked, [(f"row {n}", r) for n, r in enumerate(rows)], models)


def test_rules_are_counted_as_they_read_now_and_not_as_a_row_says() -> None:
    asked = items(4)
    texts = ("The answer is A.", r"\boxed{B}", "", "Who knows.")
    rows = [row(i, output=text, read_by="invented", extracted="D") for i, text in zip(asked, texts, strict=True)]
    found = seen(asked, rows)
    assert found.rules["m"] == {"answer_is": 1, "boxed": 1, "empty": 1, "none": 1}
    table = answered.rules_table(scores([cell()]), found.rules)
    assert table is not None and table.head == ("Rule", "m")
    assert [r[1].text for r in table.rows] == ["25.0\N{NO-BREAK SPACE}%"] * 4
    assert [(r[0].text, r[0].sub) for r in table.rows][2:] == [
        ("no option named", "not read"), ("nothing written", "not read"),
    ]  # fmt: skip


def test_one_reading_serves_marks_and_counts() -> None:
    asked, told = items(4), []
    rows = [("row", row(i)) for i in asked]
    grade(asked, rows, lambda r, place, reading: told.append((r["item_id"], place, reading.letter)))
    assert told == [(f"q{n}", n, "A") for n in range(4)]


def test_a_model_that_nearly_always_picks_one_letter_is_named() -> None:
    asked = items(80)
    found = seen(asked, [row(i, output=f"The answer is {'A' if n % 10 else 'B'}.") for n, i in enumerate(asked)])
    own = found.letters["m"]
    assert (own.picked["A"], own.keys["A"], own.n) == (0.9, 0.25, 80)
    [said] = answered.letter_sentences(scores([cell()]), found.letters)
    assert said.replace("\N{NO-BREAK SPACE}", " ").startswith(
        "m picks A in 90.0 % of its plain answers; A is the key of 25.0 % of these questions (difference +65.0 points"
    )
    fair = seen(asked, [row(i, output=f"The answer is {i.answer_idx}.") for i in asked])
    assert answered.letter_sentences(scores([cell()]), fair.letters) == []
    table = answered.letters_table(scores([cell()]), found.letters)
    assert table is not None and table.head == ("Letter", "Key", "m")
    assert table.rows[0][2].text.startswith("90.0") and table.rows[-1][2].text == "80"


def test_the_excess_of_a_letter_is_a_paired_difference_over_question_groups() -> None:
    picked, keys, groups = list("AAAB"), list("ABAB"), np.array([0, 0, 1, 2])
    found = letters(picked, keys, groups)
    assert found.most is not None and (found.most.letter, found.most.estimate) == ("A", 0.25)
    interval = accuracy_interval((np.array([0.0, 1.0, 0.0, 0.0]) + 1) / 2, groups, 1 - 0.05 / 2)
    assert interval is not None and found.most.low == pytest.approx(2 * interval.low - 1)
    assert letters([], [], np.array([], dtype=int)).most is None


OUTCOMES = {
    "No, the answer is D.": "corrected", "The answer is C.": "kept", "": "silent", "That is hard to say.": "none",
}  # fmt: skip


@pytest.mark.parametrize("in_row", [True, False], ids=["prefill in the row", "old rows"])
def test_what_became_of_prefills_is_counted_apart(in_row: bool) -> None:
    asked = items(8, prefill=PREFILL)
    outputs = list(OUTCOMES) * 2
    more = {"prefill": PREFILL} if in_row else {}
    rows = [row(i, s, text, **more) for s in SETTINGS[1:] for i, text in zip(asked, outputs, strict=True)]
    own = seen(asked, rows).prefills["m"]
    assert (own.n, own.unnamed, own.right) == (24, 0, 0)
    assert {name: share.count for name, share in own.shares.items()} == dict.fromkeys(OUTCOMES.values(), 6)
    [said] = prefills.outcome_sentences(scores([cell()]), {"m": own})
    assert "Of 24 answers of m after a prefill" in said and "add nothing, so that it stands" in said
    table = prefills.outcome_table(scores([cell()]), {"m": own})
    assert (
        table is not None
        and [c.text[:4] for c in table.rows[0][1:6]] == ["25.0", "0.0\N{NO-BREAK SPACE}"] + ["25.0"] * 3
    )


def test_a_prefill_that_names_no_option_is_not_counted_and_a_right_correction_is() -> None:
    asked = items(4)
    rows = [row(i, SETTINGS[1], f"No, it is {i.answer_idx}.", prefill="Let me see." if n == 0 else "I think it is C.")
            for n, i in enumerate(asked)]  # fmt: skip
    own = seen(asked, rows).prefills["m"]
    assert (own.n, own.unnamed) == (3, 1)
    assert own.right == own.shares["corrected"].count == 2, "one key is C itself"


def test_rule_against_probe() -> None:
    found = probed(["A", "B", "C", None, None], ["A", "C", "D", "B", "C"], ["A", "B", "D", "B", "A"], np.arange(5))
    assert (found.n, found.differ.count, found.differ.of) == (5, 2, 3)
    assert (found.rule_right, found.probe_right, found.unread, found.unread_right) == (1, 1, 2, 1)
    interval = accuracy_interval(np.array([0.0, 1.0, 1.0]), np.arange(3))
    assert interval is not None and (found.differ.low, found.differ.high) == (interval.low, interval.high)


def test_the_probe_stands_beside_the_rule_and_changes_nothing() -> None:
    asked = items(8)
    rows = [row(i, probe="B" if n < 2 else "A" if n < 4 else None) for n, i in enumerate(asked)]
    found = seen(asked, rows)
    assert (found.probes["m"].n, found.probes["m"].differ.count) == (4, 2)
    plain = seen(asked, [{k: v for k, v in r.items() if k != "probe"} for r in rows])
    assert plain.probes == {} and (plain.graded["m"]["plain"].correct == found.graded["m"]["plain"].correct).all()
    said = {"m": {"probe": "5 %, abc"}}
    table = answered.probe_table(scores([cell()]), found.probes, said)
    assert table is not None and table.rows[0][0].sub == "5 %" and table.rows[0][3].text.startswith("50.0")
    [sentence] = answered.probe_sentences(scores([cell()]), found.probes, said)
    assert "changes no accuracy, gap or decision" in sentence
    assert answered.probe_table(scores([cell()]), {}, {}) is None
    assert answered.probe_sentences(scores([cell()]), {}, {}) == [], "older answers say nothing of a probe"


def test_a_probe_that_an_endpoint_cannot_be_asked_is_named() -> None:
    [said] = answered.probe_sentences(scores([cell()]), {}, {"m": {"probe": NOT_ASKED}})
    assert said == f"The probe of m was {NOT_ASKED}."


def test_bounds_are_those_of_the_scores_or_follow_from_older_ones() -> None:
    assert answered.unread_right(cell()) == 0.6
    assert answered.unread_right(changed(cell(), accuracy_unread_right=None)) == pytest.approx(0.6)
    table = answered.bounds_table(scores([cell(), cell(benchmark="medqa")]))
    assert table is not None and [r[1].text for r in table.rows] == ["50.0 to 60.0"] * 2
    assert answered.bounds_table(scores([cell(accuracy_unread_right=0.5)])) is None, "all were read"


def page(folder: Path, asked: list[Item], rows: list[dict[str, Any]], metadata: dict[str, str]) -> str:
    write_items(asked, folder / "items.parquet")
    write_rows(rows, folder / "answers.parquet", metadata)
    write_scores(folder / "items.parquet", [folder / "answers.parquet"], folder / "scores.json", 200)
    found = read_inputs(folder / "scores.json", items=folder / "items.parquet", answers=[folder / "answers.parquet"])
    write_report("Title", found, Limits(), folder)
    return (folder / "report.md").read_text(encoding="utf-8")


def test_the_page_of_an_evaluation_shows_all_of_it(tmp_path: Path) -> None:
    asked = report_run.make_items()
    rows, said = report_run.make_answers(asked, "base"), report_run.make_metadata(asked, "base")
    text = page(tmp_path, asked, rows, said)
    for part in ("How answers were read", "Which letters are picked", "The reading rule against the probe",
                 "What became of the prefills", "Accuracy if all unread answers were wrong",
                 "If every answer that could not be read were right, it would be"):  # fmt: skip
        assert part in text, part


def test_answers_from_before_the_probe_make_the_same_page_without_it(tmp_path: Path) -> None:
    asked = report_run.make_items()
    old = [{k: v for k, v in r.items() if k not in ("read_by", "probe", "prefill", "prefill_mode")}
           for r in report_run.make_answers(asked, "base")]  # fmt: skip
    said = {k: v for k, v in report_run.make_metadata(asked, "base").items() if k != "probe"}
    text = page(tmp_path, asked, old, said)
    assert "How answers were read" in text and "What became of the prefills" in text and "probe" not in text.lower()
