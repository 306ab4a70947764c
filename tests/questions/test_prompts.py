"""Prompts as data: every item's text stands in its prompt unchanged, whatever it contains."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import InputError
from components.questions.items import Item
from components.questions.prompts import PROMPTS, build_messages, prompt_version

TEXT = st.text(min_size=1, max_size=40) | st.sampled_from(["{question}", "{options}", r"\1 \g<0>", "{0} {{x}}", "100%"])


def item(question: str, first: str, second: str = "scurvy", context: str | None = None) -> Item:
    return Item("q", question, {"A": first, "B": second}, "A", "medqa", context=context)


@pytest.mark.parametrize("style", PROMPTS)
@given(question=TEXT, first=TEXT, second=TEXT)
def test_texts_are_filled_in_unchanged(style: str, question: str, first: str, second: str) -> None:
    (message,) = build_messages(item(question, first, second), style)
    before, between, after = re.split(r"\{question\}|\{options\}", PROMPTS[style])
    assert message == {"role": "user", "content": f"{before}{question}{between}A. {first}\nB. {second}{after}"}


def test_an_option_is_no_place_to_fill_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.questions.prompts.PROMPTS", {"reversed": "{options} | {question}"})
    (message,) = build_messages(item("{options}", "{question}"), "reversed")
    assert message["content"] == "A. {question}\nB. scurvy | {options}"


def test_context_stands_before_the_question() -> None:
    (message,) = build_messages(item("Does it help?", "yes", context="BACKGROUND: a trial."), "direct")
    assert "BACKGROUND: a trial.\n\nDoes it help?\n\nA. yes" in message["content"]


def test_version_names_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    before = prompt_version("direct")
    assert before.startswith("direct:")
    assert before != prompt_version("stepwise")
    monkeypatch.setattr("components.questions.prompts.PROMPTS", {**PROMPTS, "direct": PROMPTS["direct"] + " "})
    assert prompt_version("direct") != before


def test_published_versions_stay() -> None:
    """Answers on disk and models in the registry name these; a new text needs a new style."""
    assert {style: prompt_version(style).partition(":")[2] for style in PROMPTS} == {
        "direct": "00af26c2e7d4",
        "stepwise": "88b789d5f041",
        "huatuogpt-o1": "2984570bdd35",
        "medreason": "51e4120cbd9d",
        "m1": "b938e2afc154",
        "biomed-r1": "24ce93534b62",
    }


def test_m1_is_asked_as_it_was_evaluated() -> None:
    (message,) = build_messages(item("Does it help?", "yes"), "m1")
    assert message["content"] == "Does it help?\nA. yes\nB. scurvy\nReturn your final response within \\boxed{}."


def test_unknown_style_is_refused() -> None:
    with pytest.raises(InputError, match="'terse' is not one of"):
        build_messages(item("Why?", "yes"), "terse")
