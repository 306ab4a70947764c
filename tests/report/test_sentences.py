"""The report's sentences: claims only where an interval carries them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_records import cell, decision, drop, gap, reason, scores

from components.classifier.metrics import roc_curve
from components.errors import InputError
from components.questions.items import Item
from components.report import wording
from components.report.headline import headline
from components.report.scores import Scores
from components.report.sections import accuracy, answered, classifier, context, gate, prefills, share, training


def test_headline_says_what_was_compared_and_why_it_was_refused() -> None:
    found = scores([cell(model="base"), cell(model="new", groups=8), cell(model="new", benchmark="medqa")])
    record = decision(
        reason("reasoning_superior", False, 0.01, -0.05, 0.07),
        reason("knowledge_not_inferior", True, 0.0, -0.02, 0.02),
        reason("plain_no_answer", True, 0.01, 0.0, 0.05),
        reason("look", True, n=0, estimate=1),
    )
    head = headline(found, record)
    assert head.verdict == "refuse" and head.title == "new does not replace base"
    assert "10 questions (8 distinct) from 1 benchmark." in head.sentences[0]
    assert "reasoning accuracy is not shown to be better." in head.sentences[1]
    assert "within its error" in head.sentences[2]


def test_headline_of_a_promotion_counts_rules_without_the_look() -> None:
    record = decision(
        reason("reasoning_superior", True, 0.1, 0.05, 0.15),
        reason("plain_no_answer", True),
        reason("look", True, n=0),
        verdict="promote",
    )
    head = headline(scores([cell(model="new")]), record)
    assert "each of its 2 rules holds" in head.sentences[1]
    assert "Beyond error: reasoning accuracy +10.0" in head.sentences[2]


def test_headline_without_a_gate_claims_nothing() -> None:
    head = headline(scores([cell(model="a"), cell(model="b")]), None)
    assert head.verdict is None and head.title == "a and b scored"
    assert "No gate decision" in head.sentences[-1]


def test_a_rule_without_data_is_explained_in_its_own_words() -> None:
    text = "The candidate has no adversarial answers; evaluate it in that setting"
    assert gate.failure(reason("adversarial_no_answer", False, n=0, text=text)).startswith("the candidate has")


def test_no_difference_is_claimed_where_the_interval_includes_zero() -> None:
    found = scores([cell(ci_low=0.2, ci_high=0.3, accuracy=0.26)], [gap(0.1, -0.1, 0.3)], [drop(0.05, -0.02, 0.1)])
    pooled, guessing = accuracy.strata_sentences(found)
    assert "no difference between the two that exceeds its error" in pooled
    assert "cannot be told apart from guessing" in guessing
    assert "within error" in prefills.change_sentences(found)[0]


@pytest.mark.parametrize(
    "fall, said",
    [
        (drop(0.17, 0.094, 0.256), "m loses 17.0 points (9.4 to 25.6)"),
        (drop(-0.13, -0.2, -0.05), "m gains 13.0 points (5.0 to 20.0)"),
    ],
)
def test_losses_and_gains_are_told_without_signs(fall: dict[str, Any], said: str) -> None:
    assert prefills.change_sentences(scores([cell()], drops=[fall]))[0].startswith(said)


def test_a_newer_schema_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match=r"schema_version: 2 is newer .* upgrade biomed-r1"):
        Scores({"schema_version": 2, "cells": [cell()]}, "scores.json")
    with pytest.raises(InputError, match="cells: empty or missing"):
        Scores({"schema_version": 1, "cells": []})


def test_tables_mark_what_was_not_measured() -> None:
    found = scores([cell(model="a", benchmark="medqa"), cell(model="b", benchmark="medqa", n=7, groups=7)])
    table = accuracy.benchmark_table(found, "plain")
    assert table is not None and table.head == ("Benchmark", "a", "b", "Questions", "Chance")
    assert table.rows[0][2].sub.endswith("n 7"), "a model that was asked fewer questions says so"
    assert accuracy.benchmark_table(found, "adversarial") is None
    empty = scores([cell(accuracy=None, ci_low=None, ci_high=None, n=0, groups=0)])
    assert answered.strata_table(empty).rows[0][1].text == "–"


def items() -> list[Item]:
    rows = (("q1", True, 0.9, "g1"), ("q2", False, 0.1, "g2"), ("q3", True, 0.8, "g1"), ("q4", None, 0.0, "g4"))
    return [
        Item(n, f"stem {n}", {"A": "1", "B": "2"}, "A", "medqa", is_reasoning=flag, reasoning_prob=prob, group_id=group)
        for n, flag, prob, group in rows
    ]


def test_shares_leave_out_items_without_a_stratum_and_count_groups() -> None:
    pooled, medqa = share.shares(items())
    assert (pooled.benchmark, pooled.n, pooled.groups) == ("all", 3, 2)
    assert pooled.value == pytest.approx(2 / 3) and pooled.low < pooled.value < pooled.high
    assert medqa.benchmark == "medqa"
    assert share.shares([]) == []


def test_a_fall_by_answers_without_a_choice_is_named() -> None:
    def said(silent: int) -> list[str]:
        cells = [cell(model="m", n=100, groups=100), cell(model="m", setting="adversarial", n=100, no_answer=silent)]
        return prefills.change_sentences(scores(cells, drops=[drop(0.3, 0.2, 0.4)]))

    assert len(said(5)) == 1
    loud, silence = said(90)
    assert loud == said(5)[0] and "90.0\N{NO-BREAK SPACE}% of its answers name no option" in silence


@pytest.mark.parametrize(
    "low, high, text",
    [(-0.377, -0.0, "\N{MINUS SIGN}37.7 to 0.0"), (0.0, 0.00001, "0.0 to 0.0"), (0.1, 0.2, "+10.0 to +20.0")],
)
def test_an_interval_that_ends_at_nothing_has_no_sign_there(low: float, high: float, text: str) -> None:
    assert wording.spread(low, high, True) == text


def test_the_area_of_a_drawn_curve_counts_ties_as_half() -> None:
    labels, probs = [1, 1, 0, 0, 1], [0.9, 0.5, 0.5, 0.2, 0.3]
    pairs = [(p, q) for p, a in zip(probs, labels, strict=True) for q, b in zip(probs, labels, strict=True) if a > b]
    expected = sum(1.0 if p > q else 0.5 if p == q else 0.0 for p, q in pairs) / len(pairs)
    card = {"roc": roc_curve(np.array(labels), np.array(probs))}
    assert classifier.area(classifier.roc_points(card, labels)) == pytest.approx(expected)
    assert classifier.roc_points(card, [1, 1]) == []


def test_models_that_an_endpoint_reported_are_listed() -> None:
    found = {"local": {"engine": "vllm 1"}, "hosted": {"engine": "vllm 1", "reported_models": "h-1, h-2"}}
    engine, reported = context.metadata_table(found).rows
    assert engine[1].text == "vllm 1" and reported[0].text == "reported models"
    assert reported[1].text == "local: not recorded; hosted: h-1, h-2"


def test_series_takes_only_what_a_history_has() -> None:
    history = [{"step": 2, "loss": 1.0}, {"step": 1, "loss": 2.0, "reward": 0.5}, {"step": 3, "loss": float("nan")}]
    assert training.series(history, ("loss", "kl")) == {"loss": [(1.0, 2.0), (2.0, 1.0)]}
    assert training.series({"history": history}, ("reward",)) == {"reward": [(1.0, 0.5)]}
    assert training.series(None, ("loss",)) == {}


@given(st.floats(-1, 1))
def test_points_never_show_a_signed_nothing(value: float) -> None:
    text = wording.signed(value)
    assert "-" not in text and text not in ("+0.0", "\N{MINUS SIGN}0.0")
    assert abs(float(text.replace("\N{MINUS SIGN}", "-")) - 100 * value) <= 0.0501
