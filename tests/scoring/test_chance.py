"""What guessing gets, and that nobody who guesses answers one kind of questions better."""

from __future__ import annotations

import numpy as np
import pytest

from components.questions.items import Item
from components.scoring.cells import score
from components.scoring.chance import guesses
from components.scoring.gaps.records import letter_baseline
from components.scoring.gaps.strata import gap_records, hard_sides
from components.scoring.outcomes import Outcomes, grade, item_table

PUBMEDQA = {"A": 276, "B": 169, "C": 55}  # keys of yes, no, maybe among the 500 test questions


def item(name: str, n: int, letters: str, key: str, reasoning: bool) -> Item:
    options = {letter: f"{letter}{n}" for letter in letters}
    return Item(f"{name}-{n}", f"{name} question {n}?", options, key, name, is_reasoning=reasoning)


def questions() -> list[Item]:
    """Ten options and mostly reasoning; three options with uneven keys and hardly any; four options, mixed."""
    keys = [letter for letter, count in PUBMEDQA.items() for _ in range(count)]
    return [
        *(item("MedXpertQA", n, "ABCDEFGHIJ", "ABCDEFGHIJ"[n % 10], n % 4 != 0) for n in range(800)),
        *(item("pubmedqa", n, "ABC", key, n % 100 == 0) for n, key in enumerate(keys)),
        *(item("medqa", n, "ABCD", "ABCD"[n % 4], n % 3 == 0) for n in range(600)),
    ]


ITEMS = questions()
TABLE = item_table(ITEMS)


def test_baseline_is_the_better_of_two() -> None:
    found = guesses(ITEMS)
    by_name = {i.dataset_name: c for i, c in zip(ITEMS, found.baseline, strict=True)}
    assert by_name == pytest.approx({"MedXpertQA": 0.1, "pubmedqa": 0.552, "medqa": 0.25})


def test_a_commonest_key_that_chance_explains_is_no_baseline() -> None:
    few = [item("small", n, "ABCD", "AABCD"[n % 5], False) for n in range(10)]
    assert guesses(few).baseline == pytest.approx(0.25)
    same = [item("one key", n, "ABCD", "A", False) for n in range(50)]
    assert guesses(same).baseline == pytest.approx(0.25), "one key for all is a set whose key was never shuffled"


def test_copies_count_once_among_the_keys() -> None:
    copied = [i.with_(id=f"{i.id}#{k}") for i in ITEMS for k in range(5 if i.answer_idx == "B" else 1)]
    assert guesses(copied).baseline.max() == pytest.approx(0.552)


def answered(letters: np.ndarray) -> Outcomes:
    """Outcomes of answers given as letters, without going through text."""
    keys = np.array([i.answer_idx for i in ITEMS])
    assert TABLE.guess is not None
    expected = np.array([s.get(letter, 0.0) for s, letter in zip(TABLE.guess.shares, letters, strict=True)])
    zero = np.zeros(len(ITEMS))
    return Outcomes((letters == keys).astype(float), zero, zero, expected)


def guess(rng: np.random.Generator, commonest: bool) -> np.ndarray:
    sizes = np.array([len(i.options) for i in ITEMS])
    letters = np.array(list("ABCDEFGHIJ"))[(rng.random(len(ITEMS)) * sizes).astype(int)]
    return np.where(TABLE.benchmark == 1, "A", letters) if commonest else letters


@pytest.mark.parametrize("commonest", [False, True])
def test_a_guesser_has_no_gap_over_guessing(commonest: bool) -> None:
    """Raw, one who guesses is "better at knowledge" every time; over guessing the interval holds 0 in 95 %."""
    rng = np.random.default_rng(3)
    covered: dict[str, int] = {"none": 0, "chance": 0, "letters": 0}
    runs = 150
    for _ in range(runs):
        outcomes = answered(guess(rng, commonest))
        assert TABLE.guess is not None
        baselines = {"none": None, "chance": TABLE.guess.baseline, "letters": letter_baseline(TABLE, outcomes)}
        for name, baseline in baselines.items():
            sides = hard_sides(TABLE, outcomes)
            pooled = gap_records(TABLE, {}, outcomes.correct, sides, baseline, each=False)[0]
            covered[name] += pooled["ci_low"] <= 0 <= pooled["ci_high"]
    assert covered["none"] == 0
    assert covered["letters"] >= 0.93 * runs
    # One who guesses evenly is below the baseline where keys are uneven: there `letters` is the fair zero.
    assert covered["chance"] >= 0.93 * runs if commonest else covered["chance"] < 0.5 * runs


def test_no_gap_of_a_guesser_is_above_chance() -> None:
    """What a report may say of a guesser: `above_chance` is false in its cell and in each of its gaps."""
    rng = np.random.default_rng(4)
    rows = [
        (name, {"item_id": i.id, "model": name, "setting": "plain", "output": f"The answer is {letter}."})
        for name, letters in (("even", guess(rng, False)), ("commonest", guess(rng, True)))
        for i, letter in zip(ITEMS, letters, strict=True)
    ]
    rows += [
        ("able", {"item_id": i.id, "model": "able", "setting": "plain", "output": f"The answer is {letter}."})
        for i, letter in ((i, i.answer_idx if rng.random() < 0.7 else "A") for i in ITEMS)
    ]
    record = score(TABLE, grade(ITEMS, rows), draws=100)
    whole = {c["model"]: c["above_chance"] for c in record["cells"] if (c["stratum"], c["benchmark"]) == ("all", "all")}
    assert whole == {"even": False, "commonest": False, "able": True}
    assert all(g["above_chance"] == whole[g["model"]] for g in record["gaps"] if g["benchmark"] == "all")


def test_over_guessing_is_linear_in_accuracy() -> None:
    """Within one benchmark the gap over guessing is the raw one over 1 - c, interval included."""
    outcomes = answered(np.array([i.answer_idx if n % 3 else "A" for n, i in enumerate(ITEMS)]))
    sides = hard_sides(TABLE, outcomes)
    assert TABLE.guess is not None
    raw, over = (
        {r["benchmark"]: r for r in gap_records(TABLE, {}, outcomes.correct, sides, c)}
        for c in (None, TABLE.guess.baseline)
    )
    for name, c in (("MedXpertQA", 0.1), ("pubmedqa", 0.552), ("medqa", 0.25)):
        for field in ("estimate", "ci_low", "ci_high"):
            assert over[name][field] == pytest.approx(raw[name][field] / (1 - c))
