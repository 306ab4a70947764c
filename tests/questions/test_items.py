"""Items: what is accepted, what is refused and how it is said, and which copies are one group."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import InputError
from components.questions.items import group_id, item_row, key_twins, normalise, parse_item

ROW: dict[str, Any] = {
    "id": "q1",
    "question": "Which ion is low?",
    "options": {"A": "Na+", "B": "K+"},
    "answer_idx": "B",
    "dataset_name": "medqa",
}


def test_a_minimal_row() -> None:
    item = parse_item(ROW, "f: row 1")
    assert (item.answer, item.meta, item.wrong_letters()) == ("K+", {}, ["A"])


def test_options_as_json_text_and_as_a_struct_with_nulls() -> None:
    for options in (json.dumps(ROW["options"]), {**ROW["options"], "C": None}):
        assert parse_item({**ROW, "options": options}, "f").options == {"A": "Na+", "B": "K+"}


def test_other_columns_are_kept_in_meta() -> None:
    assert parse_item({**ROW, "body_system": "Renal", "meta": {"x": 1}}, "f").meta == {"body_system": "Renal", "x": 1}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"options": {}}, "options"),
        ({"options": {"A": "one"}}, "options"),
        ({"options": {"A": "one", "B": " "}}, "options"),
        ({"options": "{'A': 'one'}"}, "options"),
        ({"options": '{"A": "one", "A": "two", "B": "three"}'}, "options"),
        ({"options": {"a": "one", "b": "two"}}, "options"),
        ({"options": ["one", "two"]}, "options"),
        ({"answer_idx": "C"}, "answer_idx"),
        ({"question": "  "}, "question"),
        ({"question": None}, "question"),
        ({"dataset_name": None}, "dataset_name"),
        ({"question_type": "reasoning"}, "question_type"),
        ({"reasoning_prob": 1.5}, "reasoning_prob"),
        ({"is_reasoning": "yes"}, "is_reasoning"),
        ({"context": 3}, "context"),
        ({"meta": "["}, "meta"),
    ],
)
def test_refusals_name_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=rf"^f\.jsonl: row 7: {field}: "):
        parse_item({**ROW, **change}, "f.jsonl: row 7")


@given(
    st.dictionaries(st.sampled_from("ABCDEFGHIJ"), st.text(min_size=1).filter(str.strip), min_size=2),
    st.text(min_size=1).filter(str.strip),
)
def test_a_row_survives_its_file_form(options: dict[str, str], question: str) -> None:
    row = {**ROW, "options": options, "answer_idx": next(iter(options)), "question": question}
    item = parse_item(row, "f")
    assert parse_item(item_row(item), "f") == item


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_groups_are_copies_and_not_near_copies() -> None:
    assert group_id("A 40-year-old man, febrile?") == group_id("a 40-year-old  man febrile ?")
    assert group_id("&lt;5 mg of A") == group_id("<5 mg of A")
    assert group_id("Na+ < 120") != group_id("Na+ > 120")
    assert group_id("pH of 7.4") != group_id("pH of 74")
    assert group_id("Is it so?", "abstract one") != group_id("Is it so?", "abstract two")


def test_only_the_keys_own_twins_matter() -> None:
    twins = {"A": "x", "B": "y", "C": "x"}
    assert key_twins(parse_item({**ROW, "options": twins}, "f")) == []
    assert key_twins(parse_item({**ROW, "options": twins, "answer_idx": "C"}, "f")) == ["A", "C"]
    # Case counts: GG and Gg are two genotypes.
    assert key_twins(parse_item({**ROW, "options": {"A": "Gg", "B": "GG"}}, "f")) == []


def test_an_option_that_is_nan_is_none() -> None:
    options = {**ROW["options"], "C": float("nan"), "D": None}
    assert parse_item({**ROW, "options": options, "context": float("nan")}, "f").options == ROW["options"]
    with pytest.raises(InputError, match="question: missing"):
        parse_item({**ROW, "question": float("nan")}, "f")


@pytest.mark.parametrize("text", [["Na+"], {"text": "Na+"}, b"Na+"])
def test_an_option_that_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(InputError, match=rf"f: options: A must be text, not {type(text).__name__}"):
        parse_item({**ROW, "options": {"A": text, "B": "K+"}}, "f")


@pytest.mark.parametrize("answer", ["Na+", " Na+ ", "A"])
def test_an_answer_that_is_another_option_is_refused_with_both(answer: str) -> None:
    with pytest.raises(InputError, match=r"f: answer: '(Na\+|A)' is option A, but answer_idx is B, 'K\+'"):
        parse_item({**ROW, "answer": answer}, "f")
    for fine in ("K+", "B", "Potassium, because it is low.", ""):
        assert parse_item({**ROW, "answer": fine}, "f").answer == (fine or "K+")


def test_what_json_cannot_hold_is_no_traceback() -> None:
    """Parquet has dates, decimals and pictures; a row of the answer file is JSON."""
    extras = {"day": date(2024, 5, 1), "picture": b"\x89PNG", "share": Decimal("0.5"), "deep": [{"x": float("inf")}]}
    item = parse_item({**ROW, **extras}, "f")
    assert item.meta == {"day": "2024-05-01", "share": "0.5", "deep": [{"x": None}]}
    assert parse_item(item_row(item), "f") == item


def test_numbers_and_flags_of_a_csv_cell() -> None:
    item = parse_item({**ROW, "reasoning_prob": "0.25", "is_reasoning": "False"}, "f")
    assert (item.reasoning_prob, item.is_reasoning) == (0.25, False)
