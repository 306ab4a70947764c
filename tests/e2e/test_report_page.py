"""The report in a real browser, on phone and desktop: no sideways scroll, request, complaint or label cut off."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import report_run

from components.platform.tables import write_items, write_rows
from components.report.files import read_inputs, write_evaluation, write_report
from components.report.limits import Limits
from components.report.score_files import write_scores
from components.stages.report import ReportConfig, report

HERE = Path(__file__).parent
SCREENSHOT = runpy.run_path(str(HERE / "screenshot.py"))
CHROMIUM = SCREENSHOT["find_chromium"]()

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (see tests/e2e/screenshot.py)")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    report(**report_run.write_run(folder / "run"), config=ReportConfig(), out_dir=folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def unfolded(page: Path) -> Path:
    """The same page with everything that a reader can open already open."""
    path = page.with_name("unfolded.html")
    text = page.read_text(encoding="utf-8")
    assert text.count("<details>") > 5
    path.write_text(text.replace("<details>", "<details open>"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on one model with a long name, as `evaluate` writes it."""
    folder = tmp_path_factory.mktemp("alone")
    items = report_run.make_items()
    rows = [{**row, "model": "package:smollm2-135m-instruct"} for row in report_run.make_answers(items, "base")]
    write_items(items, folder / "items.parquet")
    write_rows(rows, folder / "answers.parquet", report_run.make_metadata(items, "base"))
    write_evaluation(folder / "items.parquet", folder / "answers.parquet")
    return folder / "report.html"


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of an evaluation without a gate, under long names, two of them behind an endpoint; all of it open."""
    folder = tmp_path_factory.mktemp("several")
    items, names = report_run.make_items(), ("HuatuoGPT-o1-8B", "DeepSeek-R1-0528-distilled", "o4-mini-2025-04-16")
    write_items(items, folder / "items.parquet")
    for name, source, mode in zip(names, report_run.SKILL, ("continued", "two_turn", "two_turn"), strict=True):
        rows = report_run.make_answers(items, source)
        given = {"model": name, "prefill_mode": mode, "finish_reason": "content_filter", "reported_model": name}
        said = report_run.make_metadata(items, source)
        write_rows([{**row, **given} for row in rows], folder / f"{name}.parquet", said)
    answers = [folder / f"{name}.parquet" for name in names]
    write_scores(folder / "items.parquet", answers, folder / "scores.json", 200)
    found = read_inputs(folder / "scores.json", items=folder / "items.parquet", answers=answers)
    assert "regressions" in write_report("Title", found, Limits(), folder)["sections"]
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert 'class="more"' in text and "Withheld" in text and "not the same measurement" in text
    (folder / "report.html").write_text(text.replace("<details>", "<details open>"), encoding="utf-8")
    return folder / "report.html"


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("which", ["unfolded", "alone", "several"])
def test_other_pages_fit_as_well(which: str, width: int, request: pytest.FixtureRequest) -> None:
    seen: Any = SCREENSHOT["look"](CHROMIUM, request.getfixturevalue(which), width)
    assert seen.width <= width and seen.wide == [] and seen.clipped == [] and seen.overlapping == []
    assert seen.requests == [] and seen.complaints == []


@pytest.mark.parametrize("width, dark", [(390, False), (390, True), (1280, False)])
def test_the_page_fits_and_is_quiet(page: Path, width: int, dark: bool, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    seen: Any = SCREENSHOT["look"](CHROMIUM, page, width, picture, dark)
    assert seen.width <= seen.view == width and seen.wide == [], f"scrolls sideways: {seen.wide}"
    assert seen.clipped == [] and seen.overlapping == [], "a figure's words are cut off or run into each other"
    assert seen.requests == [] and seen.complaints == []
    assert picture.read_bytes().startswith(b"\x89PNG") and seen.height > 3000


def test_the_check_sees_a_bad_page(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        '<meta name="viewport" content="width=device-width, initial-scale=1"><div style="width:900px">wide</div>'
        "<img src=\"http://127.0.0.1:9/a.png\"><script>console.error('oh')</script>"
    )
    seen: Any = SCREENSHOT["look"](CHROMIUM, bad, 390)
    assert seen.wide and seen.requests and len(seen.complaints) >= 1
