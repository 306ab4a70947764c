"""The page on several samples, a second order of options and columns: sentences follow from tests of the records."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from components.platform.tables import write_items, write_rows
from components.questions.askings import OPENED, PLAIN, Asking, askings
from components.questions.items import Item
from components.questions.orders import shown_letter
from components.report.build import asked_for
from components.report.files import read_inputs, write_report
from components.report.limits import Limits
from components.report.scores import Scores
from components.report.sections import positions, samples, slices
from components.report.sections.positions import position_sentences
from components.report.sections.samples import samples_sentences
from components.report.sections.slices import slice_sentences
from components.report.survey import survey
from components.report.terminal import print_scores
from components.scoring.askings.marking import mark
from components.scoring.cells import score
from components.scoring.outcomes import ADVERSARIAL, Outcomes, item_table, outcomes_of
from components.scoring.slices import slice_records, slices_of
from components.stages.compare import CompareConfig, score_files

OPTIONS = {"A": "gout", "B": "scurvy", "C": "rickets", "D": "beriberi"}
SYSTEMS = ("heart", "lung", "skin")
Rate = Callable[[Item], float]
Row = dict[str, Any]


def make_items(n: int) -> list[Item]:
    return [
        Item(f"q{k}", f"Question {k}?", OPTIONS, "ABCD"[k % 4], "medqa", is_reasoning=k % 2 == 0,
             adversarial_trace_0=f"Perhaps the answer is {'BCDA'[k % 4]}.", meta={"system": SYSTEMS[k % 3]})
        for k in range(n)
    ]  # fmt: skip


def rows_of(
    items: list[Item], model: str, rate: Rate, always_a: float = 0.0, settings: tuple[str, ...] = (PLAIN,), k: int = 3
) -> list[Row]:
    """`k` answers in both orders, right at `rate`; at `always_a` the model says A whatever stands there."""
    draw = random.Random(model)
    rows = []
    for asking in askings(items, settings, k, permute=True):
        item, order, prefill = asking.item, asking.order, asking.prefill or None
        letter = item.answer_idx if draw.random() < rate(item) else draw.choice(item.wrong_letters())
        shown = shown_letter(item.options, order, letter) if order else letter
        said = "A" if draw.random() < always_a else shown
        rows.append({"item_id": item.id, "model": model, "setting": asking.setting, "sample": asking.sample,
                     "order": order, "output": f"The answer is {said}.", "prefill": prefill})  # fmt: skip
    return rows


def record(items: list[Item], rows: list[Row], columns: tuple[str, ...] = ()) -> dict[str, Any]:
    marked = mark(items, [(f"row {n}", row) for n, row in enumerate(rows, start=1)])
    graded = outcomes_of(marked, len(items))
    return score(item_table(items), graded, draws=100, marked=marked, slices=slices_of(items, columns, "slices"))


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return make_items(240)


@pytest.fixture(scope="module")
def made(items: list[Item]) -> dict[str, Any]:
    """One model that reads and is weak on skin, and one that says A in a third of its answers."""
    rows = rows_of(items, "reads", lambda i: 0.2 if i.meta["system"] == "skin" else 0.8)
    rows += rows_of(items, "leans", lambda i: 0.6, always_a=0.35, settings=(PLAIN, OPENED[0]))
    return record(items, rows, ("system",))


def test_the_most_frequent_answer_is_called_better_only_beyond_error(made: dict[str, Any]) -> None:
    said = samples_sentences(Scores(made))
    assert any(s.startswith("reads answered each question 3 times: ") for s in said)
    (found,) = (r for r in made["samples"] if (r["model"], r["stratum"]) == ("reads", "all"))
    held = found["majority_gain_low"] > 0
    assert held == any("answer of reads is right more often" in s for s in said)
    assert held != any("answer of reads, right in" in s and "within error" in s for s in said)
    for low, high, words in ((0.01, 0.03, "more often"), (-0.03, -0.01, "more rarely"), (-0.01, 0.03, "within error")):
        told = {**found, "majority_gain_low": low, "majority_gain_high": high}
        assert any(words in s for s in samples_sentences(Scores({**made, "samples": [told]})))


def test_two_samples_have_no_majority_to_speak_of(items: list[Item]) -> None:
    said = samples_sentences(Scores(record(items, rows_of(items, "m", lambda _: 0.5, k=2))))
    assert not any("most frequent" in s for s in said) and any("comes from chance within questions" in s for s in said)


def test_the_gain_of_the_majority_is_a_paired_difference(items: list[Item]) -> None:
    """A coin of 0.8: of three, 0.896 are right by majority, a gain of 0.096; at 0.5 there is none."""
    sure = record(items, rows_of(items, "m", lambda _: 0.8))["samples"][0]
    assert sure["majority_gain"] == pytest.approx(sure["majority"] - sure["mean"])
    assert sure["majority_gain_low"] < 0.096 < sure["majority_gain_high"] and sure["majority_gain_low"] > 0


def test_only_a_place_beyond_error_is_called_preferred(made: dict[str, Any]) -> None:
    said = position_sentences(Scores(made))
    assert any(s.startswith("leans prefers the place A (+") for s in said)
    assert any(s.startswith("reads shows no preference for a place beyond error") for s in said)
    assert "A prefill names a letter" in said[-1], "the model that leans was asked with a prefill"
    (moves,) = (s for s in said if s.startswith("With its options in another order, reads"))
    assert "is not shown to move more" in moves, "only samples differ for a model that reads"
    (moves,) = (s for s in said if s.startswith("With its options in another order, leans"))
    assert "the order moves more than that" in moves


def test_holm_takes_a_lone_small_p_away(made: dict[str, Any]) -> None:
    places = [r for r in made["positions"] if (r["kind"], r["model"]) == ("position", "reads")]
    told = [{**r, "p": 0.02 if n == 0 else 0.9} for n, r in enumerate(places)]
    assert any("no preference" in s for s in position_sentences(Scores({**made, "positions": told})))
    told[0]["p"] = 0.01
    assert any("the place A" in s for s in position_sentences(Scores({**made, "positions": told})))


def test_only_values_beyond_error_are_named(made: dict[str, Any]) -> None:
    reads, leans, last = slice_sentences(Scores(made))
    assert "fewer answers are right on skin" in reads and "more on" in reads and "over 3 values" in reads
    assert leans.startswith("leans: no value of system differs") and "how many options" in last


def test_the_two_differences_of_two_values_are_one(items: list[Item]) -> None:
    two = [i.with_(meta={"half": "one" if n < 120 else "two"}) for n, i in enumerate(items)]
    found = record(two, rows_of(two, "m", lambda i: 0.8 if i.meta["half"] == "one" else 0.4), ("half",))
    one, other = found["slices"]
    assert one["rest"] == pytest.approx(-other["rest"]) and one["rest"] == pytest.approx(
        one["accuracy"] - other["accuracy"]
    )
    assert one["rest_p_holm"] == one["rest_p"] < 1e-6
    assert slice_sentences(Scores(found))[0].startswith("m, half: more answers are right on one (+")
    assert "fewer" not in slice_sentences(Scores(found))[0]


def test_no_difference_is_covered() -> None:
    """Three values alike: the interval of each difference from the others holds zero, and Holm's p calls few out."""
    own = make_items(120)
    table, columns, rng = item_table(own), slices_of(own, ("system",), "slices"), np.random.default_rng(5)
    held, called = [], 0
    for _ in range(300):
        correct = (rng.random(len(own)) < 0.6).astype(float)
        none = np.zeros(len(own))
        found = slice_records(table, {"m": {PLAIN: Outcomes(correct, none, none)}}, columns)
        held += [r["rest_low"] <= 0 <= r["rest_high"] for r in found]
        called += any(r["rest_p_holm"] <= 0.05 for r in found)
    assert np.mean(held) >= 0.93 and called <= 0.08 * 300


def test_an_evaluation_with_all_of_it_makes_a_page_and_a_terminal(items: list[Item], tmp_path: Path) -> None:
    write_items(items, tmp_path / "items.parquet")
    write_rows(rows_of(items, "leans", lambda _: 0.6, 0.35, (PLAIN, OPENED[0])), tmp_path / "a.parquet", {})
    config = CompareConfig(draws=100, slices=("system",))
    told = score_files(tmp_path / "items.parquet", [tmp_path / "a.parquet"], config, tmp_path / "scores.json")
    inputs = read_inputs(tmp_path / "scores.json", items=tmp_path / "items.parquet", answers=[tmp_path / "a.parquet"])
    evidence = write_report("page", inputs, Limits(), tmp_path)
    assert {"samples", "positions", "slices"} <= set(evidence["sections"])
    html, markdown = ((tmp_path / f"report.{kind}").read_text() for kind in ("html", "md"))
    for words in ("Several answers to each question", "Options in another order", "Accuracy by system"):
        assert words in html and words in markdown
    for section in asked_for(inputs.scores):
        assert len(section.figures) == 1 and section.tables
    console = Console(file=io.StringIO(), width=120)
    print_scores(told, console=console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert (
        "Accuracy by column" in shown and "leans prefers the place A" in shown and "answered each question 3" in shown
    )


def test_scores_of_single_answers_leave_the_parts_out(items: list[Item]) -> None:
    plain = record(items, [r for r in rows_of(items, "m", lambda _: 0.5, k=1) if not r["order"]])
    for part in (samples, positions, slices):
        assert part.section(Scores(plain)) is None
        old = {key: value for key, value in plain.items() if key not in ("samples", "positions", "slices")}
        assert part.section(Scores(old)) is None, "scores from before there were any"


def test_letters_and_prefills_are_read_in_the_original_order(items: list[Item]) -> None:
    """A model that says the letter of its prefill keeps it; in another order that letter is another option."""
    rows = []
    for asking in askings(items, (PLAIN, OPENED[0]), permute=True):
        letter = (asking.prefill or "").removeprefix("Perhaps the answer is ")[:1] or asking.shown().answer_idx
        rows.append({"item_id": asking.item.id, "model": "m", "setting": asking.setting, "order": asking.order,
                     "output": f"The answer is {letter}.", "prefill": asking.prefill or None})  # fmt: skip
    seen = survey(items, [("row", row) for row in rows], {"m"})
    assert seen.letters["m"].n == len(items) and seen.letters["m"].picked == seen.letters["m"].keys
    assert seen.prefills["m"].n == len(items) and seen.prefills["m"].shares["kept"].value == 1
    assert sum(seen.rules["m"].values()) == len(rows), "rules are counted for every answer"


def test_withheld_answers_count_as_parts_of_a_question(items: list[Item]) -> None:
    rows = [{"item_id": a.item.id, "model": "m", "setting": PLAIN, "sample": a.sample, "order": a.order, "output": "A",
             "finish_reason": "content_filter" if a.sample == 0 else "stop"}
            for a in askings(items[:4], (PLAIN,), 2, permute=True)]  # fmt: skip
    seen = survey(items, [("row", row) for row in rows], {"m"})
    assert seen.withheld["m", PLAIN, "all"] == 2, "half of the samples of four questions, in the original order"
    assert Asking(items[0], PLAIN).key == ("q0", PLAIN, 0, None)
    rows = [{"item_id": i.id, "model": "m", "setting": s, "sample": n, "output": "A",
             "finish_reason": "content_filter" if (s, n) == (OPENED[0], 0) else "stop"}
            for i in items[:4] for s in OPENED for n in range(2)]  # fmt: skip
    seen = survey(items, [("row", row) for row in rows], {"m"})
    assert seen.withheld["m", OPENED[0], "all"] == 2
    assert seen.withheld["m", ADVERSARIAL, "all"] == pytest.approx(2 / 3), "half the samples of one prefill in three"
