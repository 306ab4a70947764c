"""Whether the measures of a gap agree: all of them, hard strata and soft, beyond error on one side of zero."""

from __future__ import annotations

from typing import Any

import pytest
from report_records import cell, changed, gap, scores

from components.report.scores import Scores
from components.report.sections.gaps import gap_sentence, gap_sentences

ABOVE, BELOW, AROUND = gap(0.15, 0.08, 0.22), gap(-0.1, -0.2, -0.02), gap(0.01, -0.05, 0.07)
# Of tests/bench/smollm2-135m-300.md: the hard strata agree, and two of the soft ones include zero.
SMOLLM = {
    ("pooled", "hard"): gap(0.151, 0.064, 0.234),
    ("within_benchmark", "hard"): gap(0.104, 0.005, 0.211),
    ("macro", "hard"): gap(0.132, 0.004, 0.267),
    ("pooled", "soft"): gap(0.053, 0.009, 0.098),
    ("within_benchmark", "soft"): gap(-0.003, -0.032, 0.024),
    ("macro", "soft"): gap(0.007, -0.023, 0.039),
}


@pytest.mark.parametrize(
    "pooled, within, expected",
    [
        (ABOVE, AROUND, "more about which benchmarks hold the reasoning questions"),
        (ABOVE, gap(0.12, 0.02, 0.2), "the measures agree, knowledge is answered better: pooled"),
        (gap(-0.15, -0.22, -0.08), BELOW, "the measures agree, reasoning is answered better: pooled"),
        (gap(0.02, -0.1, 0.12), gap(-0.03, -0.1, 0.08), "differ in sign, but none"),
        (ABOVE, BELOW, "disagree: some lie beyond error on either side of zero."),
        (gap(0.03, -0.02, 0.08), ABOVE, "disagree. Knowledge is answered better: within benchmarks +15.0"),
        (gap(0.02, -0.1, 0.12), gap(0.03, -0.1, 0.18), "no measure shows a difference beyond its error: pooled"),
        (gap(0.02, 0.0, 0.12), ABOVE, "The interval includes zero: pooled +2.0"),
    ],
)
def test_gap_sentence_names_agreement_and_disagreement(pooled: Any, within: Any, expected: str) -> None:
    said = gap_sentence("m", {"pooled": pooled, "within benchmarks": within}).replace("\N{NO-BREAK SPACE}", " ")
    assert expected in said
    assert ("agree," in said) == ("the measures agree" in expected)


def made(gaps: dict[tuple[str, str], dict[str, Any]], setting: str = "plain") -> Scores:
    placed = [changed(g, kind=kind, weighting=weighting, setting=setting) for (kind, weighting), g in gaps.items()]
    return scores([cell(setting=setting)], placed)


def test_soft_strata_that_show_nothing_keep_the_measures_from_agreeing() -> None:
    [said] = gap_sentences(made(SMOLLM))
    said = said.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")
    assert said == (
        "m: the measures disagree. Knowledge is answered better: pooled +15.1 points (+6.4 to +23.4), within "
        "benchmarks +10.4 points (+0.5 to +21.1), macro +13.2 points (+0.4 to +26.7), pooled with soft strata +5.3 "
        "points (+0.9 to +9.8). The interval includes zero: within benchmarks with soft strata -0.3 points "
        "(-3.2 to +2.4), macro with soft strata +0.7 points (-2.3 to +3.9)."
    )
    hard = {key: found for key, found in SMOLLM.items() if key[1] == "hard"}
    assert "the measures agree" in gap_sentences(made(hard))[0], "soft strata that are not there do not count"


def test_one_measure_alone_neither_agrees_nor_disagrees() -> None:
    assert gap_sentences(made({("pooled", "hard"): ABOVE})) == []
    assert gap_sentences(made({})) == []


def test_without_plain_answers_the_gaps_under_an_opening_are_compared() -> None:
    assert len(gap_sentences(made(SMOLLM, "adversarial_0"))) == 1
