"""The report as a file: all of it there, nothing from outside, hostile text harmless, most inputs optional."""

from __future__ import annotations

import json
import re
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import report_run
from click.testing import CliRunner

from components.classifier.card import SCHEMA_VERSION
from components.errors import InputError
from components.platform.tables import write_items, write_rows
from components.report.files import read_inputs, write_evaluation, write_report
from components.report.limits import Limits
from components.report.origin import Origin
from components.report.page import Fact
from components.report.score_files import write_scores
from components.stages.report import ReportConfig, report
from pipelines.cli.evaluation import report_command

OPTIONAL = ("decision", "items", "classifier", "curation", "histories", "lineage")


class Page(HTMLParser):
    """Elements by name with attributes and text, and the order of headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "title"):
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return report_run.write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def made(run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, str]:
    out = tmp_path_factory.mktemp("out")
    evidence = report(**run, config=ReportConfig(), out_dir=out)
    html, markdown = ((out / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    return evidence, html, markdown


def test_every_section_is_there_in_the_promised_order(made: Any) -> None:
    evidence, html, _ = made
    assert evidence["absent"] == []
    places = [html.index(f'<h2 id="{anchor}"') for anchor in evidence["sections"]]
    assert places == sorted(places) and evidence["sections"][:4] == ["strata", "openings", "gaps", "gate"]
    links = {a["href"] for a in Page(html).all("a")}
    assert {f"#{anchor}" for anchor in evidence["sections"]} < links


def test_the_head_says_what_the_page_was_made_by(run: dict[str, Any], tmp_path: Path) -> None:
    address, store = "https://mlflow.example/#/experiments/1/runs/f00", "s3://bucket/store/runs/demo-1"
    origin = Origin(
        "demo-1",
        "demo (digest abc)",
        f"{'a1' * 20}-dirty",
        {"base": "package:m<b>"},
        address,
        store,
        datetime(2026, 5, 4),
    )
    report(**run, config=ReportConfig(), out_dir=tmp_path, origin=origin)
    html, markdown = ((tmp_path / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    head = html[: html.index("</header>")]
    for text in (
        "demo-1",
        "2026-05-04 00:00 UTC",
        "demo (digest abc)",
        "revision a1a1a1a1a1a1 with",
        "package:m&lt;b&gt;",
    ):
        assert text in head, text
    assert {address, store} < {a["href"] for a in Page(head).all("a")}
    assert "- Run: demo-1" in markdown and "- Model base: package:m" in markdown
    assert Fact("S3", "file:///store") in Origin("r", "r", "r", store="file:///store").facts()


def test_figures_are_named_and_numerous(made: Any) -> None:
    evidence, html, _ = made
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', html)
    assert len(labels) == evidence["metrics"]["report_figures"] >= 8
    assert all(len(label) > 40 for label in labels), "alternative text says what the figure shows"
    assert any("grpo: knowledge" in label for label in labels)
    assert not re.search(r"(?:NaN|nan|inf)%", html)


def test_the_page_is_self_contained_and_accessible(made: Any) -> None:
    page = Page(made[1])
    assert not page.all("script") and not page.all("img") and not page.all("iframe")
    for name, attributes in page.elements:
        for key in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(key) or ""
            assert not re.match(r"(?i)\s*(https?:|//|ftp:|javascript:)", value), (name, key, value)
        assert not any(key.startswith("on") for key in attributes), (name, attributes)
    assert "@import" not in made[1] and "url(" not in made[1]
    assert len(page.all("main")) == len(page.all("header")) == len(page.all("footer")) == len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table"))
    assert page.all("html")[0]["lang"] == "en" and page.all("nav")[0]["aria-label"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_hostile_text_stays_text(made: Any) -> None:
    _, html, markdown = made
    assert "<script" not in html and "<img" not in html
    assert report_run.HOSTILE in "".join(Page(html).texts), "a question is shown, as text"
    assert "<script" not in markdown and "evil.example" not in markdown, "no question text in the Markdown"


def test_the_disclaimer_opens_and_closes_the_page(made: Any) -> None:
    _, html, markdown = made
    assert html.count("Research use, never for clinical decisions.") == 2
    assert markdown.count("Research use, never for clinical decisions.") == 2
    assert "thapa2025disentangling" in html and "thapa2025disentangling" in markdown


def test_markdown_tables_are_well_formed(made: Any) -> None:
    markdown = made[2]
    tables = re.findall(r"(?:^\|.*\|[ ]*\n)+", markdown, re.MULTILINE)
    assert len(tables) == made[0]["metrics"]["report_tables"]
    for table in tables:
        rows = table.strip().splitlines()
        counts = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
        assert len(counts) == 1 and re.fullmatch(r"\|(?: --- \|)+", rows[1].strip()), table


def test_published_figures_stand_beside_ours(made: Any) -> None:
    text = " ".join("".join(Page(made[1]).texts).split())
    for figure in ("32.8\N{NO-BREAK SPACE}%", "60.5 / 47.1", "56.9 / 44.8", "44.4 / 29.3", "50.4 / 24.4"):
        assert figure in made[1], figure
    assert "Not a like-for-like comparison" in text


def test_the_figures_are_those_of_the_scores(run: dict[str, Any], made: Any) -> None:
    scores = json.loads(run["scores"].read_text())
    for cell in scores["cells"]:
        if cell["setting"] == "plain" and cell["benchmark"] == "all":
            assert f"{100 * cell['accuracy']:.1f}\N{NO-BREAK SPACE}%" in made[1], cell


def test_the_same_inputs_give_the_same_bytes(run: dict[str, Any], made: Any, tmp_path: Path) -> None:
    report(**run, config=ReportConfig(), out_dir=tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == made[1]


@pytest.mark.parametrize("missing", [*OPTIONAL, "answers", "everything"])
def test_a_missing_input_leaves_its_part_out_and_says_so(run: dict[str, Any], tmp_path: Path, missing: str) -> None:
    gone = (*OPTIONAL, "answers") if missing == "everything" else (missing,)
    inputs = {**run, **dict.fromkeys(gone), **({"answers": []} if "answers" in gone else {})}
    evidence = report(**inputs, config=ReportConfig(), out_dir=tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    expected = {
        "decision": {"gate"},
        "items": {"share", "regressions"},
        "answers": {"regressions"},
        "classifier": {"classifier"},
        "curation": {"curation"},
        "histories": {"training"},
        "lineage": set(),
    }
    assert set(evidence["absent"]) == set().union(*(expected[name] for name in gone))
    assert html.count('class="absent"') == len(evidence["absent"])


def test_scores_without_strata_make_a_page(run: dict[str, Any], tmp_path: Path) -> None:
    scores = json.loads(run["scores"].read_text())
    scores["cells"] = [c for c in scores["cells"] if c["stratum"] == "all"]
    scores["gaps"], scores["threshold_sensitivity"] = [], []
    scores["adversarial_drops"] = [d for d in scores["adversarial_drops"] if d["stratum"] == "all"]
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    inputs = {**run, "scores": tmp_path / "scores.json", "decision": None, "items": None}
    evidence = report(**inputs, config=ReportConfig(), out_dir=tmp_path)
    assert "gaps" in evidence["absent"] and {"strata", "openings"} <= set(evidence["sections"])
    assert "carry no strata" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_lone_evaluation_makes_a_page_without_empty_sections(tmp_path: Path) -> None:
    """Scores, items and answers of one model: no gate, classifier or training, and nothing that stands empty."""
    items = [i.with_(meta={"trace_source": "template"}, adversarial_trace_0="x") for i in report_run.make_items()]
    rows = [{**row, "prefill": "Hmm, B?"} for row in report_run.make_answers(items, "base")]
    write_items(items, tmp_path / "items.parquet")
    write_rows(rows, tmp_path / "answers.parquet", report_run.make_metadata(items, "base"))
    scores = write_scores(tmp_path / "items.parquet", [tmp_path / "answers.parquet"], tmp_path / "scores.json", 500)
    found = read_inputs(
        tmp_path / "scores.json", items=tmp_path / "items.parquet", answers=[tmp_path / "answers.parquet"]
    )
    evidence = write_report("Title", found, Limits(), tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert evidence["absent"] == ["gate", "classifier", "training", "curation"]
    assert not any(f'id="{anchor}"' in html for anchor in evidence["absent"])
    accuracy = next(c["accuracy"] for c in scores["cells"] if c["setting"] == "plain" and c["benchmark"] == "all")
    assert f"base answers {100 * accuracy:.1f}\N{NO-BREAK SPACE}% of the questions right" in html
    assert "Lost after a prefill" in html and "Hmm, B?" in html and "Who wrote the adversarial prefills" in html
    assert "88 questions" in html
    write_evaluation(tmp_path / "items.parquet", tmp_path / "answers.parquet", examples=0)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Question text was left out" in html and "Hmm, B?" not in html
    assert not any(item.question in html for item in items)


@pytest.mark.parametrize("per_benchmark", [1, 2])
def test_the_smallest_runs_make_a_page(tmp_path: Path, per_benchmark: int) -> None:
    inputs = report_run.write_run(tmp_path / "run", per_benchmark)
    for name, path in inputs["histories"].items():
        path.write_text(json.dumps([{"step": 1, "loss": 0.0, "reward": 0.0}] if name == "grpo" else []))
    evidence = report(**inputs, config=ReportConfig(), out_dir=tmp_path)
    assert {"strata", "gate", "training"} <= set(evidence["sections"])
    assert not re.search(r"(?:NaN|nan|inf)%", (tmp_path / "report.html").read_text(encoding="utf-8"))


def test_examples_can_be_switched_off(run: dict[str, Any], tmp_path: Path) -> None:
    report(**run, config=ReportConfig(examples=0), out_dir=tmp_path)
    assert "evil.example" not in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"schema_version": 2, "cells": []}', "schema_version: 2 is newer"),
        ('{"schema_version": 1, "cells": []}', "cells: empty or missing"),
        ('{"schema_version": 1', "not readable as JSON"),
        ("[]", "must hold a JSON record"),
    ],
)
def test_bad_scores_are_refused_by_name(run: dict[str, Any], tmp_path: Path, text: str, message: str) -> None:
    scores = tmp_path / "bad-scores.json"
    scores.write_text(text)
    with pytest.raises(InputError, match=f"bad-scores.json: .*{message}|bad-scores.json: {message}"):
        report(**{**run, "scores": scores}, config=ReportConfig(), out_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_curation_removed_is_told_with_its_share(run: dict[str, Any], made: Any) -> None:
    rate = json.loads(run["curation"].read_text())["contamination_rate"]
    assert (
        f"8 ({100 * rate:.1f}\N{NO-BREAK SPACE}%) overlapped with a benchmark question and 5 with each other" in made[1]
    )


@pytest.mark.parametrize("name", ["decision", "classifier", "curation"])
def test_another_stages_record_is_refused_by_name(run: dict[str, Any], tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"scores\.json: \w+: missing"):
        report(**{**run, name: run["scores"]}, config=ReportConfig(), out_dir=tmp_path / "out")


@pytest.mark.parametrize("version", [SCHEMA_VERSION, SCHEMA_VERSION + 1])
def test_a_classifiers_card_counts_its_own_schemas(run: dict[str, Any], tmp_path: Path, version: int) -> None:
    card = {**json.loads(run["classifier"].read_text(encoding="utf-8")), "schema_version": version}
    path = tmp_path / "card.json"
    path.write_text(json.dumps(card), encoding="utf-8")
    given = {**run, "classifier": path}
    if version > SCHEMA_VERSION:
        with pytest.raises(InputError, match=rf"card.json: schema_version: {version} is newer than {SCHEMA_VERSION}"):
            report(**given, config=ReportConfig(), out_dir=tmp_path)
        return
    assert "classifier" in report(**given, config=ReportConfig(), out_dir=tmp_path)["sections"]


def test_what_a_released_classifier_may_have_seen_is_not_called_held_out(run: dict[str, Any], tmp_path: Path) -> None:
    card = json.loads(run["classifier"].read_text(encoding="utf-8"))
    pages = []
    for number, out_of_fold in enumerate((True, False)):
        path = tmp_path / f"card-{number}.json"
        path.write_text(json.dumps(card | {"out_of_fold": out_of_fold}), encoding="utf-8")
        report(**{**run, "classifier": path}, config=ReportConfig(), out_dir=tmp_path / str(number))
        pages.append((tmp_path / str(number) / "report.html").read_text(encoding="utf-8").lower())
    assert "held-out questions" in pages[0] and "may have been trained on" not in pages[0]
    assert "held-out questions" not in pages[1] and "may have been trained on" in pages[1]


def test_the_verb_writes_both_files_and_its_evidence(run: dict[str, Any], tmp_path: Path) -> None:
    arguments = ["--scores", run["scores"], "--decision", run["decision"], "--items", run["items"]]
    arguments += ["--answers", run["answers"][0], "--classifier", run["classifier"].parent]
    arguments += ["--history", f"sft={run['histories']['sft']}", "--set", "examples=0"]
    arguments += ["--out", tmp_path / "out", "--json", tmp_path / "evidence.json"]
    done = CliRunner().invoke(report_command, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "grpo" in done.output and "curation" in done.output
    made = {p.name for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")}
    assert made == {"report.html", "report.md"}
    assert json.loads((tmp_path / "evidence.json").read_text())["metrics"]["report_bytes"] > 10_000
