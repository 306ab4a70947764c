"""Several answers to a question: pass@k, the majority and the spread against plain counts; intervals against truth."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import InputError
from components.questions.askings import OPENED
from components.questions.items import Item
from components.scoring.askings.marking import Marked, mark
from components.scoring.askings.samples import majority, pass_at
from components.scoring.cells import score
from components.scoring.gate.decide import decide
from components.scoring.gate.rules import Rules
from components.scoring.intervals import accuracy_interval, wilson
from components.scoring.outcomes import item_table, outcomes_of

OPTIONS = {"A": "gout", "B": "scurvy", "C": "rickets", "D": "beriberi"}


def make_items(n: int, copies: int = 1) -> list[Item]:
    return [Item(f"q{k}", f"Question {k // copies}?", OPTIONS, "A", "medqa", is_reasoning=k % 2 == 0) for k in range(n)]


def make_row(item: Item, letter: str | None, sample: int | None, setting: str = "plain", **more: Any) -> dict[str, Any]:
    text = f"The answer is {letter}." if letter else "I cannot tell."
    row = {"item_id": item.id, "model": "m", "setting": setting, "output": text, **more}
    return row if sample is None else {**row, "sample": sample}


def marks(items: list[Item], rows: list[dict[str, Any]]) -> Marked:
    return mark(items, [(f"answers: row {n}", row) for n, row in enumerate(rows, start=1)])


def scores(items: list[Item], rows: list[dict[str, Any]]) -> dict[str, Any]:
    marked = marks(items, rows)
    found = score(item_table(items), outcomes_of(marked, len(items)), draws=100, marked=marked)
    return json.loads(json.dumps(found, allow_nan=False))


@given(
    st.integers(1, 7).flatmap(lambda n: st.tuples(st.lists(st.booleans(), min_size=n, max_size=n), st.integers(1, n)))
)
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(case: tuple[list[bool], int]) -> None:
    right, k = case
    chosen = list(itertools.combinations(right, k))
    (found,) = pass_at(np.array([float(sum(right))]), len(right), k)
    assert found == pytest.approx(sum(any(draw) for draw in chosen) / len(chosen))


def test_pass_at_k_is_unbiased() -> None:
    """From ten samples, the chance of one right among three."""
    rng = np.random.default_rng(3)
    for rate in (0.05, 0.3, 0.8):
        found = pass_at(rng.binomial(10, rate, 40_000).astype(float), 10, 3).mean()
        assert found == pytest.approx(1 - (1 - rate) ** 3, abs=0.006)
    with pytest.raises(ValueError, match="pass@4"):
        pass_at(np.array([1.0]), 3, 4)


@given(st.lists(st.lists(st.integers(-1, 3), min_size=3, max_size=3), min_size=1, max_size=20))
def test_majority_is_the_one_most_frequent_choice(letters: list[list[int]]) -> None:
    found = majority(np.array(letters))
    for own, chosen in zip(letters, found, strict=True):
        votes = sorted((own.count(x), x) for x in set(own) if x >= 0)
        alone = votes and (len(votes) == 1 or votes[-1][0] > votes[-2][0])
        assert chosen == (votes[-1][1] if alone else -1)


def test_a_record_counts_what_was_drawn() -> None:
    """Four questions, three samples: by hand."""
    items = make_items(4)
    drawn = ["AAB", "ABC", "BBA", "A--"]  # right; tie; wrong; right, with two answers that name nothing
    rows = [
        make_row(i, x if x != "-" else None, s) for i, own in zip(items, drawn, strict=True) for s, x in enumerate(own)
    ]
    record = scores(items, rows)
    (found,) = (r for r in record["samples"] if r["stratum"] == "all")
    assert (found["model"], found["setting"], found["n"], found["k"], found["incomplete"]) == ("m", "plain", 4, 3, 0)
    assert found["mean"] == pytest.approx((2 + 1 + 1 + 1) / 12)
    assert found["pass_at_k"] == 1 and found["pass_at"] == pytest.approx([5 / 12, (1 + 2 / 3 * 3) / 4, 1])
    assert (found["majority"], found["majority_undecided"]) == (0.5, 0.25)
    assert (found["spread_low"], found["spread_high"]) == pytest.approx((0.25, 0.75))
    (cell,) = (c for c in record["cells"] if (c["stratum"], c["benchmark"]) == ("all", "all"))
    assert cell["accuracy"] == pytest.approx(found["mean"]) and cell["n"] == 4
    assert cell["no_answer"] == pytest.approx(2 / 3, abs=1e-4)
    assert (cell["ci_low"], cell["ci_high"]) == pytest.approx((found["mean_low"], found["mean_high"]))
    assert {r["stratum"] for r in record["samples"]} == {"all", "knowledge", "reasoning"}


@pytest.mark.parametrize(("copies", "se"), [(1, 1 / 12), (2, 1 / 12)])
def test_the_standard_error_and_the_part_of_it_that_samples_make(copies: int, se: float) -> None:
    """Rates of 2/3, 1/3, 1/3, 1/3: questions of their own, or two questions of two copies, whose rates are 1/2, 1/3."""
    items = make_items(4, copies)
    rows = [make_row(i, x, s) for i, own in zip(items, ("AAB", "ABC", "BBA", "ACC"), strict=True)
            for s, x in enumerate(own)]  # fmt: skip
    (found,) = (r for r in scores(items, rows)["samples"] if r["stratum"] == "all")
    assert found["groups"] == 4 // copies and found["se"] == pytest.approx(se)
    # Every question's samples have the variance 1/3; a mean of three 1/9, that of four means 1/36.
    assert found["se_samples"] == pytest.approx(1 / 6)


def test_adversarial_is_the_mean_of_three_sample_by_sample() -> None:
    items = make_items(2)
    right = {OPENED[0]: ("AA", "AB"), OPENED[1]: ("AB", "BB"), OPENED[2]: ("BB", "AB")}
    rows = [
        make_row(i, x, s, setting)
        for setting, drawn in right.items()
        for i, own in zip(items, drawn, strict=True)
        for s, x in enumerate(own)
    ]
    found = {r["setting"]: r for r in scores(items, rows)["samples"] if r["stratum"] == "all"}
    assert set(found) == {*OPENED, "adversarial"}
    opened = found["adversarial"]
    assert opened["mean"] == pytest.approx(5 / 12)
    assert (opened["spread_low"], opened["spread_high"]) == pytest.approx((1 / 6, 4 / 6))
    assert opened["pass_at_k"] == pytest.approx(np.mean([found[s]["pass_at_k"] for s in OPENED]))


def test_one_answer_is_no_sample_and_an_old_file_has_one() -> None:
    items = make_items(3)
    for sample in (None, 0):
        record = scores(items, [make_row(i, "A", sample) for i in items])
        assert record["samples"] == record["positions"] == record["slices"] == []
    old = [make_row(items[0], "A", None), {**make_row(items[0], "A", None), "sample": float("nan")}]
    with pytest.raises(InputError, match="second answer of 'm' to 'q0'"):
        scores(items, old)
    twice = [make_row(items[0], "A", 1), make_row(items[0], "B", 1)]
    with pytest.raises(InputError, match=r"q0' \(plain, sample 1\)"):
        scores(items, twice)


@pytest.mark.parametrize("sample", [-1, 0.5, "one", True])
def test_a_sample_is_a_number_from_zero(sample: Any) -> None:
    items = make_items(1)
    with pytest.raises(InputError, match="row 1: sample"):
        scores(items, [{**make_row(items[0], "A", None), "sample": sample}])


def test_an_item_that_lacks_a_sample_is_counted_out() -> None:
    items = make_items(3)
    rows = [make_row(i, "A", s) for i in items for s in range(2)][:-1]
    (found,) = (r for r in scores(items, rows)["samples"] if r["stratum"] == "all")
    assert (found["n"], found["incomplete"]) == (2, 1)


def _coverage(n: int, k: int, shape: tuple[float, float], copies: int, runs: int) -> tuple[float, float]:
    """How often two intervals hold the true mean rate: that of item means by group, and Wilson's on all answers."""
    rng = np.random.default_rng(1000 * n + 10 * k + copies)
    truth = shape[0] / sum(shape)
    groups = np.repeat(np.arange(n // copies), copies)
    z = 1.959964
    hits = np.zeros(2)
    for _ in range(runs):
        rates = rng.beta(*shape, n // copies)[groups]
        right = rng.binomial(k, rates)
        found = accuracy_interval(right / k, groups)
        assert found is not None
        low, high = wilson(right.sum(), n * k, z)
        hits += (found.low <= truth <= found.high, low <= truth <= high)
    return tuple(hits / runs)  # type: ignore[return-value]


@pytest.mark.parametrize(("n", "copies"), [(5, 1), (40, 1), (300, 1), (15, 5), (40, 5), (100, 5), (300, 5)])
@pytest.mark.parametrize(
    "shape", [(0.3, 0.2), (2.0, 1.0), (0.5, 4.0), (0.2, 4.0)], ids=["split", "middling", "hard", "nearly hopeless"]
)
@pytest.mark.parametrize("k", [2, 4, 16])
def test_the_interval_of_item_means_covers_both_levels(n: int, k: int, shape: tuple[float, float], copies: int) -> None:
    """Questions drawn by their true rates, samples within them: 95 % intervals hold the truth 93 % of the time.

    Three groups are the fewest. The group-robust error alone held it 86 % of the time with eight groups of questions
    that are hardly ever answered right, and all answers taken for independent ones hold it far less.
    """
    ours, naive = _coverage(n, k, shape, copies, runs=1000)
    assert ours >= 0.93
    if k == 16 and n >= 40 and shape != (0.2, 4.0):
        assert naive < 0.75


def test_the_gate_decides_on_item_means() -> None:
    """A candidate with higher true rates on reasoning is promoted, one with the same rates is not; two samples."""
    rng = np.random.default_rng(11)
    items = [Item(f"q{k}", f"Question {k}?", OPTIONS, "A", "medqa", is_reasoning=k % 2 == 0) for k in range(1200)]
    base = rng.beta(1.0, 1.0, len(items))
    better = np.where(np.arange(len(items)) % 2 == 0, np.minimum(base + 0.15, 1.0), base)
    rows = [
        make_row(i, "A" if right else "B", s, setting, model=name)
        for name, rates in (("base", base), ("better", better), ("same", base))
        for setting in ("plain", *OPENED)
        for i, rate in zip(items, rates, strict=True)
        for s, right in enumerate(rng.random(2) < rate)
    ]  # fmt: skip
    sides = outcomes_of(marks(items, rows), len(items))
    assert set(np.unique(sides["base"]["plain"].correct)) == {0, 0.5, 1}
    table = item_table(items)
    better_found, same_found = (
        decide(table, sides, "base", name, Rules(look=1, margin=0.1)) for name in ("better", "same")
    )
    assert better_found["decision"] == "promote"
    assert "reasoning_superior" in [r["rule"] for r in same_found["reasons"] if not r["passed"]]
