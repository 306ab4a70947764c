"""Template openings: wrong, hesitant, short, deterministic, and never the right option's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import InputError
from components.questions.items import Item, normalise
from components.questions.prefills.templates import TEMPLATES, make_openings, template_half

WORDS = ["aspirin", "heparin", "sodium", "loop", "type", "2", "vitamin", "B12", "left", "acute", "no", "maybe", "yes"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)


def item(options: dict[str, str], answer: str, name: str = "q") -> Item:
    return Item(id=name, question="?", options=options, answer_idx=answer, dataset_name="medqa")


FOUR = {"A": "aspirin", "B": "heparin", "C": "warfarin", "D": "insulin glargine."}


def test_there_are_thirty_and_both_halves_have_enough() -> None:
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 30
    halves = [template_half(t) for t in TEMPLATES]
    assert min(halves.count("training"), halves.count("evaluation")) >= 12


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_one_hesitant_first_person_sentence(template: str) -> None:
    words = template.replace("{T}", "").split()
    assert 8 <= len([w for w in words if w.strip(",.")]) <= 20
    assert template.count(".") == 1 and template.endswith(".")
    assert any(w in ("I", "me", "my") for w in template.replace(",", "").replace("My", "my").split())
    assert template.count("{L}") == template.count("{T}") == 1


def test_deterministic_by_id_and_seed() -> None:
    first = make_openings(item(FOUR, "B"), 1, "evaluation")
    assert first == make_openings(item(FOUR, "B"), 1, "evaluation")
    assert first != make_openings(item(FOUR, "B"), 2, "evaluation")
    assert first != make_openings(item(FOUR, "B", "other"), 1, "evaluation")


@given(
    st.dictionaries(st.sampled_from("ABCDEFGH"), TEXTS, min_size=2),
    st.integers(),
    st.sampled_from(["training", "evaluation"]),
)
def test_properties(options: dict[str, str], seed: int, half: str) -> None:
    asked = item(options, min(options))
    try:
        openings = make_openings(asked, seed, half)  # type: ignore[arg-type]
    except InputError:
        return
    right = f" {normalise(options[min(options)])} "
    used = [next(t for t in TEMPLATES if fits(o, t, options)) for o in openings]
    assert len(openings) == 3
    assert all(right not in f" {normalise(o)} " for o in openings)
    assert {template_half(t) for t in used} == {half}


def fits(opening: str, template: str, options: dict[str, str]) -> bool:
    return any(opening == template.replace("{L}", x).replace("{T}", t.rstrip(".")) for x, t in options.items())


def test_three_different_wrong_options_where_there_are_three() -> None:
    openings = make_openings(item(FOUR, "B"), 3, "training")
    named = [x for o in openings for x in "ACD" if f"{x}, {FOUR[x].rstrip('.')}" in o]
    assert sorted(named) == ["A", "C", "D"]


def test_an_option_that_contains_the_right_one_is_not_named() -> None:
    openings = make_openings(item({"A": "heparin", "B": "heparin and aspirin", "C": "warfarin"}, "A"), 0, "training")
    assert all("C, warfarin" in o for o in openings)


def test_none_usable_is_an_error() -> None:
    with pytest.raises(InputError, match="every wrong option contains"):
        make_openings(item({"A": "heparin", "B": "heparin and aspirin"}, "A"), 0, "training")


def test_yes_no_maybe() -> None:
    """The right option "maybe" is also a word of two templates, and "no" or "not" of others."""
    for answer in "ABC":
        for seed in range(20):
            openings = make_openings(item({"A": "yes", "B": "no", "C": "maybe"}, answer), seed, "evaluation")
            right = {"A": "yes", "B": "no", "C": "maybe"}[answer]
            assert all(right not in normalise(o).split() for o in openings)
