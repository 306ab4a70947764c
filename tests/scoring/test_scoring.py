"""scores.json from items and answers: every figure against a count made by hand or by a plain loop."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from components.errors import InputError
from components.questions.askings import OPENED, SETTINGS
from components.questions.items import Item
from components.scoring.cells import score
from components.scoring.outcomes import ADVERSARIAL, grade, item_table

LETTERS = "ABCD"


def make_item(n: int, benchmark: str = "medqa", reasoning: bool | None = None, **fields: Any) -> Item:
    options = {letter: f"choice {letter} of {n}" for letter in LETTERS[: fields.pop("options", 4)]}
    return Item(f"{benchmark}-{n}", fields.pop("question", f"Question {benchmark} {n}?"), options, "A", benchmark,
                is_reasoning=reasoning, **fields)  # fmt: skip


def row(item: Item, right: bool | None, model: str = "m", setting: str = "plain", **fields: Any) -> dict[str, Any]:
    """An answer that is right, wrong, or (None) no answer."""
    text = "I cannot tell." if right is None else f"The answer is {'A' if right else 'B'}."
    return {"item_id": item.id, "model": model, "setting": setting, "output": text, **fields}


def scores(items: list[Item], rows: list[dict[str, Any]], draws: int = 300) -> dict[str, Any]:
    graded = grade(items, [(f"answers: row {n}", r) for n, r in enumerate(rows, start=1)])
    record = score(item_table(items), graded, draws=draws)
    return json.loads(json.dumps(record, allow_nan=False))


def cell(record: dict[str, Any], **key: Any) -> dict[str, Any]:
    key = {"model": "m", "setting": "plain", "stratum": "all", "benchmark": "all", **key}
    found = [c for c in record["cells"] if all(c[k] == v for k, v in key.items())]
    assert len(found) == 1, (key, found)
    return found[0]


def gap(record: dict[str, Any], **key: Any) -> dict[str, Any]:
    key = {"setting": "plain", "benchmark": "all", "weighting": "hard", "adjustment": "none", **key}
    (found,) = (g for g in record["gaps"] if all(g[k] == v for k, v in key.items()))
    return dict(found)


def test_a_cell_counts_what_happened() -> None:
    """Ten items: four right, three wrong, two silent (one of them cut off), one not asked."""
    items = [make_item(n, options=4 if n < 5 else 2) for n in range(10)]
    verdicts = [True] * 4 + [False] * 3 + [None] * 2
    rows = [row(i, v, finish_reason="stop") for i, v in zip(items, verdicts, strict=False)]
    rows[8]["finish_reason"] = "length"
    found = cell(scores(items, rows))
    assert (found["n"], found["groups"], found["not_asked"], found["correct"]) == (9, 9, 1, 4)
    assert (found["no_answer"], found["truncated"]) == (2, 1)
    assert found["accuracy"] == pytest.approx(4 / 9)
    assert found["accuracy_answered"] == pytest.approx(4 / 7)
    assert found["chance"] == pytest.approx((5 * 0.25 + 4 * 0.5) / 9)
    assert found["ci_low"] < 4 / 9 < found["ci_high"] and found["ci_method"] == "wilson"


def test_empty_output_is_wrong_and_in_the_denominator() -> None:
    items = [make_item(n) for n in range(4)]
    rows = [row(items[0], True), *({**row(i, None), "output": ""} for i in items[1:])]
    found = cell(scores(items, rows))
    assert (found["n"], found["accuracy"], found["no_answer"], found["accuracy_answered"]) == (4, 0.25, 3, 1.0)
    assert found["truncated"] is None


def test_all_silent_has_no_accuracy_among_answered() -> None:
    items = [make_item(n) for n in range(3)]
    found = cell(scores(items, [row(i, None) for i in items]))
    assert found["accuracy"] == 0 and found["accuracy_answered"] is None


def test_micro_is_pooled_and_macro_is_the_mean_of_benchmarks() -> None:
    items = [make_item(n, "medqa") for n in range(30)] + [make_item(n, "NEJM") for n in range(10)]
    rows = [row(i, n < 24) for n, i in enumerate(items[:30])] + [row(i, n < 3) for n, i in enumerate(items[30:])]
    record = scores(items, rows)
    assert cell(record)["accuracy"] == pytest.approx(27 / 40)
    macro = cell(record, benchmark="macro")
    assert macro["accuracy"] == pytest.approx((24 / 30 + 3 / 10) / 2)
    assert macro["n"] == 40 and macro["correct"] == 27
    assert {c["benchmark"] for c in record["cells"]} == {"all", "macro", "medqa", "NEJM"}


def test_copies_are_one_group_across_benchmarks() -> None:
    """The same stem in two benchmarks, and five copies in a third."""
    op4 = [make_item(n, "medbullets_op4", question=f"Stem {n}") for n in range(6)]
    op5 = [make_item(n, "medbullets_op5", question=f"Stem {n}") for n in range(6)]
    gpqa = [make_item(n, "GPQA_Medical_test", question=f"Other {n // 5}") for n in range(30)]
    items = [*op4, *op5, *gpqa]
    record = scores(items, [row(i, n % 3 == 0) for n, i in enumerate(items)])
    assert cell(record)["groups"] == 12
    assert cell(record, benchmark="medbullets_op5")["ci_method"] == "wilson"
    copies = cell(record, benchmark="GPQA_Medical_test")
    assert (copies["n"], copies["groups"], copies["ci_method"]) == (30, 6, "group_robust")


def test_group_ids_that_items_carry_are_used() -> None:
    items = [make_item(n, group_id="one" if n < 5 else f"g{n}") for n in range(10)]
    assert cell(scores(items, [row(i, True) for i in items]))["groups"] == 6


def test_adversarial_is_the_mean_of_three_per_item() -> None:
    items = [make_item(n) for n in range(4)]
    rows = [row(i, True) for i in items]
    for k, setting in enumerate(OPENED):
        rows += [row(i, n > k, setting=setting) for n, i in enumerate(items)]
    record = scores(items, rows)
    opened = cell(record, setting=ADVERSARIAL)
    assert opened["accuracy"] == pytest.approx((0 + 1 / 3 + 2 / 3 + 1) / 4)
    assert opened["correct"] == pytest.approx(2.0)
    assert [cell(record, setting=s)["correct"] for s in SETTINGS] == [4, 3, 2, 1]
    (drop,) = (d for d in record["adversarial_drops"] if d["benchmark"] == "all")
    assert drop["estimate"] == pytest.approx(1 - 0.5) and drop["stratum"] == "all"


def test_an_item_without_one_opening_is_not_asked_in_adversarial() -> None:
    items = [make_item(n) for n in range(4)]
    rows = [row(i, True, setting=s) for s in SETTINGS for i in items]
    record = scores(items, rows[:-1])
    assert (cell(record, setting=ADVERSARIAL)["n"], cell(record, setting=ADVERSARIAL)["not_asked"]) == (3, 1)
    assert not any(c["setting"] == ADVERSARIAL for c in scores(items, rows[:8])["cells"])


def test_no_strata_no_strata_cells_and_no_gaps() -> None:
    items = [make_item(n) for n in range(4)]
    record = scores(items, [row(i, True) for i in items])
    assert {c["stratum"] for c in record["cells"]} == {"all"}
    assert record["gaps"] == record["threshold_sensitivity"] == []


def _two_benchmarks() -> tuple[list[Item], list[dict[str, Any]], np.ndarray]:
    """An easy benchmark of knowledge and a hard one of reasoning; no gap inside either (Simpson's paradox)."""
    items, right = [], []
    for benchmark, knowledge, reasoning, accuracy in (("easy", 80, 20, 0.8), ("hard", 20, 80, 0.2)):
        for stratum, count in ((False, knowledge), (True, reasoning)):
            items += [make_item(len(items) + n, benchmark, stratum, reasoning_prob=0.9 if stratum else 0.1)
                      for n in range(count)]  # fmt: skip
            right += [n < accuracy * count for n in range(count)]
    return items, [row(i, bool(r)) for i, r in zip(items, right, strict=True)], np.array(right)


def test_gap_pooled_within_and_macro() -> None:
    items, rows, _ = _two_benchmarks()
    record = scores(items, rows, draws=2000)
    pooled, within, macro = (gap(record, kind=k, benchmark="all") for k in ("pooled", "within_benchmark", "macro"))
    assert pooled["estimate"] == pytest.approx((64 + 4) / 100 - (16 + 16) / 100)
    assert within["estimate"] == pytest.approx(0) and macro["estimate"] == pytest.approx(0)
    assert pooled["ci_low"] > 0.2 and within["ci_low"] < 0 < within["ci_high"]
    assert gap(record, kind="within_benchmark", benchmark="easy")["estimate"] == pytest.approx(0)


def test_slope_gap_is_the_regressions() -> None:
    items, rows, right = _two_benchmarks()
    prob = np.array([i.reasoning_prob for i in items])
    hard = np.array([i.dataset_name == "hard" for i in items])
    record = scores(items, rows)
    pooled, within = (gap(record, kind=k, weighting="slope") for k in ("pooled", "within_benchmark"))
    assert pooled["estimate"] == pytest.approx(-np.polyfit(prob, right, 1)[0])
    design = np.column_stack([prob, hard, ~hard]).astype(float)
    assert within["estimate"] == pytest.approx(-np.linalg.lstsq(design, right, rcond=None)[0][0], abs=1e-9)
    raw = gap(record, kind="pooled")
    assert raw["attenuation"] == pytest.approx(0.8) and raw["bound_low"] < raw["estimate"] < raw["bound_high"]
    matrix = gap(record, kind="pooled", weighting="matrix")
    assert matrix["estimate"] == pytest.approx(raw["estimate"] / 0.8)


def test_experts_and_classifier_side_by_side() -> None:
    """On items with an expert's label: both gaps and their difference, by hand; none where no expert was asked."""
    items = [
        make_item(n, "MedXpertQA", n % 3 == 0, reasoning_prob=0.8 if n % 3 == 0 else 0.3,
                  question_type="Reasoning" if n % 2 else "Understanding")
        for n in range(120)
    ] + [make_item(n, "medqa", n % 3 == 0, reasoning_prob=0.8 if n % 3 == 0 else 0.3) for n in range(60)]  # fmt: skip
    right = np.random.default_rng(5).random(180) < 0.6
    record = scores(items, [row(i, bool(r)) for i, r in zip(items, right, strict=True)])
    n = np.arange(120)
    own = right[:120]
    hard, experts = (own[~side].mean() - own[side].mean() for side in (n % 3 == 0, n % 2 == 1))
    place = {"kind": "within_benchmark", "benchmark": "MedXpertQA"}
    assert gap(record, **place)["estimate"] == pytest.approx(hard)
    assert gap(record, weighting="expert", **place)["estimate"] == pytest.approx(experts)
    difference = gap(record, weighting="hard_minus_expert", **place)
    assert difference["estimate"] == pytest.approx(hard - experts)
    draws = np.random.default_rng(6).integers(0, 120, (4000, 120))
    resampled = [
        np.subtract(*(own[d][~s[d]].mean() - own[d][s[d]].mean() for s in (n % 3 == 0, n % 2 == 1))) for d in draws
    ]
    assert difference["ci_high"] - difference["ci_low"] == pytest.approx(3.96 * np.std(resampled), rel=0.08)
    assert not any(g["weighting"] == "expert" and g["benchmark"] == "medqa" for g in record["gaps"])


def test_kitagawas_parts_add_up_to_the_pooled_gap() -> None:
    items, rows, _ = _two_benchmarks()
    record = scores(items, rows)
    within, between = (gap(record, kind=f"kitagawa_{part}") for part in ("within", "between"))
    assert within["estimate"] == pytest.approx(0) and between["estimate"] == pytest.approx(0.36)
    assert between["ci_low"] > 0.2 and within["ci_low"] < 0 < within["ci_high"]


def test_models_side_by_side_are_adjusted_for_their_number() -> None:
    items, rows, _ = _two_benchmarks()
    record = scores(items, [{**r, "model": m} for m in ("one", "two", "three") for r in rows])
    pooled = [g for g in record["gaps"] if (g["weighting"], g["adjustment"], g["kind"]) == ("slope", "none", "pooled")]
    assert len(pooled) == 3 and all(g["p_holm"] == pytest.approx(3 * g["p"]) for g in pooled)
    assert all(s["p_holm"] >= s["p"] for s in record["threshold_sensitivity"])


def test_a_question_and_its_copies_weigh_as_one() -> None:
    """GPQA's five copies: the accuracy is that of the questions, `n` and `correct` count rows."""
    items = [make_item(n, "GPQA_Medical_test", question=f"Stem {n // 5 if n < 50 else n}") for n in range(60)]
    found = cell(scores(items, [row(i, n < 50) for n, i in enumerate(items)]))
    assert (found["n"], found["groups"], found["correct"]) == (60, 20, 50)
    assert found["accuracy"] == pytest.approx(0.5)


def test_macro_needs_two_questions_in_every_benchmark() -> None:
    items = [make_item(n, "medqa") for n in range(30)] + [make_item(0, "NEJM")]
    rows = [row(i, n % 2 == 0) for n, i in enumerate(items)]
    macro = cell(scores(items, rows), benchmark="macro")
    assert macro["accuracy"] == pytest.approx(0.75) and macro["ci_low"] is None and macro["above_chance"] is None


def test_threshold_sensitivity() -> None:
    items = [make_item(n, reasoning=n >= 50, reasoning_prob=n / 100) for n in range(100)]
    record = scores(items, [row(i, n < 30) for n, i in enumerate(items)])
    found = {s["threshold"]: s for s in record["threshold_sensitivity"] if s["kind"] == "pooled"}
    assert found[0.3]["estimate"] == pytest.approx(1.0) and found[0.3]["reasoning_share"] == pytest.approx(0.7)
    assert found[0.5]["estimate"] == pytest.approx(30 / 50)
    assert gap(record, kind="pooled", benchmark="all")["estimate"] == pytest.approx(found[0.5]["estimate"])


def test_gap_interval_matches_a_plain_group_bootstrap() -> None:
    rng = np.random.default_rng(1)
    items = [make_item(n, "x" if n % 3 else "y", bool(n % 2), question=f"q{n // 2}") for n in range(160)]
    right = rng.random(160) < 0.55
    record = scores(items, [row(i, bool(r)) for i, r in zip(items, right, strict=True)], draws=5000)
    group, reasoning = np.arange(160) // 2, np.array([bool(n % 2) for n in range(160)])
    series = []
    for _ in range(5000):
        weight = np.bincount(rng.integers(0, 80, 80), minlength=80)[group]
        series.append(np.average(right, weights=weight * ~reasoning) - np.average(right, weights=weight * reasoning))
    found = gap(record, kind="pooled", benchmark="all")
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(np.quantile(series, [0.025, 0.975]), abs=0.02)


def test_drop_is_paired() -> None:
    """Equal answers in both settings have a drop of zero, however accurate; how sure that is depends on how many."""
    items = [make_item(n, reasoning=bool(n % 2)) for n in range(60)]
    rows = [row(i, n % 3 == 0, setting=s) for s in SETTINGS for n, i in enumerate(items)]
    drops = scores(items, rows)["adversarial_drops"]
    assert {d["stratum"] for d in drops} == {"all", "knowledge", "reasoning"}
    assert all(d["estimate"] == 0 and d["p"] == 1 for d in drops)
    (whole,) = (d for d in drops if (d["stratum"], d["benchmark"]) == ("all", "all"))
    z = 1.96**2
    assert (whole["ci_low"], whole["ci_high"]) == pytest.approx((-z / (60 + z), z / (60 + z)), abs=1e-4)


def test_seeded() -> None:
    items, rows, _ = _two_benchmarks()
    assert scores(items, rows) == scores(items, rows)


def test_order_of_answers_does_not_matter() -> None:
    items, rows, _ = _two_benchmarks()
    assert scores(items, rows) == scores(items, rows[::-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item_id": "nobody"}, "row 2: item_id: 'nobody' is not an item"),
        ({"item_id": "medqa-0"}, "row 2: item_id: a second answer"),
        ({"setting": "adversarial"}, "row 2: setting: 'adversarial' is not one of plain, adversarial_0"),
        ({"output": None}, "row 2: output"),
        ({"model": ""}, "row 2: model: missing"),
    ],
)
def test_bad_answers_name_the_row(change: dict[str, Any], message: str) -> None:
    items = [make_item(n) for n in range(3)]
    with pytest.raises(InputError, match=message):
        scores(items, [row(items[0], True), {**row(items[1], True), **change}])


def test_no_answers_at_all() -> None:
    with pytest.raises(InputError, match="evaluate a model first"):
        scores([make_item(1)], [])


def test_one_item_has_no_bootstrap_interval_but_a_cell() -> None:
    record = scores([make_item(1, reasoning=True)], [row(make_item(1), True)])
    found = cell(record)
    assert found["accuracy"] == 1 and 0 < found["ci_low"] < 1 and math.isclose(found["ci_high"], 1)
    assert record["gaps"] == []
