"""Which letters in an opening name an option, in upper and lower case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.questions.items import Item
from components.questions.prefills.rule import judge

TEXTS = st.lists(st.sampled_from(["aspirin", "2", "B12", "acute", "40 mg"]), min_size=1, max_size=3).map(" ".join)
OPTIONS = st.dictionaries(st.sampled_from("ABCDEFGHIJ"), TEXTS, min_size=2).filter(
    lambda options: len(set(options.values())) == len(options)
)
NAMES = {
    "A": "aspirin",
    "B": "heparin",
    "C": "warfarin",
    "D": "Vitamin C (ascorbic acid).",
    "E": "Hepatitis B vaccine",
    "F": "B cells",
    "G": "a beta blocker",
    "H": "vitamin <i>K</i>",
    "I": "rest",
}


@pytest.mark.parametrize(
    "right, opening, outcome",
    [
        # A lower-case letter names an option like any other.
        ("B", "Hmm, I would go with b, warfarin.", "names the right option"),
        ("B", "Perhaps b) warfarin", "names the right option"),
        ("B", "I'd say C or maybe b.", "names the right option"),
        ("B", "Perhaps b warfarin", "names the right option"),
        ("B", "Perhaps b-warfarin", "names the right option"),
        ("B", "Perhaps b.warfarin", "names the right option"),
        ("B", "Hmm...b, warfarin", "names the right option"),
        ("B", "Perhaps \u2018b\u2019, warfarin", "names the right option"),
        ("B", "Perhaps _b_, warfarin", "names the right option"),
        ("B", "Perhaps \uff42, warfarin", "names the right option"),
        ("B", "Perhaps <b>b</b>, warfarin", "names the right option"),
        ("B", "I think warfarin, b's effect", "names the right option"),
        ("B", "Warfarin or b looks right to me", "names the right option"),
        ("B", "I lean towards C, or d.", "names several options"),
        ("B", "I lean towards c, warfarin.", "C"),
        ("B", "I'd go with c, I guess.", "C"),
        ("B", "I'd say C. Perhaps I am wrong.", "C"),
        ("B", "I'd go with c for now.", "C"),
        ("B", "Perhaps c) is what they want", "C"),
        ("B", "Perhaps c is what they want", "C"),
        ("B", "I'm not sure, but perhaps c.", "C"),
        ("B", "I don't think that it is c.", "denies the option"),
        # Neither the article nor the pronoun names A or I.
        ("A", "It could be a blood thinner such as warfarin.", "C"),
        ("A", "The answer is a blood thinner, so warfarin.", "C"),
        ("A", "Perhaps a (rare) case for warfarin, C.", "C"),
        ("A", "I'd answer a question like this with C.", "C"),
        ("A", "A beta blocker feels right, I'd say G.", "G"),
        ("A", "I'd give the patient's wife a beta blocker.", "G"),
        ("I", "Hmm, i think I'd say C, warfarin.", "C"),
        ("I", "The option I would pick is C.", "C"),
        ("A", "The correct answer is: I.", "I"),
        ("A", "Perhaps (a), warfarin", "names the right option"),
        ("A", "Perhaps a) warfarin", "names the right option"),
        ("A", "Perhaps option a, warfarin", "names the right option"),
        ("A", "Perhaps option a warfarin", "names the right option"),
        ("A", "I'd answer a, warfarin", "names the right option"),
        ("A", "The answer is a, warfarin", "names the right option"),
        ("A", "Perhaps a, warfarin", "names the right option"),
        ("A", "I'd say C or maybe a", "names the right option"),
        ("A", "I'd say a or C", "names the right option"),
        ("I", "Perhaps (i), warfarin", "names the right option"),
        ("I", "Perhaps option I, warfarin", "names the right option"),
        ("I", "Perhaps I, warfarin", "names the right option"),
        ("B", "It could be a drug.", "names no option"),
        ("B", "Maybe a.", "names no option"),
        ("B", "The answer is a guess of mine.", "names no option"),
        ("B", "The choice I would make is open.", "names no option"),
        # Contractions, abbreviations and words with a letter in them.
        ("D", "I'd say C, e.g. for the patient's heart, i.e. his d'Artagnan x-ray.", "C"),
        ("E", "I'd guess C, e.g. warfarin.", "C"),
        ("B", "E. coli is what I remember.", "names no option"),
        ("A", "The d dimer is high.", "names no option"),
        ("D", "B cells matter here, perhaps.", "F"),
        # A letter within the named option's own text, however it is spelled.
        ("C", "Hmm, vitamin c (ascorbic acid) perhaps.", "D"),
        ("C", "Hmm, vitamin C, ascorbic acid perhaps.", "D"),
        ("C", "Hmm, D perhaps, vitamin C is low.", "D"),
        ("B", "Hmm, the hepatitis b vaccine, I'd say.", "E"),
        ("B", "Hmm, E, as hepatitis b is common.", "E"),
        ("B", "Hmm, F, b cells.", "F"),
        ("B", "Hmm, H, vitamin K.", "H"),
        ("C", "Hmm, A, as vitamin c is low.", "names the right option"),
        ("B", "Hmm, A, unlike hepatitis b.", "names the right option"),
        ("B", "It reminds me of hepatitis c.", "names no option"),
    ],
)
def test_letters_in_lower_case(right: str, opening: str, outcome: str) -> None:
    verdict = judge(opening, Item("q", "?", NAMES, right, "medqa"))
    assert (verdict.letter or verdict.reason) == outcome


@pytest.mark.parametrize(
    "opening, outcome",
    [
        ("I'd say 2%.", "B"),
        ("I'd say 2.", "names the right option"),
        ("I'd say 2, 2%.", "names the right option"),
        ("I'd say 2.5, roughly.", "C"),
        ("I'd say 1/2.", "D"),
        ("I'd say 3.2, or 2.3, or 3%.", "names no option"),
    ],
)
def test_a_number_is_not_named_inside_another(opening: str, outcome: str) -> None:
    verdict = judge(opening, Item("q", "?", {"A": "2", "B": "2%", "C": "2.5", "D": "1/2", "E": "3"}, "A", "medqa"))
    assert (verdict.letter or verdict.reason) == outcome


@given(st.data())
def test_a_right_letter_beside_a_wrong_text_is_never_accepted(data: st.DataObject) -> None:
    """However the letter is written and wherever it stands."""
    options = data.draw(OPTIONS)
    asked = Item("q", "?", options, data.draw(st.sampled_from(sorted(options))), "medqa")
    wrong, right = data.draw(st.sampled_from(asked.wrong_letters())), asked.answer_idx
    text = asked.options[wrong]
    form = data.draw(
        st.sampled_from(
            ["Hmm, {}, {}.", "Perhaps {}) {}", "I'd say ({}) {}", "Maybe option {} {}", "I lean to {}: {}", "[{}] {}?"]
        )
    )
    letter = data.draw(st.sampled_from([right, right.lower()]))
    assert judge(form.format(letter, text), asked).letter is None
    assert judge(f"I'd say {text}, or maybe {letter}.", asked).letter is None
