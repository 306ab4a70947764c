"""What the verb `evaluate` leaves in its folder: answers, the scores that `score` would give, and a report of them."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from components.platform.lineage import PACKAGE, reachable
from components.platform.tables import read_items, write_items
from components.stages.ingest import with_openings
from pipelines.cli.evaluation import evaluate_command, score_command


def test_a_lone_evaluation_is_scored_and_reported(tiny_model: Path, tmp_path: Path) -> None:
    from components.platform import sources

    files = sources.source_files(sources.SAMPLES, "benchmarks")
    items = [with_openings(item, 0) for path in files for item in read_items(path)[:2]]
    strata = [i.with_(is_reasoning=n % 2 == 0, reasoning_prob=0.3 + 0.4 * (n % 2 == 0)) for n, i in enumerate(items)]
    write_items(strata, tmp_path / "items.parquet")
    out = tmp_path / "out"
    arguments = ["--model", tiny_model, "--name", "tiny", "--items", tmp_path / "items.parquet", "--out", out]
    arguments += ["--engine", "transformers", "--set", "max_new_tokens=4"]
    done = CliRunner().invoke(evaluate_command, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0 and "report.html" in done.output
    assert {p.name for p in out.iterdir()} == {"answers.parquet", "scores.json", "report.html", "report.md"}
    again = ["--items", tmp_path / "items.parquet", "--answers", out / "answers.parquet", "--out", tmp_path / "s.json"]
    CliRunner().invoke(score_command, [str(a) for a in again], catch_exceptions=False)
    assert json.loads((out / "scores.json").read_text()) == json.loads((tmp_path / "s.json").read_text())
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "tiny answers " in html and 'id="gaps"' in html and 'id="gate"' not in html


def test_the_report_is_no_part_of_what_answers_are_kept_by() -> None:
    def reached(stage: str) -> set[str]:
        return {path.relative_to(PACKAGE).as_posix() for path in reachable(f"components.stages.{stage}")}

    page = "report/templates/report.html.j2"
    assert page in reached("report")
    assert "extraction/engine.py" in reached("evaluate")  # imported by the first text that is read
    assert "report/sections/gate.py" in reached("report") and "serving/deploy/smoke.py" in reached("register")
    assert not reached("evaluate") & {"report/files.py", "report/score_files.py", page}
