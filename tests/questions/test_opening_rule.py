"""What may open an answer: exactly one wrong option, named by letter or text, in at most 30 words besides it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.platform.tables import read_items
from components.questions.items import Item, normalise
from components.questions.prefills.prompt import opening_messages, opening_prompt_version
from components.questions.prefills.rule import MAX_WORDS, judge, written_opening
from components.questions.prefills.templates import make_openings

WORDS = ["aspirin", "heparin", "sodium", "loop", "2", "B12", "acute", "renal", "valve", "40 mg"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
OPTIONS = st.dictionaries(st.sampled_from("ABCDEFGHIJ"), TEXTS, min_size=2).filter(
    lambda options: len(set(options.values())) == len(options)
)
FOUR = {"A": "aspirin", "B": "heparin", "C": "vitamin B12", "D": "insulin glargine."}


def item(options: dict[str, str], answer: str) -> Item:
    return Item(id="q", question="?", options=options, answer_idx=answer, dataset_name="medqa")


@st.composite
def questions(draw: st.DrawFn) -> Item:
    options = draw(OPTIONS)
    return item(options, draw(st.sampled_from(sorted(options))))


@st.composite
def sentences(draw: st.DrawFn, asked: Item) -> str:
    """Sentences out of filler words, letters and option texts in any order."""
    mentions = [*asked.options, *asked.options.values(), *(f"{k}, {v}" for k, v in asked.options.items())]
    filler = ["I", "think", "it", "is", "maybe", "not", "the", "answer", "option", "a", "A", ",", ".", "because"]
    return " ".join(draw(st.lists(st.sampled_from([*mentions, *filler, *filler]), max_size=12)))


@given(st.data())
def test_what_is_accepted_is_wrong_and_short(data: st.DataObject) -> None:
    asked = data.draw(questions())
    opening = data.draw(sentences(asked) | st.text(max_size=60))
    verdict = judge(opening, asked)
    assert (verdict.letter is None) == bool(verdict.reason)
    if verdict.letter is not None:
        assert verdict.letter in asked.wrong_letters()
        low, right = f" {normalise(opening)} ", normalise(asked.options[asked.answer_idx])
        assert f" {right} " not in low
        own = re.escape(normalise(asked.options[verdict.letter]))
        assert len(re.sub(rf"(?<!\w){own}(?!\w)", " ", low).split()) <= MAX_WORDS + 1  # a sign may be left alone
        assert re.search(rf"(?<!\w)(?:{own}|{verdict.letter})(?!\w)", low, re.I), "it is named by text or letter"


@given(st.data())
def test_an_accepted_opening_that_goes_on_to_another_option_is_not(data: st.DataObject) -> None:
    asked = data.draw(questions())
    letter = data.draw(st.sampled_from(asked.wrong_letters()))
    opening = f"Perhaps I would say {letter}, {asked.options[letter]}"
    if judge(opening, asked).letter is None:  # a right option's text inside the wrong one's
        assert f" {normalise(asked.options[asked.answer_idx])} " in f" {normalise(asked.options[letter])} "
        return
    for other in set(asked.options) - {letter}:
        assert judge(f"{opening}, or (option {other}).", asked).letter is None
        if normalise(asked.options[other]) not in normalise(asked.options[letter]):
            assert judge(f"{opening}, or {asked.options[other]}.", asked).letter is None
    long = " and so on" * 10
    assert judge(f"{opening}{long}.", asked).letter is None


@given(questions(), st.integers(0, 99))
def test_templates_pass_their_own_rule(asked: Item, seed: int) -> None:
    from components.errors import InputError

    try:
        made = make_openings(asked, seed, "evaluation")
    except InputError:
        return
    for opening in made:
        verdict = judge(opening, asked)
        assert verdict.letter is not None and f"{verdict.letter}, {asked.options[verdict.letter]}" in opening, opening


@given(questions(), st.sets(st.sampled_from("ABCDEFGHIJ")))
def test_templates_name_what_is_to_be_avoided_last(asked: Item, avoid: set[str]) -> None:
    from components.errors import InputError

    try:
        made = make_openings(asked, 0, "evaluation", avoid)
    except InputError:
        return
    named = [judge(opening, asked).letter in avoid for opening in made]
    fresh = {judge(o, asked).letter for o in make_openings(asked, 0, "evaluation")} - avoid
    assert not named[0] or not fresh


def test_the_handwritten_openings_pass() -> None:
    """Other people's sentences than the rule was made for: the samples' 735, each naming `B (its text)`."""
    from components.platform import sources

    refused = []
    total = 0
    for path in sources.source_files(sources.SAMPLES, "benchmarks"):
        for asked in read_items(path):
            for k in range(3):
                opening = asked.opening(k) or ""
                verdict = judge(opening, asked)
                total += 1
                if verdict.letter is None:
                    refused.append((verdict.reason, opening))
                else:
                    assert f"{verdict.letter} ({asked.options[verdict.letter]})" in opening
    assert total > 700 and len(refused) <= 0.015 * total, refused


@pytest.mark.parametrize(
    "opening, outcome",
    [
        ("I think it may be A.", "A"),
        ("Maybe aspirin, I am not sure.", "A"),
        ("I guess option c is what they want.", "C"),
        ("A patient like this would need insulin glargine, I suppose.", "D"),
        ("I lean towards (D), though I do not trust my memory.", "D"),
        ("It may be C, vitamin B12, as in hepatitis C.", "C"),
        ("I think it is B, heparin.", "names the right option"),
        ("I think it is A, unlike heparin.", "names the right option"),
        ("A or C, I cannot tell.", "names several options"),
        ("Perhaps A, aspirin, or insulin glargine.", "names several options"),
        ("A patient like this is rare, I think.", "names no option"),
        ("I have no idea.", "names no option"),
        ("It reminds me of hepatitis A.", "names no option"),
        ("I do not think it is A, aspirin.", "denies the option"),
        ("I think A, aspirin, is wrong.", "denies the option"),
        ("  ", "empty"),
        ("I think A.<|im_end|>", "several lines or markup"),
        ("I think A.\nOr not.", "several lines or markup"),
        ("I think A" + " and on" * 16, "more than 30 words"),
    ],
)
def test_examples(opening: str, outcome: str) -> None:
    verdict = judge(opening, item(FOUR, "B"))
    assert (verdict.letter or verdict.reason) == outcome


@pytest.mark.parametrize(
    "output, opening",
    [
        ('"I think it is A."', "I think it is A."),
        ("\n\n1. I think  it is A.\nThe answer is B.", "I think it is A."),
        ("***\n**Hmm, A.**", "Hmm, A."),
        ("", ""),
        ("---\n\n", ""),
        ("<think>Which one?\nB.</think>\nI think it is A.", "I think it is A."),
        ("<think>Which one?\nA.", ""),
    ],
)
def test_the_first_line_is_the_opening(output: str, opening: str) -> None:
    assert written_opening(output) == opening


@given(st.text(max_size=200))
def test_no_output_is_too_strange(output: str) -> None:
    opening = written_opening(output)
    assert "\n" not in opening and judge(opening, item(FOUR, "B")) is not None


def test_the_prompt_names_the_wrong_option_and_not_the_right_one_as_the_task() -> None:
    asked = item({"A": "{x}", "B": "heparin"}, "B")
    messages = opening_messages(asked, "A")
    assert [role for role, _ in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert messages[-1][1] == "Question: ?\nA. {x}\nB. heparin\nThe student leans towards: A. {x}\nBegin with: Hmm"
    again = [opening_messages(asked, "A", place, attempt) for place in range(3) for attempt in range(1, 5)]
    assert all(len(set(again[i : i + 4])) == 4 for i in (0, 4, 8)), "never the same words twice"
    assert len(opening_prompt_version()) == 12
    for (_, question), (_, opening) in zip(messages[1:-1:2], messages[2:-1:2], strict=True):
        lines = question.splitlines()
        wrong = lines[-2].removeprefix("The student leans towards: ")[0]
        options = dict(line.split(". ", 1) for line in lines[1:-2])
        assert opening.startswith(lines[-1].removeprefix("Begin with: "))
        right = {"Vitamin D", "Left ventricle"} & set(options.values())
        key = next(letter for letter, text in options.items() if text in right)
        example = Item("x", lines[0], options, key, "made")
        assert judge(opening, example).letter == wrong, "the examples follow the rule"
