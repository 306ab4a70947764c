"""What the page and the terminal say of a decision: sizes, settings, guard, flips, equivalence, sealed questions."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import report_run
from report_records import cell, changed, decision, gap, reason, scores
from rich.console import Console

from components.platform.tables import read_items
from components.questions.seal import Seal
from components.report.headline import headline
from components.report.scores import Scores
from components.report.sections import gate
from components.report.terminal import print_decision, print_scores
from components.stages.report import ReportConfig, report


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("run")
    return report_run.write_run(folder, 30, equivalent=0.05, sealed=0.34, margin=0.05, draws=200)


@pytest.fixture(scope="module")
def made(run: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(run["decision"].read_text(encoding="utf-8")))


def test_the_page_says_what_was_decided_on_and_by_which_settings(run: Any, made: Any, tmp_path: Path) -> None:
    report(**run, config=ReportConfig(sealed=0.34), out_dir=tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    seal = made["seal"]
    assert f"The gate decided on {seal['questions']} sealed of {seal['of']} questions" in text
    assert "Changed from the defaults: margin." in text and "draw number 0" in text
    for caption in ("Open and sealed questions side by side", "Settings of the gate", "The guard, by benchmark",
                    "Answers that flipped", "Equivalence within 5.0 points"):  # fmt: skip
        assert f"**{caption}**" in text, caption


def test_no_page_names_a_sealed_question(run: Any, tmp_path: Path) -> None:
    """Neither as an example nor as what curation removed a training question for, which would give its text away."""
    report(**run, config=ReportConfig(sealed=0.34, examples=200, removed_rows=100), out_dir=tmp_path)
    items, text = read_items(run["items"]), (tmp_path / "report.html").read_text(encoding="utf-8")
    named = {item.id for item in items if re.search(rf"\b{re.escape(item.id)}\b", text)}
    sealed = {item.id for item in items if Seal(0.34).covers(item)}
    assert named and sealed and not named & sealed
    assert "a sealed question" in text


def test_settings_are_marked_where_they_differ(made: Any) -> None:
    table = gate.settings_table(made)
    assert table is not None and not table.folded
    marks = {row[0].text: (row[1].text, row[2].text, row[3].text) for row in table.rows}
    assert marks["margin"] == ("5.0\N{NO-BREAK SPACE}%", "3.0\N{NO-BREAK SPACE}%", "changed")
    assert marks["alpha"][2] == "as it comes" and gate.changed(made) == ["margin"]


def test_the_guard_stands_worst_first_with_adjusted_p(made: Any) -> None:
    table = gate.guard_table(made)
    assert table is not None and table.folded and len(table.rows) == len(made["guard"])
    assert table.rows[0][3].text == f"{made['guard'][0]['p_holm']:.2g}"
    lost = {**made, "guard": [{**made["guard"][0], "lost": True}, *made["guard"][1:]]}
    shown = gate.guard_table(lost)
    assert shown is not None and not shown.folded and shown.rows[0][5].text == "lost"
    failed = reason("benchmark_guard", False, -0.2, -0.3, -0.1, bound=-0.05)
    assert gate.failure(failed) == "a loss of more than 5 points is shown on a benchmark"


def test_flips_are_those_of_the_decision(made: Any) -> None:
    table = gate.flips_table(made)
    assert table is not None
    whole = next(f for f in made["flips"] if (f["setting"], f["stratum"], f["benchmark"]) == ("plain", "all", "all"))
    assert [c.text for c in table.rows[0][1:3]] == [str(whole["right_to_wrong"]), str(whole["wrong_to_right"])]
    assert len(table.rows) == 12 + 11 and "decides nothing" in table.note


@pytest.mark.parametrize("equal", [True, False])
def test_equivalence_is_claimed_only_where_every_cell_holds(made: Any, equal: bool) -> None:
    cells = [{**c, "equivalent": equal or n > 0} for n, c in enumerate(made["equivalence"]["cells"])]
    told = {**made, "equivalence": {**made["equivalence"], "equivalent": equal, "cells": cells}}
    [said] = gate.equivalence_sentences(told)
    assert ("grpo and base are equivalent: in every cell" in said) == equal
    assert ("is not excluded on plain knowledge questions" in said) == (not equal)
    assert gate.equivalence_sentences({**made, "equivalence": None}) == []


def test_open_and_sealed_figures_stand_side_by_side(made: Any) -> None:
    table = gate.parts_table(made)
    assert table is not None and len(table.rows) == len(made["parts"])
    first = made["parts"][0]
    assert (table.rows[0][2].text, table.rows[0][4].text) == (str(first["open"]["n"]), str(first["sealed"]["n"]))
    unsealed = {**made, "seal": {"share": 0.0, "number": 0, "questions": 9, "of": 9}, "parts": []}
    assert gate.parts_table(unsealed) is None
    assert gate.seal_sentences(unsealed)[0].startswith("No questions are sealed: the gate decided on all 9")


def test_a_size_at_which_nothing_can_pass_is_the_verdict() -> None:
    sizes = [
        {"rule": "knowledge_not_inferior", "groups": 39, "needed": 122},
        {"rule": "reasoning_superior", "groups": 4, "needed": 6},
    ]
    record = decision(reason("knowledge_not_inferior", False, 0.0, -0.1, 0.1), verdict="refuse")
    small = {**record, "verdict": gate.TOO_SMALL, "sizes": sizes}
    [said] = gate.size_sentences(small)
    assert "Knowledge not worse has 39 distinct questions and needs 122 for identical answers to pass" in said
    assert "Reasoning better has 4 distinct questions and needs 6 for a gain on every question to pass" in said
    assert "The questions are too few for it to pass." in headline(scores([cell(model="new")]), small).sentences[1]
    assert gate.size_sentences(record) == []


def test_a_decision_of_before_has_its_rules_alone() -> None:
    kept = ("schema_version", "decision", "baseline", "candidate", "look", "alpha", "reasons")
    record = decision(reason("reasoning_superior", True, 0.1, 0.05, 0.15), verdict="promote")
    old = {name: record[name] for name in kept}
    assert [t.caption for t in gate.section(old).tables] == ["Rules of the gate: new against base"]
    assert gate.gate_sentences(old) == ["All 1 rules hold."]
    console = Console(width=120, record=True, file=io.StringIO())
    print_decision(old, console=console)
    assert "Gate: promote new over base" in console.export_text()


@pytest.mark.parametrize("width", [40, 60, 160])
def test_no_terminal_cuts_a_models_name(run: Any, made: Any, width: int) -> None:
    """Whole in a line, which a narrow terminal breaks itself; a figure with its interval is never broken."""
    record = json.loads(run["scores"].read_text(encoding="utf-8"))
    name = "organisation/a-model-with-a-very-long-name-0528"
    for part in ("cells", "gaps", "adversarial_drops"):
        record[part] = [{**r, "model": name} for r in record[part] if r["model"] == "grpo"]
    console = Console(width=width, record=True, file=io.StringIO())
    print_scores(record, console=console)
    text = console.export_text()
    assert "…" not in text
    assert all(len(line) <= width or line.strip() == name for line in text.splitlines())
    table = text[text.index("Adversarial minus plain") :]
    drops = [r for r in record["adversarial_drops"] if r["stratum"] == "all"]
    assert name in table and drops
    assert re.search(r"[+-]\d+\.\d \([+-]?\d+\.\d to [+-]?\d+\.\d\)", table)
    print_decision(made, console=Console(width=width, file=io.StringIO()))


def test_the_terminal_says_what_the_report_says_of_a_guesser() -> None:
    gaps = [gap(0.15, 0.08, 0.22, above_chance=False)]
    found: Any = {"schema_version": 1, "cells": [cell(ci_low=0.2, ci_high=0.3)], "gaps": gaps}
    assert Scores(found).models == ["m"]
    console = Console(width=100, record=True, file=io.StringIO())
    print_scores(found, console=console)
    text = console.export_text()
    assert "as called" in text and "cannot be told apart from guessing" in text and "better" not in text


def test_the_terminal_tells_verdict_seal_flips_and_equivalence(made: Any) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    print_decision(changed(made, verdict=gate.TOO_SMALL), console=console)
    text = console.export_text()
    assert f"({gate.TOO_SMALL})" in text and "sealed of" in text and "Changed from the defaults: margin" in text
    assert "Plain answers that flipped:" in text and "equivalent" in text
