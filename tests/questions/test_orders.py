"""Another order of the options: what may move, which letter is which, and what becomes of prefills."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import InputError
from components.extraction import extract
from components.questions.askings import Asking, askings, left_out
from components.questions.items import Item
from components.questions.orders import (
    check_order,
    movable,
    original_letter,
    other_order,
    reordered_options,
    shown_letter,
    speaks_of_others,
)
from components.questions.prefills.named import named_option
from components.questions.prefills.relabelled import relabelled, reordered
from components.questions.prefills.rule import judge
from components.questions.prefills.templates import make_openings

NAMES = ("gout", "scurvy", "rickets", "beriberi", "pellagra", "mumps", "rabies", "tetanus", "measles", "cholera")


def item(*texts: str, key: str = "A", name: str = "q", question: str = "What is it?", **fields: str) -> Item:
    options = dict(zip(string.ascii_uppercase, texts, strict=False))
    return Item(name, question, options, key, "medqa", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        *("All of the above", "none of the above.", "None", "Any of the above", "All are correct.", "Both"),
        *("Both A and B", "both A and B", "A and C", "B, C and D", "A,B", "Both AB", "1 and 3 only", "Neither A nor B"),
        *("Both options 2 and 3", "All of the options given are correct", "All the previous ones", "Some of the above"),
        "None of these",
    ],
)  # fmt: skip
def test_options_about_the_others(text: str) -> None:
    assert speaks_of_others(text)


@pytest.mark.parametrize(
    "text",
    [
        *("Hepatitis B and C", "Vitamin A and D", "Above knee amputation", "All-trans retinoic acid", "Both kidneys"),
        *("None of his siblings", "Blood pressure of 140 and above", "A", "Dilation and curettage (D&C)", "10"),
        *("All motor branches", "1/5", "9 / 4", "Apo E and Apo B-100", "Both prolactin and growth hormone"),
    ],
)
def test_options_that_stand_for_themselves(text: str) -> None:
    assert not speaks_of_others(text)


def test_what_speaks_of_others_keeps_its_place_and_its_truth() -> None:
    assert movable(item("gout", "scurvy", "rickets", "All of the above")) == [["A", "B", "C"]]
    assert movable(item("gout", "scurvy", "rickets", "Both A and B")) == [["A", "B"]]
    assert movable(item("gout", "scurvy", "rickets", "mumps", "A and C", "All of the above")) == [
        ["A", "C"],
        ["B", "D"],
    ]
    assert movable(item("gout", "scurvy", "rickets", "Both 2 and 3")) == [["B", "C"]]
    # `above` would mean something else to what follows it.
    assert movable(item("gout", "scurvy", "None of the above", "mumps", "rabies")) == [["A", "B"]]
    assert movable(item("A,B", "A,C", "B,C", "A,B,C")) == []
    assert movable(item("gout", "Both A and B", "None")) == []
    assert movable(item("gout", "scurvy", question="Why is option B wrong?")) == []


options = st.integers(2, 10).flatmap(lambda n: st.just(NAMES[:n]))


@given(options, st.integers(0, 5), st.uuids(), st.sampled_from([(), ("All of the above",), ("Both A and B", "None")]))
def test_an_order_moves_every_option_that_can_move(
    texts: tuple[str, ...], seed: int, name: object, tail: tuple[str, ...]
) -> None:
    made = item(*texts, *tail, name=str(name))
    order = other_order(made, seed)
    assert order is not None and order == other_order(made, seed)
    free = {letter for own in movable(made) for letter in own}
    letters = list(made.options)
    assert sorted(order) == letters
    assert all((a == b) == (a not in free) for a, b in zip(letters, order, strict=True))
    assert [reordered_options(made.options, order)[letter] for letter in letters[len(texts) :]] == list(tail)
    for letter in letters:
        shown = shown_letter(made.options, order, letter)
        assert original_letter(made.options, order, shown) == letter
        assert reordered_options(made.options, order)[shown] == made.options[letter]
    again = reordered(made, order)
    assert again.options[again.answer_idx] == made.options[made.answer_idx]


def test_orders_differ_by_seed_and_question() -> None:
    made = [item(*NAMES[:5], name=f"q{n}") for n in range(40)]
    assert len({other_order(i, 0) for i in made}) > 20
    assert [other_order(i, 0) for i in made] != [other_order(i, 1) for i in made]


@pytest.mark.parametrize("order", ["AB", "AABC", "ABCE", "abcd"])
def test_an_order_that_is_none(order: str) -> None:
    with pytest.raises(InputError, match="file: row 3: order"):
        check_order(order, dict(zip("ABCD", NAMES, strict=False)), "file: row 3")


@given(options, st.integers(0, 50), st.data())
def test_template_prefills_name_the_same_option_by_its_new_letter(
    texts: tuple[str, ...], seed: int, data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(string.ascii_uppercase[: len(texts)]))
    made = item(*texts, key=key, name=f"q{seed}")
    order = other_order(made, seed) or ""
    shown = reordered(made, order)
    for half in ("training", "evaluation"):
        for prefill in make_openings(made, seed, half):  # type: ignore[arg-type]
            letter = named_option(prefill, made.options) or ""
            changed = relabelled(prefill, made, order)
            assert changed is not None and named_option(changed, shown.options) == shown_letter(
                made.options, order, letter
            )
            # The same sentence but for the letter.
            assert len(changed) == len(prefill) and sum(a != b for a, b in zip(changed, prefill, strict=True)) == 1


FREE = {
    "Maybe it is B, scurvy, but who knows.": "Maybe it is {B}, scurvy, but who knows.",
    "I would lean towards option C here.": "I would lean towards option {C} here.",
    "Perhaps the answer is (B).": "Perhaps the answer is ({B}).",
    "Hmm, scurvy sounds right to me.": "Hmm, scurvy sounds right to me.",
    "I am leaning towards b, scurvy.": None,  # a small letter may be a word
    "It could be B or C, hard to say.": None,
    "I have no idea at all.": None,
    "A likely one is scurvy, I guess.": None,  # an article, or the letter of gout
    "Vitamin C deficiency, so B, scurvy.": None,
    "It is A, gout.": None,  # the right one
}


@pytest.mark.parametrize("prefill", FREE)
def test_other_prefills_are_rewritten_where_that_is_safe(prefill: str) -> None:
    made = item("gout", "scurvy", "rickets", "beriberi")
    expected = FREE[prefill]
    changed = relabelled(prefill, made, "CADB")
    assert changed == (expected and expected.format(A="B", B="D", C="A", D="C"))
    if changed:
        assert judge(changed, reordered(made, "CADB")).letter == shown_letter(
            made.options, "CADB", judge(prefill, made).letter or ""
        )


def test_a_capital_within_the_option_is_no_letter_to_rewrite() -> None:
    made = item("gout", "hepatitis C", "rickets", "beriberi")
    assert relabelled("I would say hepatitis C here.", made, "CADB") == "I would say hepatitis C here."
    assert relabelled("I would say B, hepatitis C here.", made, "CADB") == "I would say D, hepatitis C here."


SETTINGS = ("plain", "adversarial_0", "adversarial_1")


def _asked() -> list[Item]:
    wrong = {"adversarial_trace_0": "Perhaps B, scurvy.", "adversarial_trace_1": "Perhaps B or C."}
    return [
        item("gout", "scurvy", "rickets", name="free", **wrong),
        item("gout", "Both A and B", "rickets", name="fixed", **wrong),
    ]


def test_askings_leave_out_what_cannot_be_asked_and_say_so() -> None:
    found = askings(_asked(), SETTINGS, samples=2, permute=True)
    keys = [asking.key for asking in found]
    assert len(set(keys)) == len(keys) == 2 * (3 + 2 + 3)
    order = other_order(_asked()[0], 0)
    assert [key for key in keys if key[3]] == [("free", s, n, order) for s in SETTINGS[:2] for n in (0, 1)]
    assert left_out(_asked(), SETTINGS, found) == {"orders_fixed": 1, "prefills_not_rewritten": 1}
    assert [a.key for a in askings(_asked(), SETTINGS)] == [(i.id, s, 0, None) for i in _asked() for s in SETTINGS]


def test_every_asking_has_a_name_and_a_seed_of_its_own() -> None:
    made = [item(*NAMES[:4], name=f"q{n}", adversarial_trace_0="Perhaps B, scurvy.") for n in range(30)]
    found = askings(made, SETTINGS[:2], samples=4, permute=True)
    assert len({a.name for a in found}) == len({a.seed(0) for a in found}) == len(found) == 30 * 2 * 2 * 4
    assert Asking(made[0], "plain").name == "item q0 (plain)", "what was asked before samples existed is found again"


def test_a_permuted_question_is_read_by_what_it_showed() -> None:
    made = item("gout", "scurvy", "rickets", "beriberi")
    shown = Asking(made, "plain", 0, "CADB").shown()
    assert list(shown.options.values()) == ["rickets", "gout", "beriberi", "scurvy"] and shown.answer_idx == "B"
    assert original_letter(made.options, "CADB", extract("The answer is C.", shown.options) or "") == "D"
