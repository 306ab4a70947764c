"""Runs that are not the usual one, and the sentences that a report then must not say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import report_run

from components.platform.tables import write_items, write_rows
from components.questions.items import Item
from components.report.files import read_inputs, write_evaluation, write_report
from components.report.limits import Limits
from components.report.score_files import write_scores

OPENED = ("adversarial_0", "adversarial_1", "adversarial_2")
SETTINGS = ("plain", *OPENED)
SPACE = "\N{NO-BREAK SPACE}"


def items(flags: Iterable[bool | None], stem: str = "") -> list[Item]:
    return [
        Item(
            id=f"q{n}",
            question=f"{stem}Which letter stands at place {n}?",
            options=dict(zip("ABCD", ("one", "two", "three", "four"), strict=True)),
            answer_idx="B",
            dataset_name="medqa",
            is_reasoning=flag,
            reasoning_prob=None if flag is None else 0.2 + 0.7 * flag,
            reasoning_threshold=None if flag is None else 0.5,
        )
        for n, flag in enumerate(flags)
    ]


def row(item: Item, setting: str, letter: str | None, model: str = "m", **more: Any) -> dict[str, Any]:
    """Only what the contract requires, and what a test adds."""
    output = f"The answer is {letter}." if letter else "Who knows."
    return {"item_id": item.id, "model": model, "setting": setting, "output": output, **more}


def page(folder: Path, asked: Sequence[Item], *tables: list[dict[str, Any]], limits: Limits | None = None) -> Any:
    """Scores and report of one file of answers a model; returns (evidence, html, markdown)."""
    write_items(asked, folder / "items.parquet")
    paths = [folder / f"{number}.jsonl" for number, _ in enumerate(tables)]
    for path, rows in zip(paths, tables, strict=True):
        write_rows(rows, path)
    write_scores(folder / "items.parquet", paths, folder / "scores.json", 200)
    found = read_inputs(folder / "scores.json", items=folder / "items.parquet", answers=paths)
    evidence = write_report("Title", found, limits or Limits(), folder)
    html, markdown = ((folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    assert not re.search(r"(?:NaN|nan|inf)%", html)
    for table in re.findall(r"<table.*?</table>", html, re.DOTALL):
        assert table.count("<tr") > 1, f"a table without a row: {table[:300]}"
    return evidence, html, markdown


@pytest.mark.parametrize("flag, there, absent", [(True, "reasoning", "knowledge"), (False, "knowledge", "reasoning")])
def test_one_stratum_alone_is_named(tmp_path: Path, flag: bool, there: str, absent: str) -> None:
    asked = items([flag] * 8)
    _, html, _ = page(tmp_path, asked, [row(i, s, "B") for i in asked for s in SETTINGS])
    assert "carry no strata" not in html and "Without strata" not in html
    assert f"Every question that carries a stratum is called {there} and none {absent}" in html
    assert "so there is no gap to show" in html, "one probability for all has no slope"


def test_questions_without_strata_are_still_called_that(tmp_path: Path) -> None:
    asked = items([None] * 8)
    evidence, html, _ = page(tmp_path, asked, [row(i, s, "B") for i in asked for s in SETTINGS])
    assert "The questions carry no strata" in html and "gaps" in evidence["absent"]


@pytest.mark.parametrize("settings, words", [(OPENED[:1], "after prefill 1"), (OPENED, "after a prefill")])
def test_a_model_that_was_not_asked_plainly(tmp_path: Path, settings: tuple[str, ...], words: str) -> None:
    asked = items([n % 2 == 0 for n in range(8)])
    rows = [row(i, s, "B" if n < 3 else "A") for n, i in enumerate(asked) for s in settings]
    evidence, html, markdown = page(tmp_path, asked, rows)
    assert "No model was asked with adversarial prefills" not in html and "openings" in evidence["sections"]
    assert f"m answers 37.5{SPACE}% of the questions right {words}" in html
    assert "m was not asked plainly, so no change after a prefill can be told" in html
    assert re.search(r"\| (All questions|medqa) \| 37.5 % \(13.7 to 69.4\) \| 8 \|", markdown), markdown
    assert "Without strata" not in html and "plain questions" not in html
    assert "was not asked with prefills" not in html


def test_fewer_than_three_openings_beside_plain_answers(tmp_path: Path) -> None:
    asked = items([n % 2 == 0 for n in range(8)])
    rows = [row(i, s, "B" if s == "plain" else "A") for i in asked for s in ("plain", "adversarial_1")]
    _, html, markdown = page(tmp_path, asked, rows)
    assert "No model was asked with adversarial prefills" not in html
    assert "m was asked with fewer than three prefills" in html
    assert "Prefill 2, all" in markdown, "its accuracy has a row"


def test_answers_with_the_required_columns_alone_are_marked_as_the_scores_mark_them(tmp_path: Path) -> None:
    asked = items([n % 2 == 0 for n in range(8)])
    rows = [row(i, s, "B" if s == "plain" else "A") for i in asked for s in SETTINGS]
    evidence, html, _ = page(tmp_path, asked, rows)
    assert "m loses 100.0 points" in html and "regressions" in evidence["sections"]
    assert html.count('<article class="example">') == Limits.examples and "3 of 3 prefills lost" in html


def test_an_old_mark_in_the_answers_is_not_believed(tmp_path: Path) -> None:
    asked = items([True, False] * 4)
    rows = [row(i, s, "B", correct=s == "plain", extracted="A") for i in asked for s in SETTINGS]
    evidence, html, _ = page(tmp_path, asked, rows)
    assert "regressions" in evidence["absent"], "every answer is right by the present rule"
    assert "changes by 0.0" in html


def test_strata_too_small_for_a_gap_are_called_that(tmp_path: Path) -> None:
    asked = items([True, False])
    evidence, html, _ = page(tmp_path, asked, [row(i, s, "B") for i in asked for s in SETTINGS])
    assert "gaps" in evidence["absent"] and "One stratum has too few questions, so there is no gap" in html
    assert "changes by 0.0" in html, "two questions that did not change say little, and how little"


def test_losing_one_of_three_openings_is_not_called_most(tmp_path: Path) -> None:
    asked = items([True, False])
    rows = [row(i, s, "A" if s == "adversarial_1" else "B") for i in asked for s in SETTINGS]
    _, html, _ = page(tmp_path, asked, rows)
    assert "1 of 3 prefills lost" in html and "most of the prefills" not in html


def test_several_models_without_a_gate_show_what_each_lost_against_the_first(tmp_path: Path) -> None:
    asked = items([n % 2 == 0 for n in range(6)])
    tables = [
        [row(i, s, letters(n, s), name) for n, i in enumerate(asked) for s in SETTINGS]
        for name, letters in (
            ("first", lambda n, s: "B"),
            ("second", lambda n, s: "A" if n < 2 else "B"),
            ("third", lambda n, s: "C" if n == 5 else "B"),
            ("same", lambda n, s: "B"),
        )
    ]
    evidence, html, _ = page(tmp_path, asked, *tables, limits=Limits(examples=4))
    assert "regressions" in evidence["sections"] and "no pair to compare" not in html
    titles = re.findall(r"<summary><h3>(.*?)</h3>", html)
    assert titles == [
        "second: medqa, q0: 4 of 4 settings lost",
        "third: medqa, q5: 4 of 4 settings lost",
    ]
    assert "No question that both were asked went worse with same than with first" in html


def test_an_example_shows_its_letters_and_the_end_of_what_was_written(tmp_path: Path) -> None:
    asked = items([True], stem="A long story. " * 50)
    long = "A begin. " + "word " * 400 + "So in the end"
    rows = [row(asked[0], "plain", "B")]
    rows += [{**row(asked[0], s, None), "output": f"{long} the answer is C."} for s in OPENED]
    _, html, _ = page(tmp_path, asked, rows)
    assert "m, plain: chose B, the right answer" in html
    assert "m, after prefill 1: chose C (right answer: B)" in html
    shown = re.search(r"<dd>(A begin\..*?)</dd>", html)
    assert shown and shown[1].endswith("So in the end the answer is C.") and "[…]" in shown[1]
    assert "Which letter stands at place 0?" in html, "the question itself stands at the end of its story"
    rows = [row(asked[0], "plain", "B"), *(row(asked[0], s, None) for s in OPENED)]
    assert "named no option (right answer: B)" in page(tmp_path, asked, rows)[1]


def test_how_openings_were_given_and_which_models_answered_is_shown(tmp_path: Path) -> None:
    asked = items([n % 2 == 0 for n in range(6)])
    local, hosted = (
        [row(i, s, "B" if s == "plain" else "A", name, prefill_mode=mode, **more) for i in asked for s in SETTINGS]
        for name, mode, more in (
            ("local", "continued", {}),
            ("hosted", "two_turn", {"reported_model": "hosted-2025-01-31"}),
        )
    )
    _, html, markdown = page(tmp_path, asked, hosted, local)
    assert "hosted was given the prefill in an earlier turn" in html
    assert "local went on from it" in html and "not the same measurement" in html
    assert re.search(r"\| prefill mode \(differs between models\) \| hosted: two\\_turn.*local: continued", markdown)
    assert re.search(r"\| reported models .*hosted: hosted-2025-01-31", markdown)
    _, html, markdown = page(tmp_path, asked, local)
    assert "| prefill mode | continued" in markdown and "not the same measurement" not in html


def test_answers_that_an_endpoint_withheld_are_counted(tmp_path: Path) -> None:
    asked = items([n % 2 == 0 for n in range(8)])
    rows = [
        row(i, s, None if n < 2 else "B", finish_reason="content_filter" if n < 2 and s != OPENED[2] else "stop")
        for n, i in enumerate(asked)
        for s in SETTINGS
    ]
    _, _, markdown = page(tmp_path, asked, rows)
    table = markdown[markdown.index("Accuracy over all benchmarks") :]
    assert "| Withheld |" in table
    assert re.search(r"\| Plain, all \|.*\| 25.0 % \| 0 \|", table), "two of eight, the last but one column"
    assert re.search(r"\| Adversarial, all \|.*\| 16.7 % \| 0 \|", table), "two of three openings of two"
    rows = [{**r, "finish_reason": "stop"} for r in rows]
    assert "Withheld" not in page(tmp_path, asked, rows)[2]


def test_questions_that_did_not_fit_the_context_are_counted(tmp_path: Path) -> None:
    asked = items([n % 2 == 0 for n in range(8)])
    rows = [
        row(i, s, None if n < 2 else "B", finish_reason="too_long" if n < 2 else "stop")
        for n, i in enumerate(asked)
        for s in SETTINGS
    ]
    _, _, markdown = page(tmp_path, asked, rows)
    table = markdown[markdown.index("Accuracy over all benchmarks") :]
    assert "| Too long |" in table and "Withheld" not in table
    assert re.search(r"\| Plain, all \|.*\| 25.0 % \| 0 \|", table), "two of eight, the last but one column"
    assert "it counts as not answered" in table


@pytest.mark.parametrize(
    "mode, reason", [("continued", "closes or leaves out the thought"), ("two_turn", "hold a written thought")]
)
def test_thinking_that_a_wrong_opening_ends_is_named(tmp_path: Path, mode: str, reason: str) -> None:
    asked = items([n % 2 == 0 for n in range(8)])

    def written(thought: str) -> list[dict[str, Any]]:
        rows = [row(i, s, "B" if s == "plain" else "A", prefill_mode=mode) for i in asked for s in SETTINGS]
        return [{**r, "output": thought + r["output"]} if r["setting"] == "plain" else r for r in rows]

    said = "contains the loss of thinking"
    _, html, _ = page(tmp_path, asked, written("<think>Is it A?</think>\n"))
    assert said in html and reason in html
    assert ("chat template" in html) == (mode == "continued")
    assert said not in page(tmp_path, asked, written(""))[1]


def test_accuracy_among_answered_stands_in_each_cell_where_it_differs(tmp_path: Path) -> None:
    asked = items([n % 2 == 0 for n in range(8)])
    rows = [row(i, s, None if n in (0, 2) else "B") for n, i in enumerate(asked) for s in SETTINGS]
    _, html, markdown = page(tmp_path, asked, rows)
    assert re.search(r"\| medqa \(reasoning\) \| 50.0 % \(15.0 to 85.0; 100.0 % of answered\)", markdown), markdown
    assert re.search(r"\| medqa \(knowledge\) \| 100.0 % \([0-9. to]+\) \|", markdown), "nothing to add"
    assert f'<small class="more">100.0{SPACE}% of answered</small>' in html
    bare = [item.with_(is_reasoning=None, reasoning_prob=None) for item in asked]
    markdown = page(tmp_path, bare, rows)[2]
    assert re.search(r"\| medqa \| 75.0 % \([0-9. to]+; 100.0 % of answered\)", markdown), "there is no other table"


def test_a_kind_that_no_question_was_asked_of_has_no_accuracy_and_breaks_no_section(tmp_path: Path) -> None:
    items = report_run.make_items(per_benchmark=2)
    write_items(items, tmp_path / "items.parquet")
    asked = [item for item in items if not item.is_reasoning][:3]
    write_rows(report_run.make_answers(asked, "base"), tmp_path / "a.parquet", report_run.make_metadata(items, "base"))
    write_evaluation(tmp_path / "items.parquet", tmp_path / "a.parquet")
    assert "After an adversarial prefill" in (tmp_path / "report.html").read_text(encoding="utf-8")
