"""Answers in two orders: position bias is zero for who reads and large for who does not; moves against plain counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.errors import InputError
from components.questions.items import Item
from components.questions.orders import other_order, reordered_options, shown_letter
from components.scoring.askings.marking import mark
from components.scoring.cells import score
from components.scoring.outcomes import item_table, outcomes_of

TEXTS = ("gout", "scurvy", "rickets", "beriberi")
OPTIONS = dict(zip("ABCD", TEXTS, strict=True))
Chooser = Callable[[Item, dict[str, str], np.random.Generator], str]  # from the options as shown, the letter it says


def make_items(n: int, keys: str = "ABCD") -> list[Item]:
    return [Item(f"q{k}", f"Question {k}?", OPTIONS, keys[k % len(keys)], "medqa") for k in range(n)]


def rows_of(items: list[Item], choose: Chooser, samples: int = 1, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    rows = []
    for item in items:
        for order in (None, other_order(item, 0)):
            shown = reordered_options(item.options, order) if order else item.options
            for sample in range(samples):
                text = f"The answer is {choose(item, shown, rng)}."
                rows.append({"item_id": item.id, "model": "m", "setting": "plain", "output": text,
                             "sample": sample, "order": order})  # fmt: skip
    return rows


def scores(items: list[Item], rows: list[dict[str, Any]]) -> dict[str, Any]:
    marked = mark(items, [(f"answers: row {n}", row) for n, row in enumerate(rows, start=1)])
    found = score(item_table(items), outcomes_of(marked, len(items)), draws=100, marked=marked)
    return json.loads(json.dumps(found, allow_nan=False))


def places(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {r["position"]: r for r in record["positions"] if r["kind"] == "position"}


def moved(record: dict[str, Any]) -> dict[str, Any]:
    (found,) = (r for r in record["positions"] if r["kind"] == "moved" and r["stratum"] == "all")
    return dict(found)


def reader(item: Item, shown: dict[str, str], rng: np.random.Generator) -> str:
    """Chooses by text alone: the right one often, else the favourite word; whatever its place."""
    text = item.options[item.answer_idx] if rng.random() < 0.6 else TEXTS[rng.choice(4, p=(0.6, 0.2, 0.1, 0.1))]
    return next(letter for letter, own in shown.items() if own == text)


def test_who_chooses_by_text_has_no_bias_whatever_the_keys() -> None:
    """The keys all stand at A, where the favourite stands too: a raw share would call that a bias."""
    record = scores(made := make_items(1500, keys="A"), rows_of(made, reader))
    found = places(record)
    assert found["A"]["original"] > 0.8 and found["A"]["permuted"] < 0.1 and found["A"]["keys_original"] == 1
    assert all(abs(r["bias"]) < 0.03 and r["bias_low"] <= 0 <= r["bias_high"] for r in found.values())
    assert sum(r["bias"] for r in found.values()) == pytest.approx(0, abs=1e-9)


def test_the_interval_of_no_bias_covers_it() -> None:
    made = make_items(120, "AABD")
    found = [places(scores(made, rows_of(made, reader, seed=seed))) for seed in range(60)]
    hits = [r["bias_low"] <= 0 <= r["bias_high"] for own in found for r in own.values()]
    assert np.mean(hits) >= 0.93


def test_who_always_says_a_is_all_bias() -> None:
    record = scores(made := make_items(200), rows_of(made, lambda *_: "A"))
    found, move = places(record), moved(record)
    assert found["A"]["original"] == found["A"]["permuted"] == found["A"]["bias"] == 1
    assert found["A"]["bias_low"] > 0.95 and found["B"]["bias"] == pytest.approx(-1 / 3, abs=0.1)
    assert move["moved"] == move["same_place"] == 1 and move["moved_low"] > 0.95
    assert record["cells"][0]["accuracy"] == 0.25, "only the original order counts"


def test_a_half_bias_is_measured() -> None:
    """Six in ten answers are A unread, the others right: the bias at A is 0.6 x (1 - share of texts chosen there)."""
    record = scores(made := make_items(2000), rows_of(made, lambda i, shown, rng: "A" if rng.random() < 0.6 else
                    next(x for x, t in shown.items() if t == i.options[i.answer_idx])))  # fmt: skip
    found = places(record)["A"]
    assert found["original"] == pytest.approx(0.6 + 0.4 / 4, abs=0.04)
    # What the other order's A texts and right texts explain: of 0.6 unread ones none at A, of 0.4 a quarter.
    assert found["bias"] == pytest.approx(0.6, abs=0.04) and found["bias_low"] > 0.5


def test_moves_are_counted() -> None:
    """Four questions: stays right; right to wrong with the letter kept; wrong to right; one that does not answer."""
    items = make_items(4, keys="B")
    order = "BADC"
    said = [("B", "A"), ("B", "B"), ("C", "A"), ("D", None)]
    rows = [
        {"item_id": i.id, "model": "m", "setting": "plain", "order": o,
         "output": f"The answer is {x}." if x else "I cannot tell."}
        for i, pair in zip(items, said, strict=True) for o, x in zip((None, order), pair, strict=True)
    ]  # fmt: skip
    found = moved(scores(items, rows))
    assert (found["n"], found["unanswered"]) == (3, 0.25)
    assert [found[k] for k in ("moved", "to_wrong", "to_right", "same_place")] == pytest.approx([2 / 3, *[1 / 3] * 3])
    assert 0 <= found["moved_low"] < 2 / 3 < found["moved_high"] <= 1
    assert found["by_chance"] is None


def test_chance_moves_answers_too() -> None:
    """With several samples the moves that mere sampling makes are set beside; a reader moves no more than that."""
    record = scores(made := make_items(600), rows_of(made, reader, samples=4))
    found = moved(record)
    assert found["moved"] == pytest.approx(found["by_chance"], abs=0.04) and found["moved"] > 0.3
    assert found["beyond_chance_low"] < 0 < found["beyond_chance_high"]
    biased = moved(scores(made, rows_of(made, lambda *_: "A", samples=4)))
    assert (biased["by_chance"], biased["beyond_chance"]) == (0, 1)


def test_rows_in_another_order_are_read_in_it() -> None:
    items = make_items(1)
    for order, letter in (("CADB", "B"), ("BCDA", "D"), ("ABCD", "A"), (None, "A")):
        row = {"item_id": "q0", "model": "m", "setting": "plain", "order": order, "output": f"The answer is {letter}."}
        marks = mark(items, [("row 1", row)])["m"]["plain"]
        assert marks.correct.tolist() == [1] and marks.letter.tolist() == [0]
        assert order is None or shown_letter(OPTIONS, order, "A") == letter
        # Only one order was asked: it counts.
        assert outcomes_of({"m": {"plain": marks}}, 1)["m"]["plain"].correct.tolist() == [1]


@pytest.mark.parametrize("order", ["ABC", "ABCC", "ABCE", 3])
def test_an_order_of_other_options_is_refused(order: Any) -> None:
    row = {"item_id": "q0", "model": "m", "setting": "plain", "order": order, "output": "A"}
    with pytest.raises(InputError, match="row 1: order"):
        mark(make_items(1), [("row 1", row)])
