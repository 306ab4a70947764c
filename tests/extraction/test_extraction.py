"""The extraction rule: cases per clause, real outputs of a small model, properties, speed of hostile input."""

from __future__ import annotations

import json
import runpy
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.extraction.engine import extract

CASES = runpy.run_path(str(Path(__file__).with_name("extraction_cases.py")))["CASES"]
REAL = [
    json.loads(line)
    for line in (Path(__file__).with_name("fixtures") / "real_outputs.jsonl").read_text(encoding="utf-8").splitlines()
]
FLAT = [(clause, *case) for clause, cases in CASES.items() for case in cases]


@pytest.mark.parametrize(("clause", "output", "options", "letter"), FLAT, ids=[f"{c[0]}: {c[1][:50]!r}" for c in FLAT])
def test_clause(clause: str, output: str, options: dict[str, str], letter: str | None) -> None:
    assert extract(output, options) == letter


@pytest.mark.parametrize("case", REAL, ids=[f"{n}-{c['style']}" for n, c in enumerate(REAL)])
def test_real_output(case: dict) -> None:
    """`expected` was read off by a person from what SmolLM2-135M-Instruct wrote to questions of our own."""
    assert extract(case["output"], case["options"]) == case["expected"]


def test_there_are_enough_cases() -> None:
    assert len(REAL) >= 60 and len(FLAT) + len(REAL) >= 150
    assert len({case["output"] for case in REAL}) >= 60
    assert len({(c["output"], str(c["options"])) for c in REAL}) == len(REAL)


# Text made of the rule's own words reaches far more of it than random characters do.
_WORDS = [
    "the answer is", "Answer:", "\\boxed{", "}", "<answer>", "</answer>", "<think>", "</think>", '{"answer": "', '"}',
    "is correct", "I choose", "option", "not", "but", "or", "and", "if", "A", "B", "J", "?", "a", "(", ")", ".", ",",
    "\n", " ", "*", "aspirin", "vitamin c", "because", "wait,", "it's", "the", "\\text{", "&amp;", "é", "İ", "\x00",
    "<b>", "</b>", "<a href='x'>", "<br/>", "<p>", "</p>", "&lt;i&gt;", "<", ">",
    "\n## Thinking\n", "\n## Final Response\n", "\nthink\n", "\nanswer\n", "## ",
]  # fmt: skip
_texts = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_WORDS), max_size=25).map(" ".join))
_options = st.dictionaries(
    st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    st.one_of(st.text(min_size=1, max_size=20), st.sampled_from(["Aspirin", "Vitamin C", "a", "no", "5 mg", ".", " "])),
    min_size=1,
    max_size=26,
)


@settings(max_examples=400, deadline=None)
@given(_texts, _options)
def test_never_raises_and_names_only_options(output: str, options: dict[str, str]) -> None:
    assert extract(output, options) in {None, *options}


@settings(max_examples=400, deadline=None)
@given(_texts, _options, st.sampled_from(["\n", "\n\n", " ", " \n", "\r\n"]))
def test_trailing_space_changes_nothing(output: str, options: dict[str, str], tail: str) -> None:
    assert extract(output + tail, options) == extract(output, options)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from("ABCDEFGHIJ"), st.text(alphabet="xyz ,", max_size=80))
def test_a_plain_last_declaration_always_counts(letter: str, before: str) -> None:
    options = {chr(65 + k): f"Gene product {k}" for k in range(10)}
    assert extract(f"{before}\nThe answer is {letter}.", options) == letter


@pytest.mark.parametrize(
    "hostile",
    [
        "answer " * 20_000,
        "the answer is not " * 8_000,
        "<think>" * 20_000,
        "</think><think>" * 10_000 + "</think>",
        "## Thinking\n## a\n" * 10_000,
        "think\nanswer\n" * 10_000 + "# " * 10_000,
        "(" * 100_000,
        "\\text{" * 20_000,
        "is correct " * 10_000,
        ". " * 50_000,
        "answer" + " to" * 40_000,
        "A, " * 40_000,
        "\n" * 100_000 + "B",
        "aspirin " * 15_000,
        "<b" * 50_000,
        "<b " * 40_000,
        "<b" + " " * 100_000,
        "<b" + " a=a" * 30_000,
        '<b a="' * 20_000,
        "<p>" * 40_000,
        "<b>" * 40_000 + "B",
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_takes_no_more_than_its_length(hostile: str) -> None:
    """A regular expression that backtracks would take minutes here; twenty seconds is no measure of speed."""
    began = time.process_time()
    extract(hostile, {"A": "Aspirin", "B": "Metoprolol", "C": "Answer"})
    assert time.process_time() - began < 20
