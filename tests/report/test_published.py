"""Published figures stand beside the model of ours that they are about."""

from __future__ import annotations

import pytest
from report_records import cell, scores

from components.report.page import Table
from components.report.scores import Scores
from components.report.sections.published import paper_table, public_table


def made(*models: str) -> Scores:
    """Accuracies 0.51, 0.52, ... of each model in turn: knowledge, reasoning, all plain, all adversarial, medqa."""
    places = [("plain", "knowledge", "all"), ("plain", "reasoning", "all"), ("plain", "all", "all")]
    places += [("adversarial", "all", "all"), ("plain", "all", "medqa"), ("plain", "all", "hle_biomed")]
    cells = []
    for k, model in enumerate(models):
        for n, (setting, stratum, benchmark) in enumerate(places):
            low = 0.51 + 0.1 * k + 0.01 * n
            place = {"model": model, "setting": setting, "stratum": stratum, "benchmark": benchmark}
            cells.append(cell(**place, accuracy=low, ci_low=low - 0.05, ci_high=low + 0.05))
    return scores(cells)


def row(table: Table, name: str) -> list[tuple[str, str]]:
    """(text, small text) of the row's cells, its hard spaces made plain."""
    return next([(c.text.replace("\xa0", " "), c.sub) for c in cells] for cells in table.rows if cells[0].text == name)


def test_the_papers_pair_is_shown_of_the_model_it_quotes() -> None:
    table = paper_table(made("ours", "m1-7B-23K", "HuatuoGPT-o1-8B", "MedReason-8B"), 0.4, None, "ours")
    assert row(table, "Questions that need reasoning")[1:] == [("32.8 %", ""), ("32.8 %", ""), ("40.0 %", "")]
    assert row(table, "Knowledge / reasoning accuracy")[1:] == [
        ("60.5 / 47.1", "m1"), ("56.9 / 44.8", "HuatuoGPT-o1"), ("71.0 / 72.0", "HuatuoGPT-o1-8B"),
    ]  # fmt: skip
    assert row(table, "Plain / adversarial accuracy")[1:] == [
        ("44.4 / 29.3", "MedReason"), ("50.4 / 24.4", "MedReason"), ("83.0 / 84.0", "MedReason-8B"),
    ]  # fmt: skip


@pytest.mark.parametrize(("models", "shown"), [(("ours",), "ours"), (("ours", "m1-7B-23K"), "m1-7B-23K")])
def test_else_the_first_versions_model_and_else_the_one_to_show(models: tuple[str, ...], shown: str) -> None:
    assert row(paper_table(made(*models), None, None, "ours"), "Knowledge / reasoning accuracy")[-1][1] == shown


def test_a_name_that_only_begins_alike_is_another_model() -> None:
    table = paper_table(made("m1000", "ours"), None, None, "ours")
    assert row(table, "Knowledge / reasoning accuracy")[-1][1] == "ours"


def test_a_public_accuracy_stands_right_beside_the_model_of_its_name() -> None:
    table = public_table(made("ours", "MedReason-8B"), ["ours", "MedReason-8B"])
    assert table.head[:4] == ("Benchmark", "ours (here)", "MedReason-8B (here)", "MedReason-8B (public)")
    assert table.head[4:] == tuple(
        f"{m} (public)" for m in ("HuatuoGPT-o1-8B", "m1-7B-23K", "Qwen2.5-7B-Instruct", "QwQ-32B")
    )
    found = [text for text, _ in row(table, "medqa")]
    assert (found[1], found[2], found[3], found[4]) == ("55.0 %", "65.0 %", "71.9 %", "74.8 %")
    assert [cells[0].text for cells in table.rows] == ["medqa"] and "II-Medical-8B-SFT" in table.note
