"""What is read: cases per kind, the formats of thoughts, real outputs of a small model."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from components.extraction import EXTRACTION_VERSION, explain, extract, read, without_thought

HERE = Path(__file__).parent
_OWN = runpy.run_path(str(HERE / "cases.py"))
DRUGS = _OWN["DRUGS"]
FORMATS: dict[str, str] = _OWN["THOUGHT_FORMATS"]
_ALL = {**_OWN["CASES"], **{f"clause {k}": v for k, v in runpy.run_path(str(HERE / "clauses.py"))["CASES"].items()}}
_ALL["wordings"] = runpy.run_path(str(HERE / "wordings.py"))["CASES"]
_ALL["formats"] = runpy.run_path(str(HERE / "formats.py"))["CASES"]
FLAT = [(kind, *case) for kind, cases in _ALL.items() for case in cases]
REAL = [
    json.loads(line) for line in (HERE / "fixtures" / "real_outputs.jsonl").read_text(encoding="utf-8").splitlines()
]
THOUGHT = "First guess: the answer is A. But the rate is asked, so C? Not yet"
ANSWERS = (
    ("The answer is B.", "B"),
    ("B", "B"),
    ("B. Bisoprolol\n\nIt slows the heart.", "B"),
    ("\\boxed{B}", "B"),
    ('{"answer": "B"}', "B"),
    ("I cannot say.", None),
    ("", None),
)


@pytest.mark.parametrize(("kind", "output", "options", "letter"), FLAT, ids=[f"{c[0]}: {c[1][:50]!r}" for c in FLAT])
def test_case(kind: str, output: str, options: dict[str, str], letter: str | None) -> None:
    assert extract(output, options) == letter


@pytest.mark.parametrize("case", REAL, ids=[f"{n}-{c['style']}" for n, c in enumerate(REAL)])
def test_real_output(case: dict) -> None:
    assert extract(case["output"], case["options"]) == case["expected"]


@pytest.mark.parametrize("family", FORMATS)
@pytest.mark.parametrize(("answer", "letter"), ANSWERS, ids=[a[0][:12] for a in ANSWERS])
def test_only_what_follows_the_thought_counts(family: str, answer: str, letter: str | None) -> None:
    assert extract(FORMATS[family].format(thought=THOUGHT, answer=answer), DRUGS) == letter


@pytest.mark.parametrize("family", sorted(set(FORMATS) - {"opened by the template"}))
def test_a_thought_that_was_cut_off_holds_no_answer(family: str) -> None:
    cut = FORMATS[family].format(thought=THOUGHT, answer="B").split("Not yet")[0]
    assert "The answer is A" in cut or "the answer is A" in cut
    assert extract(cut, DRUGS) is None
    assert read(cut, DRUGS).read_by == "unclosed_thought"


def test_a_reading_says_by_which_rule_and_from_what() -> None:
    reading = read("I choose A. The answer is B.", DRUGS, everything=True)
    assert (reading.letter, reading.read_by) == ("B", "answer_is")
    won = [c for c in reading.candidates if c.status == "won"]
    assert [(c.letter, c.span) for c in won] == [("B", "answer is B")]
    assert any(c.letter == "A" and c.status == "weaker" for c in reading.candidates)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "empty"),
        ("<think>The answer is A.</think>", "empty"),
        ("<think>The answer is A.", "unclosed_thought"),
        ("The answer is A or B.", "ambiguous"),
        ("The answer is X.", "no_such_option"),
        ("He needs rest.", "none"),
    ],
)
def test_no_answer_has_a_reason(output: str, reason: str) -> None:
    assert read(output, DRUGS).letter is None
    assert read(output, DRUGS).read_by == reason


def test_explain_prints_every_candidate() -> None:
    text = explain("A is correct in re-entry. I choose C. The answer is B.", DRUGS)
    assert text.startswith("read as B, by answer_is")
    assert all(rule in text for rule in ("choose", "answer_is"))
    assert explain("", DRUGS) == "no answer: empty"


def test_version_and_thoughts_are_public() -> None:
    assert EXTRACTION_VERSION == "4"
    assert without_thought("<think>a</think>b") == "b"
    assert without_thought("<think>a") is None
    assert without_thought("no thought") == "no thought"


def test_there_are_enough_cases() -> None:
    assert len(FLAT) + len(REAL) >= 500
