"""Properties of what is read, for any text, and for every shape of every option."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from components.extraction import explain, extract, read, without_thought

ROOT = Path(__file__).resolve().parents[2]
_OWN = runpy.run_path(str(Path(__file__).with_name("cases.py")))
DRUGS, FORMATS = _OWN["DRUGS"], _OWN["THOUGHT_FORMATS"]
SHAPES = runpy.run_path(str(ROOT / "tests" / "bench" / "bench_extraction.py"))["SHAPES"]
SAMPLES = [
    json.loads(line)
    for path in sorted((ROOT / "components" / "samples" / "benchmarks").glob("*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]

# Text made of the rule's own words reaches far more of it than random characters do.
_WORDS = [
    "the answer is", "Answer:", "\\boxed{", "}", "<answer>", "</answer>", "<think>", "</think>", '{"answer": "', '"}',
    "is correct", "I choose", "option", "not", "but", "or", "and", "if", "A", "B", "J", "?", "a", "(", ")", ".", ",",
    "\n", " ", "*", "aspirin", "vitamin c", "because", "wait,", "it's", "the", "\\text{", "&amp;", "é", "İ", "\x00",
    "<b>", "</b>", "<a href='x'>", "<br/>", "&lt;i&gt;", "<", ">", "\n## Thinking\n", "\n## Final Response\n", "[[",
    "\nthink\n", "\nanswer\n", "## ", "No, B.", "incorrect statement is", "- [x]", "✅", "答案", "选", "Antwort:",
    "ответ",
    "<|im_end|>", "\nQuestion:", "-5", "½", "β", "\u200b", "|", "remains", "so", "the exception",
]  # fmt: skip
_texts = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_WORDS), max_size=25).map(" ".join))
_options = st.dictionaries(
    st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    st.one_of(
        st.text(min_size=1, max_size=20), st.sampled_from(["Aspirin", "Vitamin C", "a", "no", "5 mg", "-5", ".", " "])
    ),
    min_size=1,
    max_size=26,
)


@settings(max_examples=400, deadline=None)
@given(_texts, _options)
def test_never_raises_and_names_only_options(output: str, options: dict[str, str]) -> None:
    letter = extract(output, options)
    assert letter in {None, *options}
    assert read(output, options).letter == letter
    assert read(output, options, everything=True).letter == letter
    assert explain(output, options)


@settings(max_examples=200, deadline=None)
@given(_texts, _options, st.sampled_from(["\n", "\n\n", " ", " \n", "\r\n", "<|im_end|>", "</s>", "<|eot_id|>\n"]))
def test_trailing_space_and_special_tokens_change_nothing(output: str, options: dict[str, str], tail: str) -> None:
    assume(not output.rstrip().endswith(("<", "</", "|", "[", "\\")))
    assert extract(output + tail, options) == extract(output, options)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from("ABCDEFGHIJ"), st.text(alphabet="xyz ,", max_size=80))
def test_a_plain_last_declaration_always_counts(letter: str, before: str) -> None:
    options = {chr(65 + k): f"Gene product {k}" for k in range(10)}
    assert extract(f"{before}\nThe answer is {letter}.", options) == letter


@settings(max_examples=200, deadline=None)
@given(_texts, st.sampled_from(sorted(FORMATS)), st.sampled_from(["The answer is B.", "B", "B. Bisoprolol"]))
def test_what_a_closed_thought_says_changes_nothing(thought: str, family: str, answer: str) -> None:
    assume(not any(mark in thought.lower() for mark in ("think", "thought", "#", "answer", "response", "<", "&")))
    assert extract(FORMATS[family].format(thought=thought, answer=answer), DRUGS) == "B"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_a_text_without_marks_keeps_every_character(text: str) -> None:
    assume("think" not in text.lower() and "<" not in text)
    assert without_thought(text) == text
    assert without_thought(f"<think>{text}</think>{text}") == text


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_every_option_is_read_in_every_shape(row: dict, data: st.DataObject) -> None:
    options = {letter: text for letter, text in row["options"].items() if text}
    letter = data.draw(st.sampled_from(sorted(options)))
    shape = data.draw(st.sampled_from(sorted(SHAPES)))
    same = [text for text in options.values() if text.strip().lower() == options[letter].strip().lower()]
    assume(len(same) == 1 or "text" not in shape)
    # A vitamin "A" that is option H: "The answer is A." names option A (docs/extraction.md: what it does not read).
    assume(options[letter].strip() not in options)
    assert extract(SHAPES[shape](letter, options[letter]), options) == letter


HOSTILE = [
    "answer ", "the answer is not ", "<think>", "</think><think>", "## Thinking\n## a\n", "think\nanswer\n", "(",
    "\\text{", "\\boxed{", "is correct ", ". ", "answer to ", "A, ", "\n", "aspirin ", "<b", "<b ", '<b a="', "<p>",
    "{", '{"answer": ', '"answer": "A", ', "wait, ", "no, B. ", "\nQuestion:", "A is correct. ", "so B. ",
    "A. Aspirin\n", "<|im_end|>", "<answer>", "answer: B. ", "- [x] A ", "| a ", "\\frac{", "[a](", "aspirin and ",
    "the one that does not cause is ", "1.", "答案", "\u200b", "В ", "however, B is better. ", "[[", "Finish[", "\\n",
    "| answer |\n|--|\n", "[ ] A [x] ", "~~a~~ ", "~~", "change my answer to ", "Therefore, ", "<del>", "aspirin (A). ",
    "this makes it ", "A: no. ", '{"A": 0.1, ', "answer\n", "| answer |\n|--|\n| A |\n",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE, ids=repr)
def test_a_megabyte_of_hostile_text_is_read_to_its_end(unit: str) -> None:
    """An expression that backtracks would take hours here: this test would not end."""
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    read(text + "B", {"A": "Aspirin", "B": "Metoprolol", "C": "Answer"}, everything=True)
