"""Which questions are shown as lost: marked as the scores mark them, worst first, a question once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from components.questions.items import Item
from components.report.survey import survey
from components.scoring.outcomes import Answers, grade
from components.scoring.regressions import outputs, shorten, worst_falls, worst_regressions

SETTINGS = ("plain", "adversarial_0", "adversarial_1")


def items() -> list[Item]:
    rows = (("q1", 0.9, "g1"), ("q2", 0.1, "g2"), ("q3", 0.8, "g1"), ("q4", 0.0, "g4"))
    return [
        Item(n, f"stem {n}", {"A": "one", "B": "two"}, "A", "medqa", reasoning_prob=prob, group_id=group)
        for n, prob, group in rows
    ]


def rows(model: str, right: Mapping[str, Sequence[int | None]]) -> list[tuple[str, dict[str, Any]]]:
    """Answers by item, one mark per setting; None was not asked. The stored mark is wrong throughout."""
    return [
        (
            f"{model}: {name} {setting}",
            {
                "item_id": name,
                "model": model,
                "setting": setting,
                "output": f"{model} says {'A' if mark else 'B'}.\nThe answer is {'A' if mark else 'B'}.",
                "correct": not mark,
            },
        )
        for name, marks in right.items()
        for setting, mark in zip(SETTINGS, marks, strict=True)
        if mark is not None
    ]


def graded(*tables: list[tuple[str, dict[str, Any]]]) -> Answers:
    return grade(items(), [row for table in tables for row in table])


def test_worst_regressions_show_a_group_once_and_most_lost_first() -> None:
    base = rows("base", dict.fromkeys(("q1", "q2", "q3", "q4"), (1, 1, None)))
    new = rows("new", {"q1": (0, 0, 0), "q2": (0, 1, 0), "q3": (0, 1, 0), "q4": (1, 1, 0)})
    found = worst_regressions(items(), graded(base, new), "base", "new", 5)
    assert [r.item.id for r in found] == ["q1", "q2"], "q3 is a copy of q1, q4 lost nothing that both were asked"
    assert (found[0].lost, found[0].asked) == (2, 2)
    assert (found[0].right, found[0].wrong) == (("base", "plain"), ("new", "plain"))
    assert worst_regressions(items(), graded(base, new), "new", "base", 5) == []
    assert len(worst_regressions(items(), graded(base, new), "base", "new", 1)) == 1
    assert worst_regressions(items(), graded(base, new), "base", "nobody", 5) == []


def test_a_question_that_won_as_much_as_it_lost_is_no_regression() -> None:
    answers = graded(rows("base", {"q1": (1, 0, None)}), rows("new", {"q1": (0, 1, None)}))
    assert worst_regressions(items(), answers, "base", "new", 5) == []


def test_worst_falls_are_right_when_plain_and_most_often_lost_first() -> None:
    answers = rows("m", {"q1": (1, 0, 1), "q2": (1, 0, 0), "q3": (0, 0, 0), "q4": (1, 1, 1)})
    found = worst_falls(items(), graded(answers), "m", 5)
    assert [(r.item.id, r.lost, r.asked) for r in found] == [("q2", 2, 2), ("q1", 1, 2)], "q3 was never right"
    assert (found[0].right, found[0].wrong) == (("m", "plain"), ("m", "adversarial_0"))
    assert worst_falls(items(), graded(answers), "other", 5) == []
    assert set(outputs(found, answers)) == {(q, "m", s) for q in ("q1", "q2") for s in SETTINGS[:2]}
    assert outputs([], answers) == {}


def test_the_marks_are_those_of_the_scores() -> None:
    answers = rows("m", {"q1": (1, 0, 1), "q2": (0, 1, 1)})
    seen = survey(items(), [*answers, ("elsewhere", {**answers[0][1], "item_id": "gone"})], ["m"]).graded
    wanted = graded(answers)
    assert seen.keys() == wanted.keys()
    for setting, outcomes in wanted["m"].items():
        assert outcomes.correct.tolist()[:2] == seen["m"][setting].correct.tolist()[:2]


@given(st.text(max_size=200), st.integers(1, 100))
def test_shortened_text_is_a_beginning_and_an_end_of_the_text(text: str, most: int) -> None:
    short = shorten(text, most)
    assert (short == text) == (len(text) <= most)
    cuts = [short[:at] + "\0" + short[at + 5 :] for at in range(len(short)) if short[at : at + 5] == " […] "]
    pairs = [cut.split("\0", 1) for cut in cuts]
    assert short == text or any(text.startswith(head) and text.endswith(tail) for head, tail in pairs)
    assert len(short) <= most + 5 or short == text


def test_shortened_text_keeps_both_ends_at_words() -> None:
    assert shorten("The first words and then very many more until the last words", 24) == "The first […] last words"


def test_of_several_answers_the_one_that_fits_is_shown_in_the_original_order_if_any() -> None:
    def answered(model: str, letter: str, sample: int, order: str | None = None) -> tuple[str, dict[str, Any]]:
        row = {"item_id": "q1", "model": model, "setting": "plain", "sample": sample, "order": order}
        return f"{model} {sample} {order}", {**row, "output": f"The answer is {letter}."}

    said = [answered("base", "B", 0, "BA"), answered("base", "B", 0), *(answered("base", "A", n) for n in (1, 2))]
    said += [answered("new", "A", 0, "BA"), *(answered("new", letter, n) for n, letter in enumerate("ABB"))]
    found = worst_regressions(items(), graded(said), "base", "new", 5)
    shown = outputs(found, said)
    assert {model: (row["sample"], row["order"]) for (_, model, _), row in shown.items()} == {
        "base": (1, None),
        "new": (1, None),
    }
    only = outputs(found, [row for row in said if row[1]["order"]])
    assert {row["order"] for row in only.values()} == {"BA"}
