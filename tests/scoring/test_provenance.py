"""Answers are tied to the items they were given to."""

from __future__ import annotations

from typing import Any

from components.questions.items import Item, items_digest
from components.scoring.gate.provenance import changed_items

ITEMS = [
    Item(
        f"q{n}", f"Question {n}?", {"A": "one", "B": "two", "C": "three"}, "ABC"[n % 3], "medqa",
        adversarial_trace_0=f"Perhaps it is number {n}.",
    )
    for n in range(30)
]  # fmt: skip


def rows(marked: bool = True) -> list[dict[str, Any]]:
    """Answers as evaluate writes them: every second one right."""
    made = []
    for n, item in enumerate(ITEMS):
        letter = item.answer_idx if n % 2 else item.wrong_letters()[0]
        for setting, prefill in (("plain", ""), ("adversarial_0", item.adversarial_trace_0)):
            row: dict[str, Any] = {"item_id": item.id, "setting": setting}
            if marked:
                row |= {"extracted": letter, "correct": letter == item.answer_idx, "prefill": prefill}
            made.append(row)
    return made


def test_the_same_items_agree_also_within_a_larger_set_or_another_order() -> None:
    recorded = items_digest(ITEMS)
    extra = Item("x", "Extra?", {"A": "one", "B": "two"}, "A", "NEJM")
    for given in (ITEMS, [extra, *ITEMS], ITEMS[::-1]):
        assert changed_items(given, rows(), recorded) is None
    assert changed_items(ITEMS, rows(), None) is None, "a file that records nothing cannot be checked"


def test_changed_keys_are_counted() -> None:
    shifted = [i.with_(answer_idx=i.wrong_letters()[-1]) if n < 10 else i for n, i in enumerate(ITEMS)]
    found = changed_items(shifted, rows(), items_digest(ITEMS))
    assert found is not None and "of 30 keys changed" in found and "prefills" not in found
    assert changed_items(shifted, rows(marked=False), items_digest(ITEMS)) == (
        "the 30 answered questions, their options or keys are not those that were asked"
    )


def test_changed_prefills_and_questions_are_named() -> None:
    moved = [i.with_(adversarial_trace_0="Something else.") if n < 4 else i for n, i in enumerate(ITEMS)]
    assert changed_items(moved, rows(), items_digest(ITEMS)) == "the prefills of 4 of 30 questions changed"
    asked = [i.with_(question="Another question?") if n == 3 else i for n, i in enumerate(ITEMS)]
    assert "no key of the 30 questions" in str(changed_items(asked, rows(), items_digest(ITEMS)))
    assert "'q29' of the answers is not among" in str(changed_items(ITEMS[:-1], rows(), items_digest(ITEMS)))


def test_a_prefill_for_another_order_is_no_changed_prefill() -> None:
    again = [{**row, "order": "BCA", "prefill": "Perhaps in another order."} for row in rows()]
    shifted = [i.with_(answer_idx=i.wrong_letters()[-1]) if n < 10 else i for n, i in enumerate(ITEMS)]
    found = changed_items(shifted, [*rows(), *again], items_digest(ITEMS))
    assert found is not None and "keys changed" in found and "prefills" not in found
