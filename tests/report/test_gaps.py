"""What is said of a gap: a better kind only beyond error, above guessing, and with what the classifier's errors do."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from report_records import cell, changed, gap, scores

from components.platform.tables import write_items, write_rows
from components.questions.items import Item
from components.report.files import read_inputs, write_report
from components.report.limits import Limits
from components.report.score_files import write_scores
from components.report.scores import Scores
from components.report.sections import accuracy, experts
from components.report.sections.gaps import (
    attenuation_sentences,
    estimands_table,
    gap_sentence,
    gap_sentences,
    sensitivity_table,
)

ABOVE, BELOW, AROUND = gap(0.15, 0.08, 0.22), gap(-0.1, -0.2, -0.02), gap(0.01, -0.05, 0.07)
KINDS = ("pooled", "within_benchmark", "macro")


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


@pytest.mark.parametrize(
    "pooled, within, expected",
    [
        (ABOVE, AROUND, "Benchmarks that hold more reasoning questions may be harder"),
        (ABOVE, gap(0.12, 0.02, 0.2), "m answers knowledge questions better, as called: pooled"),
        (gap(-0.15, -0.22, -0.08), BELOW, "m answers reasoning questions better, as called: pooled"),
        (gap(0.02, -0.1, 0.12), gap(-0.03, -0.1, 0.08), "no gap as called exceeds its error: pooled"),
        (ABOVE, BELOW, "Knowledge questions are answered better: pooled +15.0"),
        (ABOVE, BELOW, "Reasoning questions are answered better: within benchmarks"),
        (gap(0.03, -0.02, 0.08), ABOVE, "Knowledge questions are answered better: within benchmarks +15.0"),
        (gap(0.02, -0.1, 0.12), gap(0.03, -0.1, 0.18), "no gap as called exceeds its error: pooled"),
        (gap(0.02, 0.0, 0.12), ABOVE, "Within error: pooled +2.0"),
    ],
)
def test_gap_sentence_tells_what_exceeds_its_error_and_what_does_not(pooled: Any, within: Any, expected: str) -> None:
    said = plain(gap_sentence("m", {"pooled": pooled, "within benchmarks": within}))
    assert expected in said and "agree" not in said


def made(*gaps: dict[str, Any], **changes: Any) -> Scores:
    return scores([cell(accuracy=0.5, **changes)], gaps)


def kinds(record: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    return [changed(record, kind=kind, **changes) for kind in KINDS]


def test_a_gap_that_holm_takes_away_is_within_error() -> None:
    gaps = kinds(changed(ABOVE, p_holm=0.1))
    assert "no gap as called exceeds its error" in gap_sentences(made(*gaps))[0]
    assert "no difference between the two that exceeds" in accuracy.strata_sentences(made(*gaps))[0]


def test_of_a_model_that_guesses_nothing_is_called_better() -> None:
    guesser = made(*kinds(ABOVE), ci_low=0.2, ci_high=0.3)
    [said] = gap_sentences(guesser)
    assert said.startswith("m is not above guessing, so its gaps say nothing")
    told = " ".join(accuracy.strata_sentences(guesser))
    assert "better" not in told and "cannot be told apart from guessing" in told and "nothing about skill" in told
    below = " ".join(accuracy.strata_sentences(made(*kinds(ABOVE), ci_low=0.1, ci_high=0.2)))
    assert "m gets fewer right than guessing would" in below and "better" not in below


@pytest.mark.parametrize("adjustment", ["chance", "letters"])
def test_what_guessing_explains_is_not_called_better(adjustment: str) -> None:
    found = made(*kinds(ABOVE), *kinds(AROUND, adjustment=adjustment))
    [said] = gap_sentences(found)
    assert "Beyond error, but not beyond what guessing explains: pooled +15.0" in plain(said) and "better" not in said
    told = accuracy.strata_sentences(found)[0]
    assert "m gets more of the knowledge questions right, but not beyond what guessing explains" in told
    whole = made(*kinds(ABOVE), *kinds(ABOVE, adjustment=adjustment))
    assert gap_sentences(whole)[0].startswith("m answers knowledge questions better, as called")
    assert "m answers knowledge questions better than reasoning questions" in accuracy.strata_sentences(whole)[0]


def test_one_measure_alone_is_told_in_the_accuracies() -> None:
    assert gap_sentences(made(ABOVE)) == [] == gap_sentences(made())


def test_without_plain_answers_the_gaps_after_a_prefill_are_told() -> None:
    gaps = kinds(ABOVE, setting="adversarial_0")
    assert len(gap_sentences(scores([cell(setting="adversarial_0")], gaps))) == 1


def test_attenuated_gaps_say_so_and_the_slope_its_assumption() -> None:
    gaps = kinds(changed(ABOVE, attenuation=0.38)) + kinds(gap(0.4, 0.3, 0.5), weighting="slope")[:2]
    shrunk, slope = attenuation_sentences(made(*gaps))
    assert (
        "0.38 pooled, 0.38 within benchmarks" in shrunk and "two that agree may be small for the same cause" in shrunk
    )
    assert "do not depend on whether the answer is right" in slope and "m pooled +40.0" in plain(slope)
    assert attenuation_sentences(made(*kinds(ABOVE))) == [], "experts' labels attenuate nothing"


@pytest.mark.parametrize(
    "apart, verdict", [(BELOW, "smaller than"), (ABOVE, "larger than"), (AROUND, "not shown to differ from")]
)
def test_the_classifiers_gap_stands_beside_the_experts(apart: dict[str, Any], verdict: str) -> None:
    at = {"kind": "within_benchmark", "benchmark": "MedXpertQA"}
    found = made(
        changed(AROUND, weighting="expert", **at),
        changed(BELOW, **at),
        changed(apart, weighting="hard_minus_expert", **at),
        changed(ABOVE, weighting="slope_minus_expert", **at),
    )
    told, about = experts.sentences(found)
    assert f"the classifier's gap on the same questions is {verdict} the experts' for m (" in told
    assert "the slope's assumption does not hold for m (off by +15.0" in plain(told)
    assert (
        "filtered its questions by difficulty, which compresses the gap" in about and "could not be verified" in about
    )
    table = experts.table(found)
    assert table is not None and not table.folded
    assert [column.lower() for column in table.head[1:5]] == [
        *("experts", "as called", "calls minus experts", "slope minus experts")
    ]
    [row] = table.rows
    assert row[0].text == "MedXpertQA" and [plain(c.text) for c in row[1:5]] == [
        *("+1.0", "-10.0", f"{100 * apart['estimate']:+.1f}", "+15.0")
    ]


def test_benchmarks_with_few_questions_share_a_sentence_which_keeps_what_is_beyond_error() -> None:
    places = [f"small-{n}" for n in range(9)]
    at = [{"kind": "within_benchmark", "benchmark": place} for place in places]
    gaps = [changed(AROUND, weighting=name, **place) for place in at for name in ("expert", "hard_minus_expert")]
    gaps.append(changed(ABOVE, weighting="slope_minus_expert", **at[4]))
    cells = [cell(), *(cell(benchmark=place, n=12) for place in places)]
    [told] = experts.sentences(scores(cells, gaps))
    assert "small-7 and small-8 have fewer than 30 questions" in told
    assert "Beyond error, the slope differs from the experts' on small-4 (m (+15.0 points" in plain(told)
    assert "the classifier's gap differs" not in told
    table = experts.table(scores(cells, gaps))
    assert table is not None and len(table.rows) == 9 and table.folded and "30 questions or more" in table.note
    assert {row[5].text for row in table.rows} == {"12"}
    [calm] = experts.sentences(scores(cells[:2], gaps[:2]))
    assert calm.startswith("small-0 has fewer") and "neither the classifier's gap nor the slope differs" in calm
    larger = experts.sentences(scores([cell(), cell(benchmark="small-0", n=30)], gaps[:2]))
    assert larger[0].startswith("On small-0 the classifier's gap on the same questions is not shown to differ from")


def test_every_estimate_stands_in_one_table_with_its_question() -> None:
    shown = changed(ABOVE, attenuation=0.4, bound_low=-0.41, bound_high=0.51, p_holm=0.02)
    gaps = [shown, *(changed(ABOVE, kind=f"kitagawa_{name}") for name in ("within", "between"))]
    gaps += [changed(AROUND, adjustment=name) for name in ("chance", "letters")]
    gaps += [changed(ABOVE, weighting=name) for name in ("slope", "matrix", "dsl")]
    table = estimands_table(made(*gaps))
    assert table is not None and table.head == ("Estimate", "Gap", "Question")
    names = [row[0].text for row in table.rows]
    assert names == [
        *("Pooled", "Pooled, bounds", "Pooled, between benchmarks", "Pooled, within", "Pooled, over guessing"),
        *("Pooled, over own letters", "Slope, pooled", "Matrix, pooled", "Labelled sample, pooled"),
    ]
    assert table.rows[0][1].more == "× 0.40, p 0.02" and plain(table.rows[1][1].text) == "-41.0 to +51.0"
    assert all(row[2].text for row in table.rows)


def test_thresholds_show_factor_and_adjusted_p() -> None:
    found = made(ABOVE)
    found.sensitivity = [
        {**ABOVE, "threshold": 0.3, "reasoning_share": 0.4, "attenuation": 0.4, "p_holm": 0.03},
        {**AROUND, "threshold": 0.8, "reasoning_share": 0.2, "attenuation": None, "p_holm": None},
    ]
    table = sensitivity_table(found, "m")
    assert table is not None and [row[2].more for row in table.rows] == ["× 0.40, p 0.03", ""]


def guessed(folder: Path, seed: int) -> str:
    """The report on one who guesses: reasoning questions have ten options, knowledge questions three."""
    draw = random.Random(seed)
    letters = {name: "ABCDEFGHIJ"[:size] for name, size in (("MedXpertQA", 10), ("pubmedqa", 3), ("medqa", 4))}
    items = [
        Item(
            f"{name}-{n}",
            f"{name} question {n}?",
            {letter: f"choice {letter}{n}" for letter in own},
            own[n % len(own)],
            name,
            is_reasoning=draw.random() < (0.8 if name == "MedXpertQA" else 0.1),
            reasoning_prob=0.9 if name == "MedXpertQA" else 0.1 + 0.2 * (n % 2),
        )
        for name, own in letters.items()
        for n in range(300)
    ]
    rows = [
        {
            "item_id": i.id,
            "model": "guesser",
            "setting": "plain",
            "output": f"The answer is {draw.choice(list(i.options))}.",
        }
        for i in items
    ]
    write_items(items, folder / "items.parquet")
    write_rows(rows, folder / "answers.jsonl")
    made = write_scores(folder / "items.parquet", [folder / "answers.jsonl"], folder / "scores.json", 200)
    raw = next(g for g in made["gaps"] if (g["kind"], g["adjustment"], g["benchmark"]) == ("pooled", "none", "all"))
    assert raw["ci_low"] > 0, "by accuracy alone one who guesses is better at knowledge"
    found = read_inputs(folder / "scores.json", items=folder / "items.parquet", answers=[folder / "answers.jsonl"])
    write_report("Title", found, Limits(), folder)
    return (folder / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", range(3))
def test_the_report_on_a_random_guesser_calls_nothing_better(tmp_path: Path, seed: int) -> None:
    text = guessed(tmp_path, seed)
    for sentence in text.replace("\n", " ").split(". "):
        assert not ("guesser" in sentence and "better" in sentence), sentence
    assert "guesser cannot be told apart from guessing" in text and "is not above guessing" in text
